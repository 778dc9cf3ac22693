//! The kernels. Each splits its work by a rule that depends on the shapes alone, so that the same inputs give
//! the same bits whatever the number of threads.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod causal_conv;
pub(crate) mod chunks;
pub(crate) mod complex_scan;
pub(crate) mod delta_rule;
pub(crate) mod diagonal_scan;
pub(crate) mod elementwise;
pub(crate) mod gated_norm;
mod gemm;
mod groups;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod in_place;
mod lanes;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod norm;
mod prefetch;
pub(crate) mod rotate;
pub(crate) mod scalar_decay;
pub(crate) mod selective_scan;
mod shared;
mod tokens;
pub(crate) mod vector_decay;
mod vectorised;

use rayon::prelude::*;

use super::real::Real;

/// Sums of a task of [`total`].
const SUMS: usize = 4096;

/// Numbers that are worth a second thread's waking.
const MANY: usize = 1 << 16;

/// The sum of vectors of this length, in order; zeros of none.
fn total<F: Real, V: AsRef<[F]> + Sync>(len: usize, parts: &[V]) -> Vec<F> {
    assert!(parts.iter().all(|part| part.as_ref().len() == len), "parts of another length");
    let mut total = vec![F::zero(); len];
    let add = |(task, sums): (usize, &mut [F])| {
        for part in parts {
            for (sum, &value) in sums.iter_mut().zip(&part.as_ref()[task * SUMS..]) {
                *sum += value;
            }
        }
    };
    if len * parts.len() < MANY {
        total.chunks_mut(SUMS).enumerate().for_each(add);
    } else {
        total.par_chunks_mut(SUMS).enumerate().for_each(add);
    }
    total
}

/// [`total`] of vectors that lie one after another.
fn total_of_rows<F: Real>(len: usize, rows: &[F]) -> Vec<F> {
    total(len, &rows.chunks_exact(len).collect::<Vec<_>>())
}
