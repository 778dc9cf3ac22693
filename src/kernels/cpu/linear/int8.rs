//! Weights of 8 bits: a quarter of what decoding reads.
//!
//! Burn's quantised tensors, `[d_input, d_output]`, with a scale for every block of [`BLOCK`] by [`BLOCK`].

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexQTensor;
use rayon::prelude::*;

use super::constant::Constant;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::real::Real;

/// Inputs of a block, and outputs.
pub(crate) const BLOCK: usize = 8;

/// The weights, in blocks of [`BLOCK`] by [`BLOCK`].
#[derive(Clone, Debug)]
pub(crate) struct Int8(pub(crate) FlexQTensor);

/// The weights as the kernel reads them.
#[derive(Clone, Copy)]
struct Weights<'a> {
    /// `[d_input, d_output]`.
    values: &'a [i8],
    /// `[d_input / BLOCK, d_output / BLOCK]`.
    scales: &'a [f32],
    d_output: usize,
}

impl<'a> Weights<'a> {
    /// The scales and the values of some blocks of inputs.
    fn blocks(self) -> impl Iterator<Item = (&'a [f32], &'a [i8])> {
        let blocks = self.values.chunks_exact(BLOCK * self.d_output);
        self.scales.chunks_exact(self.d_output / BLOCK).zip(blocks)
    }
}

impl Int8 {
    fn weights(&self) -> Weights<'_> {
        let [_, d_output] = self.dims();
        Weights { values: self.0.tensor().storage(), scales: self.0.scales(), d_output }
    }
}

impl Constant for Int8 {
    const STEP: usize = BLOCK;

    fn dims(&self) -> [usize; 2] {
        self.0.shape().dims()
    }

    fn floats<F: Real>(&self) -> Vec<F> {
        let [d_input, d_output] = self.dims();
        let mut floats = vec![F::zero(); d_input * d_output];
        let blocks: Vec<_> = self.weights().blocks().collect();
        floats.par_chunks_mut(BLOCK * d_output).zip(blocks).for_each(|(floats, (scales, values))| {
            vectorised(Widen { floats, scales, values });
        });
        floats
    }

    fn add<F: Real>(&self, x: &[F], inputs: Range<usize>, outputs: Range<usize>, y: &mut [F]) {
        let [d_input, _] = self.dims();
        vectorised(AddBlocks { x, d_input, inputs, outputs, weights: self.weights(), y });
    }
}

/// Some blocks of inputs as floats.
struct Widen<'a, F> {
    floats: &'a mut [F],
    scales: &'a [f32],
    values: &'a [i8],
}

impl<F: Real> Work for Widen<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let d_output = self.scales.len() * BLOCK;
        let rows = self.floats.chunks_exact_mut(d_output).zip(self.values.chunks_exact(d_output));
        for (floats, values) in rows {
            let blocks = floats.as_chunks_mut::<BLOCK>().0.iter_mut().zip(values.as_chunks::<BLOCK>().0);
            for ((floats, values), &scale) in blocks.zip(self.scales) {
                let scale = F::from_f32(scale).expect("a float");
                for l in 0..BLOCK {
                    floats[l] = scale * values[l].into();
                }
            }
        }
    }
}

/// `y += x[.., inputs] · weight[inputs, outputs]`.
struct AddBlocks<'a, F> {
    x: &'a [F],
    d_input: usize,
    inputs: Range<usize>,
    outputs: Range<usize>,
    weights: Weights<'a>,
    y: &'a mut [F],
}

/// Outputs whose sums stay in registers: a line of the cache.
const WIDE: usize = 64;

impl<F: Real> Work for AddBlocks<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { x, d_input, inputs, outputs, weights, y } = self;
        let width = outputs.len();
        let wide = width - width % WIDE;
        let blocks = weights.blocks().enumerate().take(inputs.end / BLOCK).skip(inputs.start / BLOCK);
        for (block, (scales, values)) in blocks {
            let (scales, values) = (&scales[outputs.start / BLOCK..], &values[outputs.start..]);
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(d_input)) {
                let x: &[F; BLOCK] = x[block * BLOCK..].first_chunk().expect("whole blocks of inputs");
                for first in (0..wide).step_by(WIDE) {
                    add::<F, FMA, WIDE>(x, (scales, values, weights.d_output), first, y);
                }
                for first in (wide..width).step_by(BLOCK) {
                    add::<F, FMA, BLOCK>(x, (scales, values, weights.d_output), first, y);
                }
            }
        }
    }
}

/// `y += scale ⊙ (x · values)` of one block of inputs and of `WIDTH` outputs from `first` on.
#[inline(always)]
fn add<F: Real, const FMA: bool, const WIDTH: usize>(
    x: &[F; BLOCK],
    (scales, values, d_output): (&[f32], &[i8], usize),
    first: usize,
    y: &mut [F],
) {
    let mut sums = [F::zero(); WIDTH];
    for (&x, line) in x.iter().zip(values.chunks(d_output)) {
        let line: &[i8; WIDTH] = line[first..].first_chunk().expect("a line of outputs");
        for l in 0..WIDTH {
            sums[l] = F::fma::<FMA>(x, line[l].into(), sums[l]);
        }
    }
    let y: &mut [F; WIDTH] = y[first..].first_chunk_mut().expect("a line of outputs");
    let sums = sums.as_chunks::<BLOCK>().0;
    for ((y, sums), &scale) in y.as_chunks_mut().0.iter_mut().zip(sums).zip(&scales[first / BLOCK..]) {
        let (y, scale): (&mut [F; BLOCK], _) = (y, F::from_f32(scale).expect("a float"));
        for l in 0..BLOCK {
            y[l] = F::fma::<FMA>(scale, sums[l], y[l]);
        }
    }
}
