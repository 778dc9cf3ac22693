//! Root-mean-square normalisation of rows.

use rayon::prelude::*;

use super::vectorised::{Work, dot, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs `x [.., width]`, `gamma [width]`; output `x / √(mean(x²) + ε) ⊙ gamma`, each row on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmsNorm {
    pub(crate) epsilon: f64,
}

/// Rows of a parallel task, and of one partial sum of gamma's gradient.
const ROWS: usize = 64;

struct Forward<'a, F> {
    x: &'a [F],
    gamma: &'a [F],
    epsilon: F,
    y: &'a mut [F],
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.gamma.len();
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let inverse = inverse_rms::<F, FMA>(x, self.epsilon);
            for ((y, &x), &gamma) in y.iter_mut().zip(x).zip(self.gamma) {
                *y = x * inverse * gamma;
            }
        }
    }
}

#[inline(always)]
fn inverse_rms<F: Real, const FMA: bool>(x: &[F], epsilon: F) -> F {
    let width = F::from_usize(x.len()).expect("a width");
    (dot::<F, FMA>(x, x) / width + epsilon).sqrt().recip()
}

struct Backward<'a, F> {
    x: &'a [F],
    gamma: &'a [F],
    epsilon: F,
    grad: &'a [F],
    dx: &'a mut [F],
}

impl<F: Real> Work for Backward<'_, F> {
    type Output = Vec<F>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<F> {
        let width = self.gamma.len();
        let count = F::from_usize(width).expect("a width");
        let mut d_gamma = vec![F::zero(); width];
        let mut scaled = vec![F::zero(); width];
        let rows = self.x.chunks_exact(width).zip(self.grad.chunks_exact(width));
        for ((x, grad), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let inverse = inverse_rms::<F, FMA>(x, self.epsilon);
            for i in 0..width {
                scaled[i] = grad[i] * self.gamma[i];
                d_gamma[i] = F::fma::<FMA>(grad[i] * x[i], inverse, d_gamma[i]);
            }
            let along = dot::<F, FMA>(&scaled, x) * inverse * inverse / count;
            for i in 0..width {
                dx[i] = inverse * (scaled[i] - x[i] * along);
            }
        }
        d_gamma
    }
}

impl HostOp for RmsNorm {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let (x, gamma) = (inputs[0].data, inputs[1].data);
        let epsilon = F::from_f64(self.epsilon).expect("a float");
        let mut y = vec![F::zero(); x.len()];
        let chunk = ROWS * gamma.len();
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
            vectorised(Forward { x, gamma, epsilon, y });
        });
        (vec![y], Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let (x, gamma, grad) = (inputs[0].data, inputs[1].data, grads[0]);
        let epsilon = F::from_f64(self.epsilon).expect("a float");
        let mut dx = vec![F::zero(); x.len()];
        let chunk = ROWS * gamma.len();
        let rows = x.par_chunks(chunk).zip(grad.par_chunks(chunk));
        let parts: Vec<Vec<F>> = dx
            .par_chunks_mut(chunk)
            .zip(rows)
            .map(|(dx, (x, grad))| vectorised(Backward { x, gamma, epsilon, grad, dx }))
            .collect();
        vec![dx, super::total(parts.iter())]
    }
}
