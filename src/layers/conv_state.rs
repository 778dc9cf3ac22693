//! The state of a recurrence behind a short convolution.

use burn::tensor::{DType, Device, Tensor, assert_shape};

use super::state::{MixerState, StateMapper};

/// The state of mixers that convolve their input over a few tokens before a recurrence: of [`Mamba`](super::Mamba),
/// [`Mamba2`](super::Mamba2), [`DeltaNet`](super::DeltaNet) and [`GatedDeltaNet`](super::GatedDeltaNet).
#[derive(Clone, Debug)]
pub struct ConvState<const D: usize> {
    /// `[batch, d_conv − 1, channels]`: the last inputs of the convolution, the oldest first.
    pub conv: Tensor<3>,
    /// The recurrence's own: `[batch, d_inner, d_state]` for Mamba, `[batch, heads, key_dim, value_dim]` for the others.
    pub recurrent: Tensor<D>,
}

impl<const D: usize> MixerState for ConvState<D> {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        Self { conv: mapper.tensor("conv", self.conv), recurrent: mapper.tensor("recurrent", self.recurrent) }
    }
}

/// The shapes of the two parts.
pub(super) type ConvStateDims<const D: usize> = ([usize; 3], [usize; D]);

impl<const D: usize> ConvState<D> {
    /// The state before the first token.
    pub(super) fn empty((conv, recurrent): ConvStateDims<D>, dtype: DType, device: &Device) -> Self {
        let options = (device, dtype);
        Self { conv: Tensor::zeros(conv, options), recurrent: Tensor::zeros(recurrent, options) }
    }

    /// Panics unless the parts have these shapes.
    pub(super) fn check(&self, (expected, recurrent): ConvStateDims<D>) {
        let [batch, past, channels] = expected;
        let conv = &self.conv;
        assert_shape!(conv, [batch, past, channels]);
        let found = self.recurrent.dims();
        assert_eq!(found, recurrent, "state: expected recurrent {recurrent:?}, got {found:?}");
    }
}
