//! The device that a flag names.

use burn::tensor::Device;
use burn_sequence::{Error, Result};

/// The device of this name; `None`: the one that `BURN_DEVICE` names, or the default backend's.
///
/// # Errors
///
/// If it is not compiled in.
pub fn named(name: Option<&str>) -> Result<Device> {
    match name {
        None => Ok(Device::default()),
        #[cfg(feature = "flex")]
        Some("flex") => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated, reason = "supported as long as Burn has it")]
        Some("ndarray") => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        Some("wgpu") => Ok(Device::wgpu(Default::default())),
        #[cfg(feature = "cuda")]
        Some("cuda") => Ok(Device::cuda(0)),
        Some(name) => Err(Error::Config(format!(
            "device {name:?} is not compiled in; add `--features {name}` to the command, or leave it out"
        ))),
    }
}
