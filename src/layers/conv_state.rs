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

/// Implements [`SequenceMixer`](super::SequenceMixer) for a layer with a [`ConvState`] of so many dimensions, from its
/// methods `state_dims(batch)`, the shapes of the state, and `mix(x, segments, state)`, the output and the next state on
/// documents and right padding.
macro_rules! conv_mixer {
    ($Mixer:ty, $dimensions:literal) => {
        const _: () = {
            use burn::tensor::assert_shape;
            use $crate::layers::{SequenceMixer, StateGrowth};

            impl SequenceMixer for $Mixer {
                type State = ConvState<$dimensions>;

                fn init_state(&self, batch: usize, device: &Device) -> Self::State {
                    ConvState::empty(self.state_dims(batch), self.a_log.val().dtype(), device)
                }

                fn forward(
                    &self,
                    x: Tensor<3>,
                    segments: Option<&Segments>,
                    state: Option<Self::State>,
                ) -> (Tensor<3>, Self::State) {
                    let [batch, _, _] = x.dims();
                    assert_shape!(x, [_, _, self.config.d_model]);
                    let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
                    state.check(self.state_dims(batch));
                    Segments::aligned(x, segments, |x, segments| self.mix(x, segments, state))
                }

                fn state_growth(&self) -> StateGrowth {
                    StateGrowth::Constant
                }
            }
        };
    };
}

pub(super) use conv_mixer;
