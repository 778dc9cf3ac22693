//! Fused GPU code under the ops, for every CubeCL runtime.
//!
//! A [`GpuOp`](op::GpuOp) maps tensors to tensors and has a hand-written backward; [`op::run`] makes it a differentiable
//! operation. Recurrences go over a sequence in [`chunks`].

#[cfg(feature = "autodiff")]
pub(crate) mod adamw;
#[cfg(feature = "autodiff")]
mod autodiff;
pub(crate) mod causal_conv;
mod chunks;
pub(crate) mod delta_rule;
mod elementwise;
mod heads;
pub(crate) mod norm;
pub(crate) mod op;
pub(crate) mod selective_scan;
pub(crate) mod vector_decay;

use std::any::{Any, TypeId};

use burn::backend::Cube;
use burn::tensor::Shape;
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::ir::AddressType;
use cubecl::prelude::*;

/// Whether tensors come to kernels: not where another crate has operations fused and this one does not know (feature `fusion`).
pub(crate) fn reaches_kernels() -> bool {
    cfg!(feature = "fusion") || TypeId::of::<Cube>() == TypeId::of::<CubeBackend>()
}

/// The same tensor under the other name of its type, where [`reaches_kernels`].
fn same<T: Any, U: Any>(tensor: T) -> U {
    *(Box::new(tensor) as Box<dyn Any>).downcast().expect("one type under two names")
}

/// An array whose contents do not matter yet, of `like`'s dtype and on its device.
fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    let handle = like.client.empty(shape.num_elements() * like.dtype.size());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, like.dtype)
}

/// A tensor as a kernel takes it.
fn arg(tensor: &CubeTensor) -> TensorArg {
    tensor.clone().into_tensor_arg()
}

/// As many threads as this, or a few more.
fn threads(like: &CubeTensor, count: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&like.client, count);
    (calculate_cube_count_elemwise(&like.client, count, dim), dim)
}

/// Integers wide enough to index `tensors`, and arrays of `others` numbers.
fn address_type(tensors: &[&CubeTensor], others: usize) -> AddressType {
    let others = AddressType::from_len(others);
    tensors.iter().map(|tensor| tensor.required_address_type()).fold(others, AddressType::max)
}

/// Whether entries lie in memory as they are counted.
fn in_order(tensors: &[&CubeTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.is_contiguous())
}

/// An entry of `x [batch, seq, channels]`, however it lies in memory.
#[cube]
fn at<F: Float>(x: &Tensor<F>, row: usize, t: usize, channel: usize) -> F {
    x[row * x.stride(0) + t * x.stride(1) + channel * x.stride(2)]
}

/// The `index`th entry of `x`.
#[cube]
fn entry<F: Float>(x: &Tensor<F>, index: usize, #[comptime] ordered: bool) -> F {
    if ordered { x[index] } else { x[place_of::<F>(x, index)] }
}

/// Where the entry lies in memory that is the `index`th of `x`.
#[cube]
fn place_of<F: Float>(x: &Tensor<F>, index: usize) -> usize {
    let mut left = index;
    let mut place = 0_usize;
    for back in 0..x.rank() {
        let axis = x.rank() - 1 - back;
        place += (left % x.shape(axis)) * x.stride(axis);
        left /= x.shape(axis);
    }
    place
}
