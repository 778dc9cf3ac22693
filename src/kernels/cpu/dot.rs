//! The inner product.

use crate::kernels::real::Real;

/// `x · y`, as partial sums that keep the chain of additions short and its order fixed.
#[inline(always)]
pub(crate) fn dot<F: Real, const FMA: bool>(x: &[F], y: &[F]) -> F {
    let mut sums = [F::zero(); 32];
    let (xs, ys) = (x.chunks_exact(32), y.chunks_exact(32));
    let mut rest = F::zero();
    for (&x, &y) in xs.remainder().iter().zip(ys.remainder()) {
        rest = F::fma::<FMA>(x, y, rest);
    }
    for (x, y) in xs.zip(ys) {
        for l in 0..32 {
            sums[l] = F::fma::<FMA>(x[l], y[l], sums[l]);
        }
    }
    sums.into_iter().fold(rest, |sum, part| sum + part)
}
