//! Elementwise functions that the layers share, safe at both ends of the number line.

use burn::tensor::{Tensor, activation::relu};

/// `ln(1 + eˣ)`, without overflow: `max(x, 0) + ln(1 + e^(−|x|))`.
pub(super) fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    relu(x.clone()) + x.abs().neg().exp().log1p()
}
