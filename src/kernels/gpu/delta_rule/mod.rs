//! The delta rule.
//!
//! ```text
//! e_t = v_t − a_t S_{t−1}ᵀ k_t        u_t = β_t e_t        S_t = a_t S_{t−1} + k_t u_tᵀ        o_t = S_tᵀ q_t
//! ```
//!
//! A column of a state, that is, a value, needs nothing of the others: one thread goes with it through all tokens, once forward and once
//! back, and leaves what there is between chunks. From there on the gradients of queries and keys are those of a
//! [recurrence that only decays](super::vector_decay), with `u` for values, and chunks go side by side.

mod backward;
mod forward;

use burn::tensor::Shape;
use burn_wgpu::CubeTensor;

use super::op::{Counts, GpuOp};
use super::vector_decay::{CHUNK, Inputs, between};

/// Inputs `q`, `k [batch, seq, heads, key_dim]`, `v [batch, seq, heads, value_dim]`, `log_decay` as `k` and the same for all of a
/// token's keys, `state [batch, heads, key_dim, value_dim]`, `beta [batch, seq, heads, 1]`; output as `v`; kept are the
/// states that chunks begin with, `[batch · heads, chunks, key_dim · value_dim]`, and as `v` what is written, and what it is
/// before `beta`.
#[derive(Debug)]
pub(crate) struct DeltaRule;

impl GpuOp for DeltaRule {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let [_, _, v, _, state, _] = inputs else { unreachable!("six inputs") };
        vec![(*v).clone(), (*state).clone(), between(v, state), (*v).clone(), (*v).clone()]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [q, k, v, log_decay, state, beta] = inputs.try_into().expect("six inputs");
        forward::forward(&Inputs { q, k, v, log_decay }, &beta, &state).into()
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 2, learnt: 6 }
    }

    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [q, k, _, log_decay, _, beta, before, written, missing, grad_o, grad_after] =
            tensors.try_into().expect("eleven tensors");
        let inputs = Inputs { q, k, v: written, log_decay };
        backward::backward(&inputs, &beta, &before, missing, &grad_o, &grad_after).into()
    }
}
