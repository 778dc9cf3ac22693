//! How close two ways to compute the same must come.

use burn::tensor::Device;

/// Largest differences, relative to the largest entry of an array, in f32.
///
/// Two forms of a mixer add the same numbers in another order. With the few hundred terms of these tests that
/// moves values by some 10 units in the last place (6e-8 each) through a layer; gradients go through about
/// twice the operations and cancel more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Of outputs.
    pub forward: f32,
    /// Of gradients.
    pub gradient: f32,
}

impl Tolerance {
    /// What holds on a device.
    ///
    /// CPU backends: 1e-5, and 2e-4 for gradients; the worst of the crate's own mixers and hybrids come to 1.5e-6
    /// and 1e-4. Other backends: 1e-4 and 1e-3, because the `exp`, `tanh` and
    /// division of a GPU are approximations of a few units in the last place, and its products add in trees
    /// whose shape depends on the length.
    pub fn of(device: &Device) -> Self {
        if on_cpu(device) {
            Self { forward: 1e-5, gradient: 2e-4 }
        } else {
            Self { forward: 1e-4, gradient: 1e-3 }
        }
    }
}

fn on_cpu(device: &Device) -> bool {
    use burn::backend::DispatchDevice;
    #[allow(unreachable_patterns)]
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}
