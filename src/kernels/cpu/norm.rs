//! Normalisation of rows: by their root mean square, or by their mean and variance.

use rayon::prelude::*;

use super::vectorised::{Work, reduce, vectorised};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs `x [.., width]`, `gamma [width]` and, with `centred`, `beta [width]`; output
/// `(x − μ) / √(mean((x − μ)²) + ε) ⊙ gamma + beta`, each row on its own. μ is the row's mean, or 0, and beta 0 with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) centred: bool,
    pub(crate) epsilon: f64,
}

/// Rows of a parallel task, and of one partial sum of the gradients of gamma and beta.
const ROWS: usize = 64;

/// Partial sums within a row: they keep the chains of additions short, and their order fixed.
const LANES: usize = 32;

/// `Σ f(i)` for `i < len`.
#[inline(always)]
pub(super) fn sum<F: Real>(len: usize, f: impl Fn(usize) -> F) -> F {
    let mut sums = [F::zero(); LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    for (lane, sum) in sums.iter_mut().enumerate().take(len - whole) {
        *sum += f(whole + lane);
    }
    reduce(sums, |x, y| x + y)
}

/// μ, and one over the root of the mean square around it.
#[inline(always)]
pub(super) fn statistics<F: Real, const CENTRED: bool>(x: &[F], epsilon: F) -> (F, F) {
    let one_over_width = F::from_usize(x.len()).expect("a width").recip();
    let mean = if CENTRED { sum(x.len(), |i| x[i]) * one_over_width } else { F::zero() };
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) * one_over_width;
    (mean, (variance + epsilon).sqrt().recip())
}

struct Forward<'a, F, const CENTRED: bool> {
    x: &'a [F],
    gamma: &'a [F],
    beta: &'a [F],
    epsilon: F,
    y: &'a mut [F],
}

impl<F: Real, const CENTRED: bool> Work for Forward<'_, F, CENTRED> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.gamma.len();
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let (mean, inverse) = statistics::<F, CENTRED>(x, self.epsilon);
            if CENTRED {
                for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(self.gamma).zip(self.beta) {
                    *y = F::fma::<FMA>((x - mean) * inverse, gamma, beta);
                }
            } else {
                for ((y, &x), &gamma) in y.iter_mut().zip(x).zip(self.gamma) {
                    *y = x * inverse * gamma;
                }
            }
        }
    }
}

struct Backward<'a, F, const CENTRED: bool> {
    x: &'a [F],
    gamma: &'a [F],
    epsilon: F,
    grad: &'a [F],
    dx: &'a mut [F],
}

impl<F: Real, const CENTRED: bool> Work for Backward<'_, F, CENTRED> {
    /// The gradients of gamma and beta, one after the other.
    type Output = Vec<F>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<F> {
        let width = self.gamma.len();
        let one_over_width = F::from_usize(width).expect("a width").recip();
        let mut sums = vec![F::zero(); if CENTRED { 2 * width } else { width }];
        let (d_gamma, d_beta) = sums.split_at_mut(width);
        let mut scaled = vec![F::zero(); width];
        let mut hat = vec![F::zero(); width];
        let rows = self.x.chunks_exact(width).zip(self.grad.chunks_exact(width));
        for ((x, grad), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let (mean, inverse) = statistics::<F, CENTRED>(x, self.epsilon);
            for i in 0..width {
                hat[i] = (x[i] - mean) * inverse;
                scaled[i] = grad[i] * self.gamma[i];
                d_gamma[i] = F::fma::<FMA>(grad[i], hat[i], d_gamma[i]);
            }
            let along = sum(width, |i| scaled[i] * hat[i]) * one_over_width;
            let level = if CENTRED { sum(width, |i| scaled[i]) * one_over_width } else { F::zero() };
            for i in 0..width {
                dx[i] = inverse * (scaled[i] - level - hat[i] * along);
            }
            for (sum, &grad) in d_beta.iter_mut().zip(grad) {
                *sum += grad;
            }
        }
        sums
    }
}

impl Norm {
    fn forward<F: Real, const CENTRED: bool>(self, inputs: &[Array<'_, F>]) -> Vec<F> {
        let (x, gamma) = (inputs[0].data, inputs[1].data);
        let beta = if CENTRED { inputs[2].data } else { &[] };
        let epsilon = F::from_f64(self.epsilon).expect("a float");
        let mut y = zeros(x.len());
        let chunk = ROWS * gamma.len();
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
            vectorised(Forward::<F, CENTRED> { x, gamma, beta, epsilon, y });
        });
        y
    }

    fn backward<F: Real, const CENTRED: bool>(self, inputs: &[Array<'_, F>], grad: &[F]) -> Vec<Vec<F>> {
        let (x, gamma) = (inputs[0].data, inputs[1].data);
        let epsilon = F::from_f64(self.epsilon).expect("a float");
        let mut dx = zeros(x.len());
        let chunk = ROWS * gamma.len();
        let rows = x.par_chunks(chunk).zip(grad.par_chunks(chunk));
        let parts: Vec<Vec<F>> = dx
            .par_chunks_mut(chunk)
            .zip(rows)
            .map(|(dx, (x, grad))| vectorised(Backward::<F, CENTRED> { x, gamma, epsilon, grad, dx }))
            .collect();
        if CENTRED {
            let mut d_gamma = super::total(2 * gamma.len(), &parts);
            let d_beta = d_gamma.split_off(gamma.len());
            vec![dx, d_gamma, d_beta]
        } else {
            vec![dx, super::total(gamma.len(), &parts)]
        }
    }
}

impl HostOp for Norm {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let y = match self.centred {
            true => Self::forward::<F, true>(*self, inputs),
            false => Self::forward::<F, false>(*self, inputs),
        };
        (vec![y], Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        match self.centred {
            true => Self::backward::<F, true>(*self, inputs, grads[0]),
            false => Self::backward::<F, false>(*self, inputs, grads[0]),
        }
    }
}
