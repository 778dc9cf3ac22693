//! What is done to the rows of a chunk between its matrix products.

use super::super::gemm::Layout;
use super::super::lanes::dot;
use super::super::vectorised::Work;
use crate::kernels::real::Real;

/// Rows of `x`, each times its factor, one after the other.
pub(super) struct Scale<'a, F> {
    pub(super) x: &'a [F],
    pub(super) at: Layout,
    pub(super) width: usize,
    pub(super) factors: &'a [F],
    pub(super) to: &'a mut [F],
}

impl<F: Real> Work for Scale<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (t, (to, &factor)) in self.to.chunks_exact_mut(self.width).zip(self.factors).enumerate() {
            let start = self.at.start + t * self.at.rows;
            for (to, &x) in to.iter_mut().zip(&self.x[start..start + self.width]) {
                *to = x * factor;
            }
        }
    }
}

/// `x·y`.
pub(super) struct Dot<'a, F>(pub(super) &'a [F], pub(super) &'a [F]);

impl<F: Real> Work for Dot<'_, F> {
    type Output = F;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> F {
        dot::<F, FMA>(self.0, self.1)
    }
}

/// Back through `factor · x` of every row, from the gradients `d` of the products: the gradients of x are added to `dx`,
/// those of the factors' logarithms to `d_log`, times `sign`. Returns the sum of the latter, without the sign.
pub(super) struct Unscale<'a, F> {
    pub(super) d: &'a [F],
    pub(super) x: &'a [F],
    pub(super) at: Layout,
    pub(super) width: usize,
    pub(super) factors: &'a [F],
    pub(super) dx: &'a mut [F],
    pub(super) d_log: &'a mut [F],
    pub(super) sign: F,
}

impl<F: Real> Work for Unscale<'_, F> {
    type Output = F;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> F {
        let width = self.width;
        let mut total = F::zero();
        let rows = self.d.chunks_exact(width).zip(self.dx.chunks_exact_mut(width));
        for (t, (((d, dx), &factor), d_log)) in rows.zip(self.factors).zip(self.d_log).enumerate() {
            let start = self.at.start + t * self.at.rows;
            let d_factor = factor * dot::<F, FMA>(d, &self.x[start..start + width]);
            total += d_factor;
            *d_log = F::fma::<FMA>(self.sign, d_factor, *d_log);
            for (dx, &d) in dx.iter_mut().zip(d) {
                *dx = F::fma::<FMA>(d, factor, *dx);
            }
        }
        total
    }
}
