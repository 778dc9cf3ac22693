//! The LSTM, with the parameters of `burn-nn`'s: the recurrent baseline.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{GateController, Linear, Lstm as BurnLstm, LstmConfig as BurnLstmConfig};
use burn::tensor::{Device, Tensor, TensorData, activation::sigmoid, assert_shape};

use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use super::state::{MixerState, StateMapper};
use crate::Result;
use crate::check::{check_sizes, expect_valid};
use crate::ops::{Implementation, LstmInputs, Segments, WeightLayout, apply_linear, linear, lstm};

/// Configuration of [`Lstm`].
#[derive(Config, Debug, PartialEq)]
pub struct LstmConfig {
    /// Width of the model, of the hidden state and of the cell.
    pub d_model: usize,
}

/// A long short-term memory of one layer.
///
/// ```text
/// i, f, o = σ(x W + h U + b)        g = tanh(x W_g + h U_g + b_g)        c ← f ⊙ c + i ⊙ g        h ← o ⊙ tanh(c)
/// ```
///
/// The state is constant: `h` and `c`. Nothing of it runs in parallel over the sequence, which is what the
/// other mixers are for.
///
/// Parameters are those of `burn-nn`'s layer, and start as its, by Xavier's normal rule; it runs by the op
/// [`lstm`](fn@lstm), since the layer's own loop needs f32, and time quadratic in the sequence for gradients.
///
/// # Source
///
/// Hochreiter and Schmidhuber, 1997, with forget gates.
#[derive(Module, Debug)]
pub struct Lstm {
    /// The parameters.
    pub lstm: BurnLstm,
    d_model: usize,
}

/// The state of [`Lstm`].
#[derive(Clone, Debug)]
pub struct LstmState {
    /// `[batch, d_model]`.
    pub cell: Tensor<2>,
    /// `[batch, d_model]`.
    pub hidden: Tensor<2>,
}

impl MixerState for LstmState {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        Self { cell: mapper.tensor("cell", self.cell), hidden: mapper.tensor("hidden", self.hidden) }
    }
}

impl LstmConfig {
    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Lstm {
        expect_valid(self.check());
        Lstm {
            lstm: BurnLstmConfig::new(self.d_model, self.d_model, true).init(device),
            d_model: self.d_model,
        }
    }
}

impl BuildMixer for LstmConfig {
    type Mixer = Lstm;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        check_sizes("lstm", &[("d_model", self.d_model)])
    }

    fn build(&self, device: &Device) -> Lstm {
        self.init(device)
    }
}

impl Lstm {
    /// i, f, o and g, in the order of the [op](lstm).
    fn gates(&self) -> [&GateController; 4] {
        let forget = self.lstm.forget_gate.as_ref().expect("built with a forget gate");
        [&self.lstm.input_gate, forget, &self.lstm.output_gate, &self.lstm.cell_gate]
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: LstmState) -> (Tensor<3>, LstmState) {
        let beside = |part: fn(&GateController) -> &Linear| {
            let weights = self.gates().map(|gate| part(gate).weight.val());
            let biases = self.gates().map(|gate| part(gate).bias.as_ref().expect("built with biases").val());
            (Tensor::cat(weights.into(), 1), Tensor::cat(biases.into(), 0))
        };
        let (weight, bias) = beside(|gate| &gate.input_transform);
        let (recurrent, more) = beside(|gate| &gate.hidden_transform);
        let inputs = LstmInputs {
            gates: linear(x, weight, Some(bias + more), WeightLayout::InputFirst, Implementation::Auto),
            recurrent,
            hidden: state.hidden,
            cell: state.cell,
            segments: segments.cloned(),
        };
        let (y, [hidden, cell]) = lstm(inputs, Implementation::Auto);
        (y, LstmState { cell, hidden })
    }
}

impl SequenceMixer for Lstm {
    type State = LstmState;

    fn init_state(&self, batch: usize, device: &Device) -> LstmState {
        let dtype = self.lstm.input_gate.input_transform.weight.val().dtype();
        let zeros = Tensor::from_data(TensorData::zeros::<f32, _>([batch, self.d_model]), (device, dtype));
        LstmState { cell: zeros.clone(), hidden: zeros }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<LstmState>,
    ) -> (Tensor<3>, LstmState) {
        let [batch, _, _] = x.dims();
        let d_model = self.d_model;
        assert_shape!(x, [_, _, d_model]);
        let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
        let LstmState { cell, hidden } = &state;
        assert_shape!(cell, [batch, d_model]);
        assert_shape!(hidden, [batch, d_model]);
        Segments::aligned(x, segments, |x, segments| self.mix(x, segments, state))
    }

    /// Gate by gate: `forward` sets the weights of all side by side, three times the memory that a token needs.
    fn step(&self, x: Tensor<2>, state: LstmState) -> (Tensor<2>, LstmState) {
        let [batch, _] = x.dims();
        let d_model = self.d_model;
        assert_shape!(x, [_, d_model]);
        let LstmState { cell, hidden } = state;
        assert_shape!(cell, [batch, d_model]);
        assert_shape!(hidden, [batch, d_model]);
        let [input, forget, output, candidate] = self.gates().map(|gate| {
            apply_linear(&gate.input_transform, x.clone())
                + apply_linear(&gate.hidden_transform, hidden.clone())
        });
        let cell = sigmoid(forget) * cell + sigmoid(input) * candidate.tanh();
        let hidden = sigmoid(output) * cell.clone().tanh();
        (hidden.clone(), LstmState { cell, hidden })
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
