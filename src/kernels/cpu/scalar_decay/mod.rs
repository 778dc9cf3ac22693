//! The scalar-decay recurrence on the CPU, chunk by chunk, with matrix products inside a chunk.
//!
//! With `c` the sums of log-decays within a chunk, `S` the state before it, `T` its last token and `w = dt v`,
//!
//! ```text
//! W_ij = e^(c_i − c_j) q_i·k_j (j ≤ i)      o = W w + e^c q S + d v      S ← e^(c_T) S + (e^(c_T − c) k)ᵀ w
//! ```
//!
//! The backward makes `W` again from states saved at the chunks' starts.

mod backward;
mod forward;
mod rows;

use super::chunks::{Chunks, Decays, Fade, Shape, reads_views};
use super::gemm::{Layout, gemm};
use super::groups::Tasks;
use super::shared::SharedMut;
use super::vectorised::vectorised;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use rows::Scale;

/// Inputs `q, k [batch, seq, groups, key_dim]`, `v [batch, seq, heads, value_dim]`, `log_decay [batch, seq, heads]`,
/// `state [batch, heads, key_dim, value_dim]`, with `scaled` then `dt [batch, seq, heads]`, with `skips` last `d [heads]`;
/// output as `v`, then the last state.
#[derive(Clone, Debug)]
pub(crate) struct ScalarDecay {
    pub(crate) chunks: Chunks,
    pub(crate) scaled: bool,
    pub(crate) skips: bool,
}

impl ScalarDecay {
    fn dt<'a, F>(&self, inputs: &[Array<'a, F>]) -> Option<&'a [F]> {
        self.scaled.then(|| inputs[5].data)
    }

    fn d<'a, F>(&self, inputs: &[Array<'a, F>]) -> Option<&'a [F]> {
        self.skips.then(|| inputs[5 + usize::from(self.scaled)].data)
    }
}

/// So many fill any machine; a task forms the `q·k` of its heads once.
const TASKS: usize = 32;

fn tasks(shape: Shape) -> Tasks {
    Tasks::new(shape.batch, shape.heads, shape.groups, TASKS)
}

/// Buffers of one task.
struct Scratch<F> {
    /// `q·k`, `[len, len]`.
    scores: Vec<F>,
    weights: Vec<F>,
    decays: Decays<F>,
    /// `dt` of the chunk, or 1.
    dt: Vec<F>,
    /// `[len, key_dim]`.
    scaled: Vec<F>,
    /// `w`, `[len, value_dim]`.
    written: Vec<F>,
    /// The head's outputs, or the gradient of `w`, `[len, value_dim]`.
    values: Vec<F>,
}

/// A chunk of a head.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    head: usize,
    start: usize,
    len: usize,
}

impl Place {
    /// Where the chunk's numbers lie in `dt` and `log_decay`: the first, and the distance to the next.
    fn numbers(self, shape: Shape) -> (usize, usize) {
        ((self.row * shape.seq + self.start) * shape.heads + self.head, shape.heads)
    }
}

impl<F: Real> Scratch<F> {
    fn new(shape: Shape) -> Self {
        let chunk = shape.chunk;
        let zeros = |len: usize| vec![F::zero(); len];
        Self {
            scores: zeros(chunk * chunk),
            weights: zeros(chunk * chunk),
            decays: Decays::new(shape),
            dt: vec![F::one(); chunk],
            scaled: zeros(chunk * shape.key_dim),
            written: zeros(chunk * shape.value_dim),
            values: zeros(chunk * shape.value_dim),
        }
    }

    /// Forms `q·k` of a chunk.
    fn score(&mut self, shape: Shape, [q, k]: [(&[F], Layout); 2], len: usize) {
        let to = (self.scores.as_mut_slice(), Layout::new(0, len, 1));
        gemm([len, len, shape.key_dim], to, false, q, (k.0, k.1.t()), F::one());
    }

    /// Fills in a head's weights, decays and writes; returns the decay through the chunk.
    fn weigh(&mut self, op: &ScalarDecay, shape: Shape, inputs: &[Array<'_, F>], place: Place) -> F {
        let Place { row, head, start, len } = place;
        if let Some(dt) = op.dt(inputs) {
            let (first, step) = place.numbers(shape);
            for (to, &dt) in self.dt[..len].iter_mut().zip(dt[first..].iter().step_by(step)) {
                *to = dt;
            }
        }
        vectorised(Scale {
            x: inputs[2].data,
            at: Layout::of(&inputs[2], row, start, head),
            width: shape.value_dim,
            factors: &self.dt[..len],
            to: &mut self.written,
        });
        let weights = &mut self.weights[..len * len];
        weights.copy_from_slice(&self.scores[..len * len]);
        op.chunks.weigh(shape, inputs[3].data, [row, head, start, len], weights, &mut self.decays)
    }
}

impl HostOp for ScalarDecay {
    fn reads_views(&self, input: usize) -> bool {
        reads_views(input)
    }

    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        forward::forward(self, inputs, keep)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        backward::backward(self, inputs, kept, grads)
    }
}
