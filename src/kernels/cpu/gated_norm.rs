//! Root-mean-square normalisation of rows with a gate, in one pass.

use rayon::prelude::*;

use super::norm::{statistics, sum};
use super::vectorised::{Work, vectorised};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs `x [.., width]`, `z [.., width]`, `gamma [width]`. Each row in groups of `group_size`,
/// `n(u) = u / √(mean(u²) + ε) ⊙ gamma`; output `n(x) ⊙ silu(z)` with `norm_before_gate`, else `n(x ⊙ silu(z))`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GatedNorm {
    pub(crate) group_size: usize,
    pub(crate) norm_before_gate: bool,
    pub(crate) epsilon: f64,
}

/// Rows of a parallel task, and of one partial sum of gamma's gradient.
const ROWS: usize = 64;

struct Forward<'a, F, const NORM_FIRST: bool> {
    x: &'a [F],
    z: &'a [F],
    gamma: &'a [F],
    group_size: usize,
    epsilon: F,
    y: &'a mut [F],
}

impl<F: Real, const NORM_FIRST: bool> Work for Forward<'_, F, NORM_FIRST> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let size = self.group_size;
        let groups = self.x.chunks_exact(size).zip(self.z.chunks_exact(size));
        let gammas = self.gamma.chunks_exact(size).cycle();
        for (((x, z), gamma), y) in groups.zip(gammas).zip(self.y.chunks_exact_mut(size)) {
            if NORM_FIRST {
                let inverse = statistics::<F, false>(x, self.epsilon).1;
                for i in 0..size {
                    y[i] = x[i] * inverse * gamma[i] * Elementwise::Silu.apply::<F, FMA>(z[i]).0;
                }
            } else {
                for i in 0..size {
                    y[i] = x[i] * Elementwise::Silu.apply::<F, FMA>(z[i]).0;
                }
                let inverse = statistics::<F, false>(y, self.epsilon).1;
                for (y, &gamma) in y.iter_mut().zip(gamma) {
                    *y = *y * inverse * gamma;
                }
            }
        }
    }
}

struct Backward<'a, F, const NORM_FIRST: bool> {
    x: &'a [F],
    z: &'a [F],
    gamma: &'a [F],
    group_size: usize,
    epsilon: F,
    grad: &'a [F],
    dx: &'a mut [F],
    dz: &'a mut [F],
}

impl<F: Real, const NORM_FIRST: bool> Work for Backward<'_, F, NORM_FIRST> {
    /// The gradient of gamma.
    type Output = Vec<F>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<F> {
        let (size, width) = (self.group_size, self.gamma.len());
        let one_over_size = F::from_usize(size).expect("a width").recip();
        let mut d_gamma = vec![F::zero(); width];
        // Of a group: what is normalised, the gate and its derivative, and what the output's gradient says of n before
        // its scale by one over the root.
        let mut buffers = vec![F::zero(); 4 * size];
        let (u, rest) = buffers.split_at_mut(size);
        let (gate, rest) = rest.split_at_mut(size);
        let (slope, scaled) = rest.split_at_mut(size);
        let groups =
            self.x.chunks_exact(size).zip(self.z.chunks_exact(size)).zip(self.grad.chunks_exact(size));
        let outputs = self.dx.chunks_exact_mut(size).zip(self.dz.chunks_exact_mut(size));
        for (index, (((x, z), grad), (dx, dz))) in groups.zip(outputs).enumerate() {
            let first = index * size % width;
            let gamma = &self.gamma[first..first + size];
            let d_gamma = &mut d_gamma[first..first + size];
            for i in 0..size {
                (gate[i], slope[i]) = Elementwise::Silu.apply::<F, FMA>(z[i]);
                u[i] = if NORM_FIRST { x[i] } else { x[i] * gate[i] };
                let grad = if NORM_FIRST { grad[i] * gate[i] } else { grad[i] };
                scaled[i] = grad * gamma[i];
            }
            let inverse = statistics::<F, false>(u, self.epsilon).1;
            let along = sum(size, |i| scaled[i] * u[i]) * inverse * inverse * one_over_size;
            for i in 0..size {
                let normed = u[i] * inverse;
                let du = inverse * (scaled[i] - u[i] * along);
                if NORM_FIRST {
                    d_gamma[i] = F::fma::<FMA>(grad[i] * gate[i], normed, d_gamma[i]);
                    dx[i] = du;
                    dz[i] = grad[i] * gamma[i] * normed * slope[i];
                } else {
                    d_gamma[i] = F::fma::<FMA>(grad[i], normed, d_gamma[i]);
                    dx[i] = du * gate[i];
                    dz[i] = du * x[i] * slope[i];
                }
            }
        }
        d_gamma
    }
}

impl GatedNorm {
    fn forward<F: Real, const NORM_FIRST: bool>(self, inputs: &[Array<'_, F>]) -> Vec<F> {
        let [x, z, gamma] = [0, 1, 2].map(|input| inputs[input].data);
        let epsilon = F::from_f64(self.epsilon).expect("a float");
        let group_size = self.group_size;
        let mut y = zeros(x.len());
        let chunk = ROWS * gamma.len();
        let rows = x.par_chunks(chunk).zip(z.par_chunks(chunk));
        y.par_chunks_mut(chunk).zip(rows).for_each(|(y, (x, z))| {
            vectorised(Forward::<F, NORM_FIRST> { x, z, gamma, group_size, epsilon, y });
        });
        y
    }

    fn backward<F: Real, const NORM_FIRST: bool>(self, inputs: &[Array<'_, F>], grad: &[F]) -> Vec<Vec<F>> {
        let [x, z, gamma] = [0, 1, 2].map(|input| inputs[input].data);
        let epsilon = F::from_f64(self.epsilon).expect("a float");
        let group_size = self.group_size;
        let (mut dx, mut dz) = (zeros(x.len()), zeros(x.len()));
        let chunk = ROWS * gamma.len();
        let rows = x.par_chunks(chunk).zip(z.par_chunks(chunk)).zip(grad.par_chunks(chunk));
        let parts: Vec<Vec<F>> = dx
            .par_chunks_mut(chunk)
            .zip(dz.par_chunks_mut(chunk))
            .zip(rows)
            .map(|((dx, dz), ((x, z), grad))| {
                vectorised(Backward::<F, NORM_FIRST> { x, z, gamma, group_size, epsilon, grad, dx, dz })
            })
            .collect();
        vec![dx, dz, super::total(gamma.len(), &parts)]
    }
}

impl HostOp for GatedNorm {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let y = match self.norm_before_gate {
            true => Self::forward::<F, true>(*self, inputs),
            false => Self::forward::<F, false>(*self, inputs),
        };
        (vec![y], Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        match self.norm_before_gate {
            true => Self::backward::<F, true>(*self, inputs, grads[0]),
            false => Self::backward::<F, false>(*self, inputs, grads[0]),
        }
    }
}
