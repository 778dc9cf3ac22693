//! The device that a flag names.

use burn::tensor::Device;
use burn_sequence::{Error, Result};

/// Those that a feature of this crate of the same name compiles in.
const NAMES: [&str; 8] = ["flex", "ndarray", "wgpu", "vulkan", "webgpu", "metal", "cuda", "rocm"];

/// The device of this name, such as `flex` or `cuda:1`; `None`: the one that `BURN_DEVICE` names, or the default backend's.
///
/// # Errors
///
/// If there is none of this name, or it is not compiled in.
pub fn named(name: Option<&str>) -> Result<Device> {
    let variable = std::env::var("BURN_DEVICE").ok().filter(|name| !name.is_empty());
    let Some(name) = name.map(str::to_string).or(variable) else { return Ok(Device::default()) };
    let lower = name.to_lowercase();
    let (kind, index) = lower.split_once(':').map_or((&*lower, None), |(kind, index)| (kind, Some(index)));
    let problem = |problem: String| Err(Error::Config(format!("device {name:?}: {problem}")));
    if !NAMES.contains(&kind) {
        return problem(format!("expected one of {}", NAMES.join(", ")));
    }
    let index = match index.map(str::parse::<usize>).transpose() {
        Ok(index) => index,
        Err(error) => return problem(error.to_string()),
    };
    if index.is_some() && !["cuda", "rocm"].contains(&kind) {
        return problem("only cuda and rocm take a number".into());
    }
    match kind {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated, reason = "supported as long as Burn has it")]
        "ndarray" => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(Default::default())),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(Default::default())),
        #[cfg(feature = "webgpu")]
        "webgpu" => Ok(Device::webgpu(Default::default())),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(Default::default())),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(index.unwrap_or(0))),
        #[cfg(feature = "rocm")]
        "rocm" => Ok(Device::rocm(index.unwrap_or(0))),
        _ => problem(format!("not compiled in; add `--features {kind}` to the command, or name another")),
    }
}
