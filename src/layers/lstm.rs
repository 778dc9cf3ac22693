//! The LSTM of `burn-nn`, as a mixer: the recurrent baseline.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{GateController, Lstm as BurnLstm, LstmConfig as BurnLstmConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData, assert_shape};

use super::mamba::check_sizes;
use super::mixer::{BuildMixer, SequenceMixer, StateGrowth, expect_valid};
use super::state::{MixerState, StateMapper};
use crate::Result;
use crate::ops::Segments;

/// Configuration of [`Lstm`].
#[derive(Config, Debug, PartialEq)]
pub struct LstmConfig {
    /// Width of the model, of the hidden state and of the cell.
    pub d_model: usize,
}

/// A long short-term memory of one layer, `burn-nn`'s.
///
/// ```text
/// i, f, o = σ(x W + h U + b)        g = tanh(x W_g + h U_g + b_g)        c ← f ⊙ c + i ⊙ g        h ← o ⊙ tanh(c)
/// ```
///
/// The state is constant: `h` and `c`. Nothing of it runs in parallel over the sequence, which is what the
/// other mixers are for.
///
/// Parameters start as `burn-nn`'s, by Xavier's normal rule.
///
/// # Source
///
/// Hochreiter and Schmidhuber, 1997, with forget gates.
#[derive(Module, Debug)]
pub struct Lstm {
    /// The layer.
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
    /// `burn-nn`'s own loop collects outputs in the default float type, and copies all of them for every token.
    fn run(&self, x: Tensor<3>, mut state: LstmState) -> (Tensor<3>, LstmState) {
        let mut outputs = Vec::with_capacity(x.dims()[1]);
        for x in x.iter_dim(1) {
            state = self.cell(x.squeeze_dim(1), state);
            outputs.push(state.hidden.clone().unsqueeze_dim(1));
        }
        (Tensor::cat(outputs, 1), state)
    }

    /// One token.
    fn cell(&self, x: Tensor<2>, LstmState { cell, hidden }: LstmState) -> LstmState {
        let gate = |gate: &GateController| gate.gate_product(x.clone(), hidden.clone());
        let forget = self.lstm.forget_gate.as_ref().expect("built with a forget gate");
        let written = sigmoid(gate(&self.lstm.input_gate)) * gate(&self.lstm.cell_gate).tanh();
        let cell = sigmoid(gate(forget)) * cell + written;
        let hidden = sigmoid(gate(&self.lstm.output_gate)) * cell.clone().tanh();
        LstmState { cell, hidden }
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, mut state: LstmState) -> (Tensor<3>, LstmState) {
        let Some(segments) = segments else { return self.run(x, state) };
        let [_, seq, _] = x.dims();
        // Column t of row b: 1 where the earlier state counts, and 1 where there is a token.
        let survival = segments.survival(&x.device()).cast(x.dtype());
        let mask = segments.mask(&x.device()).cast(x.dtype());
        let mut outputs = Vec::with_capacity(seq);
        for t in 0..seq {
            let survives = survival.clone().narrow(1, t, 1);
            let before = LstmState { cell: state.cell * survives.clone(), hidden: state.hidden * survives };
            let (y, after) = self.run(x.clone().narrow(1, t, 1), before.clone());
            outputs.push(y);
            let token = mask.clone().narrow(1, t, 1);
            let choose =
                |after: Tensor<2>, before: Tensor<2>| before.clone() + (after - before) * token.clone();
            let cell = choose(after.cell, before.cell);
            state = LstmState { cell, hidden: choose(after.hidden, before.hidden) };
        }
        (Tensor::cat(outputs, 1), state)
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

    fn step(&self, x: Tensor<2>, state: LstmState) -> (Tensor<2>, LstmState) {
        let (y, state) = self.forward(x.unsqueeze_dim(1), None, Some(state));
        (y.squeeze_dim(1), state)
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
