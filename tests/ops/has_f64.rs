//! What a device can be compared in.

use burn::tensor::{DType, Device, Tensor};

/// Whether the device computes in f64: Vulkan stores and adds such numbers, but its exponential is none of theirs.
pub fn has_f64() -> bool {
    let device = Device::default();
    device.supports_dtype(DType::F64) && {
        let e = Tensor::<1>::from_data([1.0_f64], (&device, DType::F64)).exp().into_scalar::<f64>();
        (e - std::f64::consts::E).abs() < 1e-12
    }
}
