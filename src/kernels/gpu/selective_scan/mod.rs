//! The selective scan.
//!
//! ```text
//! h_t = exp(Δ_t A) s_t ⊙ h_{t−1} + Δ_t u_t B_t        y_t = C_t · h_t        s_t: whether a state survives into token t
//! ```

mod backward;
mod forward;

use burn::tensor::Shape;
use burn_wgpu::CubeTensor;
use cubecl::ir::AddressType;
use cubecl::prelude::*;

use super::address_type;
use super::at;
use super::op::{Counts, GpuOp};

/// Tokens of a chunk.
const CHUNK: usize = 32;

/// Inputs `u`, `delta [batch, seq, d_inner]`, `a [d_inner, d_state]`, `b`, `c [batch, seq, d_state]`, `state
/// [batch, d_inner, d_state]`, and without a gradient `survival [batch, seq]`; output as `u`; kept are the states that
/// chunks begin with, `[batch, chunks, d_inner · d_state]`.
#[derive(Debug)]
pub(crate) struct SelectiveScan;

impl GpuOp for SelectiveScan {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let [u, _, a, _, _, state, _] = inputs else { unreachable!("seven inputs") };
        vec![(*u).clone(), (*state).clone(), between(u, a)]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [u, delta, a, b, c, state, survival] = inputs.try_into().expect("seven inputs");
        forward::forward(&Inputs { u, delta, a, b, c, survival }, state).into()
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 2, learnt: 6 }
    }

    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [u, delta, a, b, c, _, survival, before, grad_y, grad_after] =
            tensors.try_into().expect("ten tensors");
        backward::backward(&Inputs { u, delta, a, b, c, survival }, &before, &grad_y, &grad_after).into()
    }
}

/// `exp(Δ_t A) s_t` of a channel and a number of its state, whose entry of A is `rate`.
#[cube]
fn decay<F: Float>(delta: &Tensor<F>, survival: &Tensor<F>, rate: F, row: usize, t: usize, d: usize) -> F {
    (at::<F>(delta, row, t, d) * rate).exp() * survival[row * survival.stride(0) + t * survival.stride(1)]
}

/// `Δ_t u_t B_t` of a channel and a number of its state.
#[cube]
fn write<F: Float>(
    u: &Tensor<F>,
    delta: &Tensor<F>,
    b: &Tensor<F>,
    row: usize,
    t: usize,
    d: usize,
    n: usize,
) -> F {
    at::<F>(delta, row, t, d) * at::<F>(u, row, t, d) * at::<F>(b, row, t, n)
}

/// `[batch, chunks, d_inner · d_state]`: the states between chunks.
fn between(u: &Shape, a: &Shape) -> Shape {
    Shape::new([u[0], u[1].div_ceil(CHUNK), a[0] * a[1]])
}

/// What a scan reads, but for states.
struct Inputs {
    u: CubeTensor,
    delta: CubeTensor,
    a: CubeTensor,
    b: CubeTensor,
    c: CubeTensor,
    survival: CubeTensor,
}

impl Inputs {
    /// `[batch, chunks, d_inner · d_state]`.
    fn between(&self) -> Shape {
        between(self.u.meta.shape(), self.a.meta.shape())
    }

    /// Integers wide enough to index what comes in, the states between chunks, and arrays of `others` numbers.
    fn address_type(&self, others: usize) -> AddressType {
        let made = self.between().num_elements().max(self.u.meta.shape().num_elements()).max(others);
        address_type(&[&self.u, &self.delta, &self.b, &self.c], made)
    }
}
