//! Fused GPU code under the ops, for every CubeCL runtime.

pub(crate) mod selective_scan;

use std::any::{Any, TypeId};

use burn::backend::Cube;
use burn::tensor::Shape;
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor};
use cubecl::prelude::TensorArg;
use cubecl::{CubeCount, calculate_cube_count_elemwise};

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
