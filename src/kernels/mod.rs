//! Fused code under the ops; on the CPU slices in, slices out, forward and backward.
//!
//! An operation implements [`host::HostOp`] once, generically over `f32` and `f64`; [`host`] makes it an
//! operation of both CPU backends and of their autodiff wrappers. Nothing above this module knows slices,
//! and nothing outside it is `unsafe` but the mapping of checkpoint files. [`gpu`] holds kernels for GPUs.

#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) mod cpu;
pub(crate) mod elementwise;
#[cfg(feature = "_gpu")]
pub(crate) mod gpu;
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) mod host;
#[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray", feature = "_gpu")))]
mod outputs;
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) mod real;
#[cfg(any(feature = "flex", feature = "ndarray", feature = "_gpu"))]
mod tensors;

#[cfg(any(feature = "flex", feature = "ndarray", feature = "_gpu"))]
use burn::tensor::{DType, Tensor};

/// Which implementation of an op runs.
///
/// Nothing switches algorithm silently by length: [`Auto`](Implementation::Auto) looks only at the
/// device and the dtype.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// The fused kernel where the device's backend has one for the dtype, else the portable form.
    #[default]
    Auto,
    /// Plain tensor operations, on every backend and float dtype.
    Portable,
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
impl Implementation {
    /// Whether the fused host kernels serve this tensor.
    pub(crate) fn is_fused<const D: usize>(self, tensor: &Tensor<D>) -> bool {
        self == Self::Auto && matches!(tensor.dtype(), DType::F32 | DType::F64) && on_host(tensor)
    }
}

#[cfg(feature = "_gpu")]
impl Implementation {
    /// Whether the fused GPU kernels serve this tensor.
    pub(crate) fn is_fused_on_gpu<const D: usize>(self, tensor: &Tensor<D>) -> bool {
        use burn::backend::DispatchDevice;
        let device = tensor.device().inner();
        self == Self::Auto
            && gpu::reaches_kernels()
            && tensor.dtype() == DType::F32
            && matches!(device.as_dispatch(), DispatchDevice::Cube(_))
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn on_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_host(&tensor.device().inner())
}

/// What `work` returns, done on a thread of the pool where `device` is a CPU that records no gradients.
///
/// Decoding a token is hundreds of small parallel operations. From a thread outside the pool each of them wakes a worker
/// and waits for it, which may take as long as the operation; from a worker, none does.
pub(crate) fn among_workers<T: Send>(device: &burn::tensor::Device, work: impl FnOnce() -> T + Send) -> T {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if is_host(device) {
        return rayon::scope(|_| work());
    }
    let _ = device;
    work()
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) fn is_host(device: &burn::tensor::Device) -> bool {
    use burn::backend::DispatchDevice;
    #[allow(unreachable_patterns)]
    match device.as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}
