//! Rotary positions: pairs of dimensions turned by an angle of the token's.

use std::sync::Arc;

use rayon::prelude::*;

use super::gemm::Layout;
use super::shared::zeros;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp, contiguous_strides};
use crate::kernels::real::Real;
use crate::ops::RopePairs;

/// Input `x [batch, seq, heads, head_dim]`, perhaps a view; output as `x`: pair `i` of a head's first `turned`
/// dimensions, turned by the token's angle `i`.
#[derive(Clone, Debug)]
pub(crate) struct Rotate {
    pub(crate) pairs: RopePairs,
    pub(crate) turned: usize,
    /// `[rows, seq, turned / 2]`, cosine and sine; one row for all, or one for every row of the batch.
    pub(crate) turns: Arc<[(f64, f64)]>,
}

struct Heads<'a, F> {
    pairs: RopePairs,
    x: &'a [F],
    /// The token's heads.
    at: Layout,
    head_dim: usize,
    /// Cosines, then sines.
    turns: (&'a [F], &'a [F]),
    out: &'a mut [F],
}

impl<F: Real> Work for Heads<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (cos, sin) = self.turns;
        let count = cos.len();
        for (head, out) in self.out.chunks_exact_mut(self.head_dim).enumerate() {
            let start = self.at.start + head * self.at.rows;
            let x = &self.x[start..start + self.head_dim];
            let (out, rest) = out.split_at_mut(2 * count);
            rest.copy_from_slice(&x[2 * count..]);
            match self.pairs {
                RopePairs::Half => {
                    let ((first, second), (x, y)) = (out.split_at_mut(count), x[..2 * count].split_at(count));
                    for i in 0..count {
                        first[i] = x[i] * cos[i] - y[i] * sin[i];
                        second[i] = F::fma::<FMA>(x[i], sin[i], y[i] * cos[i]);
                    }
                }
                RopePairs::Interleaved => {
                    let pairs = out.as_chunks_mut::<2>().0.iter_mut().zip(x.as_chunks::<2>().0);
                    for ((out, [x, y]), (&cos, &sin)) in pairs.zip(cos.iter().zip(sin)) {
                        *out = [*x * cos - *y * sin, F::fma::<FMA>(*x, sin, *y * cos)];
                    }
                }
            }
        }
    }
}

impl Rotate {
    /// Every token's heads, turned forward or, with `sign` −1, back.
    fn turn<F: Real>(&self, x: &Array<'_, F>, sign: f64) -> Vec<F> {
        let [_, seq, heads, head_dim] = x.dims.try_into().expect("x has rank 4");
        let count = self.turned / 2;
        let table = |part: fn(&(f64, f64)) -> f64, sign: f64| -> Vec<F> {
            self.turns.iter().map(|turn| F::from_f64(sign * part(turn)).expect("a float")).collect()
        };
        let (cos, sin) = (table(|turn| turn.0, 1.0), table(|turn| turn.1, sign));
        let rows = self.turns.len() / (seq * count);
        let mut out = zeros(x.len());
        out.par_chunks_mut(heads * head_dim).with_min_len(16).enumerate().for_each(|(token, out)| {
            let (row, t) = (token / seq, token % seq);
            let turns = (row % rows * seq + t) * count..(row % rows * seq + t + 1) * count;
            let at = Layout::new(row * x.strides[0] + t * x.strides[1], x.strides[2], 1);
            let turns = (&cos[turns.clone()], &sin[turns]);
            vectorised(Heads { pairs: self.pairs, x: x.data, at, head_dim, turns, out });
        });
        out
    }
}

impl HostOp for Rotate {
    fn reads_views(&self, _: usize) -> bool {
        true
    }

    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        (vec![self.turn(&inputs[0], 1.0)], Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let dims = inputs[0].dims;
        let strides = contiguous_strides(dims);
        vec![self.turn(&Array { data: grads[0], dims, strides: &strides }, -1.0)]
    }
}
