//! The selective scan with the states of a channel in one thread's registers.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

/// One thread runs one channel of one row through all tokens; neighbouring threads read neighbouring channels. Inputs
/// are read as they lie in memory.
#[cube(launch, address_type = "dynamic")]
fn scan_channel<F: Float>(
    u: &Tensor<F>,
    delta: &Tensor<F>,
    a: &Tensor<F>,
    b: &Tensor<F>,
    c: &Tensor<F>,
    before: &Tensor<F>,
    survival: &Tensor<F>,
    y: &mut Tensor<F>,
    after: &mut Tensor<F>,
    #[comptime] d_state: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, d_inner) = (u.shape(1), u.shape(2));
    let channel = ABSOLUTE_POS;
    if channel >= u.shape(0) * d_inner {
        terminate!();
    }
    let row = channel / d_inner;
    let d = channel % d_inner;
    let mut h = Array::<F>::new(d_state);
    let mut rates = Array::<F>::new(d_state);
    for n in 0..d_state {
        h[n] = before[row * before.stride(0) + d * before.stride(1) + n * before.stride(2)];
        rates[n] = a[d * a.stride(0) + n * a.stride(1)];
    }
    for t in 0..seq {
        let step = delta[row * delta.stride(0) + t * delta.stride(1) + d * delta.stride(2)];
        let write = step * u[row * u.stride(0) + t * u.stride(1) + d * u.stride(2)];
        let survives = survival[row * survival.stride(0) + t * survival.stride(1)];
        let b_at = row * b.stride(0) + t * b.stride(1);
        let c_at = row * c.stride(0) + t * c.stride(1);
        let mut read = F::new(0.0_f32);
        for n in 0..d_state {
            let decay = (step * rates[n]).exp() * survives;
            let value = decay * h[n] + write * b[b_at + n * b.stride(2)];
            h[n] = value;
            read += value * c[c_at + n * c.stride(2)];
        }
        y[(row * seq + t) * d_inner + d] = read;
    }
    for n in 0..d_state {
        after[channel * d_state + n] = h[n];
    }
}

#[backend_extension(Cube: cfg(feature = "wgpu"))]
pub(crate) trait GpuScan: Backend {
    /// `[u, delta, a, b, c, state, survival [batch, seq]]` to `[y, state]`.
    #[allow(clippy::too_many_arguments, reason = "tensors, one by one, are what an extension takes")]
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

impl GpuScan for CubeBackend {
    fn selective_scan_on_gpu(
        u: CubeTensor,
        delta: CubeTensor,
        a: CubeTensor,
        b: CubeTensor,
        c: CubeTensor,
        state: CubeTensor,
        survival: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let like = |tensor: &CubeTensor| {
            let shape = tensor.meta.shape().clone();
            let handle = tensor.client.empty(shape.num_elements() * tensor.dtype.size());
            CubeTensor::new_contiguous(
                tensor.client.clone(),
                tensor.device.clone(),
                shape,
                handle,
                tensor.dtype,
            )
        };
        let (y, after) = (like(&u), like(&state));
        let channels = state.meta.shape()[0] * state.meta.shape()[1];
        let d_state = state.meta.shape()[2];
        let client = u.client.clone();
        let cube_dim = CubeDim::new(&client, channels);
        let cube_count = calculate_cube_count_elemwise(&client, channels, cube_dim);
        scan_channel::launch(
            &client,
            cube_count,
            cube_dim,
            u.required_address_type().max(state.required_address_type()),
            u.into_tensor_arg(),
            delta.into_tensor_arg(),
            a.into_tensor_arg(),
            b.into_tensor_arg(),
            c.into_tensor_arg(),
            state.into_tensor_arg(),
            survival.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            after.clone().into_tensor_arg(),
            d_state,
            f32::elem_type_native(),
        );
        (y, after)
    }
}
