//! What the machine can do at best, measured beside the workloads.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use rayon::prelude::*;

use crate::drain::drain;

/// The best of so many tries.
const TRIES: usize = 10;

/// Floating-point operations in a second: Burn's product of two matrices of 1024 × 1024.
pub fn gemm() -> f64 {
    const SIZE: usize = 1024;
    let device = Device::default();
    let draw = || Tensor::<2>::random([SIZE, SIZE], Distribution::Default, &device);
    let (a, b) = (draw(), draw());
    let flops = 2.0 * (SIZE * SIZE * SIZE) as f64;
    flops / best(|| drain(&a.clone().matmul(b.clone())))
}

/// Bytes read in a second, by all threads from memory that no cache holds.
pub fn read() -> f64 {
    let words = vec![1_u64; (1 << 30) / size_of::<u64>()];
    let bytes = size_of_val(&words[..]) as f64;
    // Independent sums, so that loads do not wait for additions.
    let sum = |block: &[u64]| {
        let mut sums = [0_u64; 32];
        for words in block.chunks_exact(sums.len()) {
            sums.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
        sums.iter().fold(0, |all, sum| all ^ sum)
    };
    bytes
        / best(|| {
            std::hint::black_box(words.par_chunks(1 << 17).map(sum).reduce(|| 0, |a, b| a ^ b));
        })
}

/// The shortest time in seconds.
fn best(run: impl Fn()) -> f64 {
    let time = |_| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64()
    };
    (0..TRIES).map(time).fold(f64::INFINITY, f64::min)
}
