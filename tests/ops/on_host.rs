//! Where a device's tensors lie.

use burn::backend::DispatchDevice;
use burn::tensor::Device;

/// Whether the default device is a processor: Burn's quantised tensors have not been tried on GPUs.
pub fn on_host() -> bool {
    #[allow(unreachable_patterns, reason = "which there are depends on features")]
    match Device::default().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}
