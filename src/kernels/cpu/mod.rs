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

use super::real::Real;

/// The sum of equally long vectors, in order.
fn total<F: Real, V: AsRef<[F]>>(mut parts: impl Iterator<Item = V>) -> Vec<F> {
    let mut total = parts.next().expect("at least one part").as_ref().to_vec();
    for part in parts {
        for (sum, &value) in total.iter_mut().zip(part.as_ref()) {
            *sum += value;
        }
    }
    total
}
