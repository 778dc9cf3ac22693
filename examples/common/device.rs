//! The device that a flag names.

use burn::tensor::Device;
use burn_sequence::{Error, Result};

/// The device of this name, such as `flex` or `cuda:1`; `None`: the one that `BURN_DEVICE` names, or the default backend's.
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
        Some(name) if name == "cuda" || name.starts_with("cuda:") => match name.split_once(':') {
            None => Ok(Device::cuda(0)),
            Some((_, index)) => index
                .parse()
                .map(Device::cuda)
                .map_err(|problem| Error::Config(format!("device {name:?}: {problem}"))),
        },
        Some(name) => {
            let feature = name.split(':').next().unwrap_or(name);
            Err(Error::Config(format!(
                "device {name:?} is not compiled in; add `--features {feature}` to the command, or leave it out"
            )))
        }
    }
}
