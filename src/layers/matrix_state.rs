//! What layers have in common whose state is a matrix for each head.

use burn::module::Initializer;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::state::{MixerState, StateMapper};

/// The state of layers built on [`scalar_decay`](crate::ops::scalar_decay) or
/// [`vector_decay`](crate::ops::vector_decay): a matrix for each head.
#[derive(Clone, Debug)]
pub struct MatrixState {
    /// `[batch, heads, key_dim, value_dim]`.
    pub matrix: Tensor<4>,
    /// Tokens of its current document that each row has seen.
    pub seen: Vec<usize>,
}

impl MixerState for MatrixState {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        Self { matrix: mapper.tensor("matrix", self.matrix), seen: mapper.counts("seen", self.seen) }
    }
}

/// Implements [`SequenceMixer`](super::SequenceMixer) for a layer with a [`MatrixState`], from its methods
/// `state_dims(batch)`, the shape of the matrix, and `mix(x, segments, state)`, the output and the next matrix on
/// documents and right padding.
macro_rules! matrix_mixer {
    ($Mixer:ty) => {
        const _: () = {
            use burn::tensor::assert_shape;
            use $crate::layers::positions::{check_seen, seen_after};
            use $crate::layers::{SequenceMixer, StateGrowth};

            impl SequenceMixer for $Mixer {
                type State = MatrixState;

                fn init_state(&self, batch: usize, device: &Device) -> MatrixState {
                    let options = (device, $crate::ops::output_dtype(&self.v_proj));
                    MatrixState {
                        matrix: Tensor::zeros(self.state_dims(batch), options),
                        seen: vec![0; batch],
                    }
                }

                fn forward(
                    &self,
                    x: Tensor<3>,
                    segments: Option<&Segments>,
                    state: Option<MatrixState>,
                ) -> (Tensor<3>, MatrixState) {
                    let [batch, seq, _] = x.dims();
                    assert_shape!(x, [_, _, self.config.d_model]);
                    let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
                    let ([batch, heads, key_dim, value_dim], matrix) =
                        (self.state_dims(batch), &state.matrix);
                    assert_shape!(matrix, [batch, heads, key_dim, value_dim]);
                    check_seen(&state.seen, batch);
                    Segments::aligned(x, segments, |x, segments| {
                        let seen = seen_after(segments, &state.seen, seq);
                        let (y, matrix) = self.mix(x, segments, state);
                        (y, MatrixState { matrix, seen })
                    })
                }

                fn state_growth(&self) -> StateGrowth {
                    StateGrowth::Constant
                }
            }
        };
    };
}

pub(super) use matrix_mixer;

/// A projection without bias that starts from a normal distribution of deviation 0.02.
pub(super) fn narrow_linear(from: usize, to: usize, device: &Device) -> Linear {
    let initializer = Initializer::Normal { mean: 0.0, std: 0.02 };
    LinearConfig::new(from, to).with_bias(false).with_initializer(initializer).init(device)
}
