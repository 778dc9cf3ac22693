use std::ops::Range;

use super::{Elementwise, Row, Shape, SharedMut};
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::real::Real;

/// The gradients of some inputs of a row; those of weight and bias, as far as some outputs tell.
pub(super) struct Backward<'a, F> {
    pub(super) row: Row<'a, F>,
    pub(super) index: usize,
    pub(super) tokens: Range<usize>,
    pub(super) activation: Option<Elementwise>,
    pub(super) grads: &'a [&'a [F]],
    pub(super) widths: &'a [usize],
    pub(super) dx: &'a SharedMut<'a, F>,
    pub(super) d_window: &'a SharedMut<'a, F>,
}

impl<F: Real> Backward<'_, F> {
    /// The gradient of the convolution at token `t`, before the activation.
    #[inline(always)]
    fn inner<const FMA: bool>(&self, t: usize, grad: &mut [F], scratch: &mut [F]) {
        let mut rest = &mut *grad;
        for (piece, &width) in self.grads.iter().zip(self.widths) {
            let (values, after) = rest.split_at_mut(width);
            let start = (self.index * self.row.shape.seq + t) * width;
            values.copy_from_slice(&piece[start..start + width]);
            rest = after;
        }
        if let Some(activation) = self.activation {
            self.row.convolve::<FMA>(t, scratch);
            activation.times_derivative::<F, FMA>(grad, scratch);
        }
    }

    /// `sum += Σ weight ⊙ grad` over the tokens that read input `column`; `grads` begins at token `first`.
    #[inline(always)]
    fn gather<const FMA: bool>(&self, column: usize, grads: &[F], first: usize, sum: &mut [F]) {
        let Shape { seq, channels, d_conv, .. } = self.row.shape;
        for tap in 0..d_conv.min(column + 1) {
            let t = column - tap;
            if t < seq && tap >= self.row.first_tap(t) {
                let grad = &grads[(t - first) * channels..(t - first + 1) * channels];
                for ((sum, &w), &grad) in sum.iter_mut().zip(self.row.tap(tap)).zip(grad) {
                    *sum = F::fma::<FMA>(w, grad, *sum);
                }
            }
        }
    }
}

impl<F: Real> Work for Backward<'_, F> {
    type Output = (Vec<F>, Vec<F>);

    #[inline(always)]
    fn run<const FMA: bool>(self) -> (Vec<F>, Vec<F>) {
        let Shape { seq, channels, d_conv, .. } = self.row.shape;
        let (past, tokens) = (self.row.shape.past(), self.tokens.clone());
        // Tokens after these read their inputs, too.
        let readers = tokens.start..(tokens.end + past).min(seq);
        let mut grads = vec![F::zero(); readers.len() * channels];
        let mut scratch = vec![F::zero(); channels];
        for (t, grad) in readers.zip(grads.chunks_exact_mut(channels)) {
            self.inner::<FMA>(t, grad, &mut scratch);
        }

        let mut d_weight = vec![F::zero(); d_conv * channels];
        let mut d_bias = vec![F::zero(); channels];
        for (t, grad) in tokens.clone().zip(grads.chunks_exact(channels)) {
            for (sum, &grad) in d_bias.iter_mut().zip(grad) {
                *sum += grad;
            }
            for tap in self.row.first_tap(t)..d_conv {
                let sums = &mut d_weight[tap * channels..(tap + 1) * channels];
                for ((sum, &x), &grad) in sums.iter_mut().zip(self.row.input(t + tap)).zip(grad) {
                    *sum = F::fma::<FMA>(x, grad, *sum);
                }
            }
        }

        for t in tokens.clone() {
            // SAFETY: every token belongs to one task.
            let dx = unsafe { self.dx.at((self.index * seq + t) * channels, channels) };
            self.gather::<FMA>(t + past, &grads, tokens.start, dx);
        }
        if tokens.start == 0 {
            // Only the first tokens read the window, and the last of them may belong to the next task.
            for column in 0..past {
                // SAFETY: the windows of a row belong to its first task.
                let d_window = unsafe { self.d_window.at((self.index * past + column) * channels, channels) };
                self.gather::<FMA>(column, &grads, 0, d_window);
            }
        }
        (d_weight, d_bias)
    }
}
