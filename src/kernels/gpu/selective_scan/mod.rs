//! The selective scan: chunks of tokens side by side, and between chunks the state.
//!
//! ```text
//! h_t = exp(Δ_t A) s_t ⊙ h_{t−1} + Δ_t u_t B_t        y_t = C_t · h_t        s_t: whether a state survives into token t
//! ```
//!
//! Every chunk is read from a state of zeros, which gives what it adds to a state; then one thread for each number of a state
//! goes from chunk to chunk; then every chunk is read once more from the state that it really begins with. Back the
//! same way, with gradients for states. Only states between chunks are kept for the backward.

#[cfg(feature = "autodiff")]
mod autodiff;
mod backward;
mod forward;
#[cfg(feature = "fusion")]
mod specs;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, backend_extension};
use burn::tensor::Shape;
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::ir::AddressType;
use cubecl::prelude::*;

use super::same;

/// Tokens of a chunk.
const CHUNK: usize = 32;

/// An entry of `x [batch, seq, channels]`, however it lies in memory.
#[cube]
fn at<F: Float>(x: &Tensor<F>, row: usize, t: usize, channel: usize) -> F {
    x[row * x.stride(0) + t * x.stride(1) + channel * x.stride(2)]
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

/// An entry of the states between chunks, however they lie in memory.
#[cube]
fn state_before<F: Float>(before: &Tensor<F>, row: usize, chunk: usize, d: usize, n: usize) -> F {
    before[row * before.stride(0) + chunk * before.stride(1) + d * before.stride(2) + n * before.stride(3)]
}

/// Where a block ends that begins at `start`, of `len` in all.
#[cube]
fn end_of(start: usize, len: usize, #[comptime] block: usize) -> usize {
    let mut end = start + block;
    if end > len {
        end = len;
    }
    end
}

/// `[batch, chunks, d_inner, d_state]`: the states between chunks.
fn between(u: &Shape, a: &Shape) -> Shape {
    Shape::new([u[0], u[1].div_ceil(CHUNK), a[0], a[1]])
}

/// Shapes: `u`, `delta`, `y [batch, seq, d_inner]`, `a [d_inner, d_state]`, `b`, `c [batch, seq, d_state]`, states
/// `[batch, d_inner, d_state]`, `survival [batch, seq]`, `before` as [`between`] says.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "tensors, one by one, are what an extension takes"
)]
pub(crate) trait ScanKernels: Backend {
    /// `(y, the state after, before)`.
    #[fusion(meta = specs::forward)]
    fn selective_scan_forward(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        state: FloatTensor<Self>,
        survival: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of `u`, `delta`, `a`, `b`, `c` and the state before.
    #[fusion(meta = specs::backward)]
    fn selective_scan_backward(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        before: FloatTensor<Self>,
        survival: FloatTensor<Self>,
        grad_y: FloatTensor<Self>,
        grad_after: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );
}

/// The backend that kernels are written for.
#[cfg(feature = "fusion")]
type Kernels = CubeBackend;
/// With `burn/fusion`, which another crate may turn on, this is another backend, and [`super::reaches_kernels`] says no: then none
/// of this runs, but it compiles.
#[cfg(not(feature = "fusion"))]
type Kernels = Cube;

impl ScanKernels for Kernels {
    fn selective_scan_forward(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        state: FloatTensor<Self>,
        survival: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [u, delta, a, b, c, survival, state] = [u, delta, a, b, c, survival, state].map(same);
        let (y, after, before) = forward::forward(&Inputs { u, delta, a, b, c, survival }, state);
        (same(y), same(after), same(before))
    }

    fn selective_scan_backward(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        before: FloatTensor<Self>,
        survival: FloatTensor<Self>,
        grad_y: FloatTensor<Self>,
        grad_after: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let [u, delta, a, b, c, survival] = [u, delta, a, b, c, survival].map(same);
        let [before, grad_y, grad_after] = [before, grad_y, grad_after].map(same);
        let inputs = Inputs { u, delta, a, b, c, survival };
        let (u, delta, a, b, c, state) = backward::backward(&inputs, &before, &grad_y, &grad_after);
        (same(u), same(delta), same(a), same(b), same(c), same(state))
    }
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
    /// `[batch, chunks, d_inner, d_state]`.
    fn between(&self) -> Shape {
        between(self.u.meta.shape(), self.a.meta.shape())
    }

    /// Integers wide enough to index what comes in, the states between chunks, and arrays of `others` numbers.
    fn address_type(&self, others: usize) -> AddressType {
        let made = AddressType::from_len(self.between().num_elements().max(others));
        self.u.required_address_type().max(self.b.required_address_type()).max(made)
    }
}

#[backend_extension(Cube, Autodiff: cfg(feature = "autodiff"))]
pub(crate) trait GpuScan: Backend {
    /// `(y, the state after)`, with gradients where they are recorded; of `survival` there are none.
    fn selective_scan_on_gpu(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        state: FloatTensor<Self>,
        survival: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl GpuScan for Cube {
    fn selective_scan_on_gpu(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        state: FloatTensor<Self>,
        survival: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (y, after, _) = Self::selective_scan_forward(u, delta, a, b, c, state, survival);
        (y, after)
    }
}
