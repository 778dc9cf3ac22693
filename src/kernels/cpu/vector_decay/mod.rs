//! The vector-decay recurrence on the CPU, block by block, with matrix products around a block.
//!
//! A task owns a head of one row. What is written at token `j` and read at token `i` has decayed by
//! `P(i, j) = a_{j+1} ⊙ … ⊙ a_i`. With `S` the state before a block of tokens, `0` the place before its first token and
//! `T` its last,
//!
//! ```text
//! W_ij = Σ_n q_in P_n(i, j) k_jn (j ≤ i)      o = W v + (P(·, 0) ⊙ q) S      S ← P(T, 0) ⊙ S + (P(T, ·) ⊙ k)ᵀ v
//! ```
//!
//! Blocks are the secondary chunks of arXiv 2312.06635, section 4.3, with two changes. Every `P` is a product, multiplied
//! up from decays: where the paper divides by cumulative decays, or takes the exponential of a difference of sums,
//! strong decays overflow or lose their digits. Here nothing exceeds 1, a decay of 0 is exact, and the start of a
//! document is nothing more than a decay of 0. And a block passes the state to the next, where the paper computes scores
//! between the blocks of a chunk: a token reads the state and writes to it once either way, so that scores beyond the
//! block are extra work, which only pays where products of [`BLOCK`] rows are too small to be fast.
//!
//! The backward starts from states saved at the chunks' starts, and makes those between again.

mod backward;
mod block;
mod forward;

use super::gemm::Layout;
use super::lanes::LANES;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use block::BLOCK;

/// Inputs `q, k [batch, seq, heads, key_dim]`, `v [batch, seq, heads, value_dim]`, `log_decay` as `q`,
/// `state [batch, heads, key_dim, value_dim]`; output as `v`, then the last state.
#[derive(Clone, Debug)]
pub(crate) struct VectorDecay {
    /// Tokens between two saved states, up to a multiple of [`BLOCK`].
    pub(crate) chunk_size: usize,
}

impl HostOp for VectorDecay {
    fn reads_views(&self, input: usize) -> bool {
        input < 4
    }

    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        forward::run(Shape::of(inputs, self.chunk_size), inputs, keep)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        backward::run(Shape::of(inputs, self.chunk_size), inputs, kept, grads)
    }
}

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    chunk: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>], chunk_size: usize) -> Self {
        let [batch, seq, heads, key_dim] = inputs[0].dims.try_into().expect("q has rank 4");
        let [_, _, _, value_dim] = inputs[2].dims.try_into().expect("v has rank 4");
        Self { batch, seq, heads, key_dim, value_dim, chunk: chunk_size.min(seq).next_multiple_of(BLOCK) }
    }

    fn state(&self) -> usize {
        self.key_dim * self.value_dim
    }

    /// Vectors that a key fills.
    fn key_vectors(&self) -> usize {
        self.key_dim.div_ceil(LANES)
    }

    fn chunks(&self) -> usize {
        self.seq.div_ceil(self.chunk)
    }

    /// Where the state of a head before a chunk is kept.
    fn kept(&self, row: usize, head: usize, chunk: usize) -> usize {
        ((row * self.heads + head) * self.chunks() + chunk) * self.state()
    }

    /// Where the gradients of a token's key begin; those of its query and its decays begin there too.
    fn key(&self, row: usize, t: usize, head: usize) -> usize {
        ((row * self.seq + t) * self.heads + head) * self.key_dim
    }

    /// Where the outputs from a token on lie, their gradients, and those of values.
    fn values(&self, row: usize, t: usize, head: usize) -> Layout {
        let start = ((row * self.seq + t) * self.heads + head) * self.value_dim;
        Layout::new(start, self.heads * self.value_dim, 1)
    }
}
