//! The matrix-valued recurrence with a decay for each key element.
//!
//! ```text
//! S_t = Diag(exp(log_decay_t)) S_{t−1} + k_t v_tᵀ        o_t = S_tᵀ q_t
//! ```
//!
//! A number of a state needs nothing of the others, so a state is cut in blocks of keys for what is summed over keys, and of
//! values for what is summed over values; every block leaves its part of a sum.

mod backward;
mod forward;
mod key_grads;

use burn::tensor::Shape;
use burn_wgpu::CubeTensor;
use cubecl::ir::AddressType;

pub(super) use self::key_grads::key_grads;
use super::address_type;
use super::op::{Counts, GpuOp};

/// Tokens of a chunk.
pub(super) const CHUNK: usize = 32;

/// Keys, or values, of one thread, of so many `threads` if each had all of them: fewer where a GPU would not be busy otherwise, and
/// more where parts of sums would take room for nothing.
fn block(threads: usize) -> usize {
    if threads < BUSY { 16 } else { 64 }
}

/// Threads that keep any GPU busy.
const BUSY: usize = 1 << 19;

/// Inputs `q`, `k`, `log_decay [batch, seq, heads, key_dim]`, `v [batch, seq, heads, value_dim]`, `state
/// [batch, heads, key_dim, value_dim]`; output as `v`; kept are the states that chunks begin with,
/// `[batch · heads, chunks, key_dim · value_dim]`.
#[derive(Debug)]
pub(crate) struct VectorDecay;

impl GpuOp for VectorDecay {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let [_, _, v, _, state] = inputs else { unreachable!("five inputs") };
        vec![(*v).clone(), (*state).clone(), between(v, state)]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [q, k, v, log_decay, state] = inputs.try_into().expect("five inputs");
        forward::forward(&Inputs { q, k, v, log_decay }, state).into()
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 2, learnt: 5 }
    }

    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [q, k, v, log_decay, _, before, grad_o, grad_after] = tensors.try_into().expect("eight tensors");
        backward::backward(&Inputs { q, k, v, log_decay }, &before, &grad_o, &grad_after).into()
    }
}

/// `[batch · heads, chunks, key_dim · value_dim]`: the states between chunks.
pub(super) fn between(v: &Shape, state: &Shape) -> Shape {
    let ([_, seq, _, _], [batch, heads, key_dim, value_dim]) = (v.dims(), state.dims());
    Shape::new([batch * heads, seq.div_ceil(CHUNK), key_dim * value_dim])
}

/// What the recurrence reads, but for states.
pub(super) struct Inputs {
    pub(super) q: CubeTensor,
    pub(super) k: CubeTensor,
    pub(super) v: CubeTensor,
    pub(super) log_decay: CubeTensor,
}

impl Inputs {
    /// `[seq, rows, chunks, key_dim, value_dim]`, of `rows` batch and heads together.
    pub(super) fn dims(&self) -> [usize; 5] {
        let ([batch, seq, heads, key_dim], [_, _, _, value_dim]) =
            (self.k.meta.shape().dims(), self.v.meta.shape().dims());
        [seq, batch * heads, seq.div_ceil(CHUNK), key_dim, value_dim]
    }

    /// Integers wide enough to index what comes in, the states between chunks, and parts of sums.
    pub(super) fn address_type(&self) -> AddressType {
        let [seq, rows, chunks, key_dim, value_dim] = self.dims();
        let parts = seq * key_dim.max(value_dim) * key_dim.max(value_dim).div_ceil(16);
        let made = rows * parts.max(chunks * key_dim * value_dim);
        address_type(&[&self.q, &self.k, &self.v, &self.log_decay], made)
    }
}
