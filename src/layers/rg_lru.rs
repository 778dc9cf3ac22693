//! Griffin's recurrent block: a gated branch around a convolution and the RG-LRU.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, assert_shape};

use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use super::positions::{check_seen, seen_after};
use super::state::{MixerState, StateMapper};
use crate::check::{check_d_conv, check_sizes, expect_valid};
use crate::ops::{
    DiagonalScanInputs, Gates, Implementation, Segments, apply_linear, causal_conv, diagonal_scan, gelu,
    gelu_tanh, softplus,
};
use crate::{Error, Result};

/// Configuration of [`RgLru`].
#[derive(Config, Debug, PartialEq)]
pub struct RgLruConfig {
    /// Width of the model.
    pub d_model: usize,
    /// Width of the recurrence; `None`: `d_model`.
    pub d_rnn: Option<usize>,
    /// Blocks of the gates' projections: a gate sees the channels of its own block.
    #[config(default = 8)]
    pub n_heads: usize,
    /// Taps of the convolution.
    #[config(default = 4)]
    pub d_conv: usize,
    /// Whether the branch beside the recurrence has the tanh approximation of gelu, as RecurrentGemma's.
    #[config(default = false)]
    pub gelu_tanh: bool,
}

/// The recurrent block of Griffin and RecurrentGemma, around a real-gated linear recurrent unit.
///
/// ```text
/// v = conv(x W_x + b_x)            r = σ(v W_r + b_r)            i = σ(v W_i + b_i)            (W_r, W_i block-diagonal)
/// a = exp(−8 softplus(Λ) ⊙ r)            h_t = a_t ⊙ h_{t-1} + √(1 − a_t²) ⊙ i_t ⊙ v_t
/// output = (gelu(x W_y + b_y) ⊙ h) W_o + b_o
/// ```
///
/// At a document's first token there is no `√(1 − a²)`, as in the authors' code.
///
/// The state is constant: the last `d_conv − 1` inputs of the convolution, and `h`.
///
/// Parameters start as in the authors' code: the projections from normal distributions of variance `1 / fan_in`, the
/// convolution of `0.01 / d_conv`, biases at 0, and Λ such that `exp(−softplus(Λ))` is uniform in the ring between
/// 0.9 and 0.999.
///
/// # Source
///
/// arXiv 2402.19427, sections 2.3 and 2.4; the gates' blocks and the first token are RecurrentGemma's.
#[derive(Module, Debug)]
pub struct RgLru {
    /// `[d_model, d_rnn]`.
    pub x_proj: Linear,
    /// `[d_model, d_rnn]`.
    pub y_proj: Linear,
    /// `[d_conv, d_rnn]`.
    pub conv_weight: Param<Tensor<2>>,
    /// `[d_rnn]`.
    pub conv_bias: Param<Tensor<1>>,
    /// `[n_heads, d_rnn / n_heads, d_rnn / n_heads]`.
    pub recurrent_gate_weight: Param<Tensor<3>>,
    /// `[d_rnn]`.
    pub recurrent_gate_bias: Param<Tensor<1>>,
    /// `[n_heads, d_rnn / n_heads, d_rnn / n_heads]`.
    pub input_gate_weight: Param<Tensor<3>>,
    /// `[d_rnn]`.
    pub input_gate_bias: Param<Tensor<1>>,
    /// `[d_rnn]`: Λ.
    pub lambda: Param<Tensor<1>>,
    /// `[d_rnn, d_model]`.
    pub out_proj: Linear,
    #[module(skip)]
    config: RgLruConfig,
}

/// The state of [`RgLru`].
#[derive(Clone, Debug)]
pub struct RgLruState {
    /// `[batch, d_conv − 1, d_rnn]`: the last inputs of the convolution, the oldest first.
    pub conv: Tensor<3>,
    /// `[batch, d_rnn]`.
    pub hidden: Tensor<2>,
    /// Tokens of its current document that each row has seen.
    pub seen: Vec<usize>,
}

impl MixerState for RgLruState {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        Self {
            conv: mapper.tensor("conv", self.conv),
            hidden: mapper.tensor("hidden", self.hidden),
            seen: mapper.counts("seen", self.seen),
        }
    }
}

impl RgLruConfig {
    /// Width of the recurrence.
    pub fn d_rnn(&self) -> usize {
        self.d_rnn.unwrap_or(self.d_model)
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> RgLru {
        expect_valid(self.check());
        let Self { d_model, n_heads, d_conv, .. } = *self;
        let d_rnn = self.d_rnn();
        let block = d_rnn / n_heads;
        let normal = |variance: f64| Initializer::Normal { mean: 0.0, std: variance.sqrt() };
        let zeros = |len: usize| Initializer::Zeros.init([len], device);
        let linear = |from: usize, to: usize| {
            let initializer = normal(1.0 / from as f64);
            let mut linear = LinearConfig::new(from, to).with_initializer(initializer).init(device);
            linear.bias = Some(zeros(to));
            linear
        };
        let gate = || normal(1.0 / block as f64).init([n_heads, block, block], device);
        // softplus(Λ) = −ln radius, the square of the radius uniform: Λ = ln(1 / radius − 1).
        let area =
            Tensor::<1>::random([d_rnn], Distribution::Uniform(0.9_f64.powi(2), 0.999_f64.powi(2)), device);
        RgLru {
            x_proj: linear(d_model, d_rnn),
            y_proj: linear(d_model, d_rnn),
            conv_weight: normal(0.01 / d_conv as f64).init([d_conv, d_rnn], device),
            conv_bias: zeros(d_rnn),
            recurrent_gate_weight: gate(),
            recurrent_gate_bias: zeros(d_rnn),
            input_gate_weight: gate(),
            input_gate_bias: zeros(d_rnn),
            lambda: Param::from_tensor((area.sqrt().recip() - 1.0).log()),
            out_proj: linear(d_rnn, d_model),
            config: self.clone(),
        }
    }
}

impl BuildMixer for RgLruConfig {
    type Mixer = RgLru;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let (d_rnn, n_heads) = (self.d_rnn(), self.n_heads);
        let sizes = [("d_model", self.d_model), ("d_rnn", d_rnn), ("n_heads", n_heads)];
        check_sizes("rg_lru", &sizes)?;
        check_d_conv("rg_lru", self.d_conv)?;
        if d_rnn % n_heads != 0 {
            return Err(Error::Config(format!("rg_lru: n_heads ({n_heads}) must divide d_rnn ({d_rnn})")));
        }
        Ok(())
    }

    fn build(&self, device: &Device) -> RgLru {
        self.init(device)
    }
}

/// c of the paper.
const SHARPNESS: f64 = 8.0;

impl RgLru {
    /// What this layer was built from.
    pub fn config(&self) -> &RgLruConfig {
        &self.config
    }

    fn check_state(&self, state: &RgLruState, batch: usize) {
        let (d_rnn, past) = (self.config.d_rnn(), self.config.d_conv - 1);
        let RgLruState { conv, hidden, seen } = state;
        check_seen(seen, batch);
        assert_shape!(conv, [batch, past, d_rnn]);
        assert_shape!(hidden, [batch, d_rnn]);
    }

    /// A projection of every block of channels by itself.
    fn by_block(&self, x: Tensor<3>, weight: &Param<Tensor<3>>, bias: &Param<Tensor<1>>) -> Tensor<3> {
        let [batch, seq, d_rnn] = x.dims();
        let n_heads = self.config.n_heads;
        let blocks = x.reshape([batch * seq, n_heads, d_rnn / n_heads]).swap_dims(0, 1);
        let y = blocks.matmul(weight.val()).swap_dims(0, 1).reshape([batch, seq, d_rnn]);
        y + bias.val().unsqueeze()
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: RgLruState) -> (Tensor<3>, RgLruState) {
        let [_, seq, _] = x.dims();
        let gelu = if self.config.gelu_tanh { gelu_tanh } else { gelu };
        let y = gelu(apply_linear(&self.y_proj, x.clone()));
        let x = apply_linear(&self.x_proj, x);
        let bias = Some(self.conv_bias.val());
        let (x, conv) =
            causal_conv(x, self.conv_weight.val(), bias, state.conv, segments, Implementation::Auto);
        let gates = Gates::RgLru {
            recurrent: self.by_block(x.clone(), &self.recurrent_gate_weight, &self.recurrent_gate_bias),
            input: self.by_block(x.clone(), &self.input_gate_weight, &self.input_gate_bias),
            x,
            rate: softplus(self.lambda.val()) * SHARPNESS,
            begins: state.seen.iter().map(|&seen| seen == 0).collect(),
        };
        let inputs = DiagonalScanInputs { gates, state: state.hidden, segments: segments.cloned() };
        let (h, hidden) = diagonal_scan(inputs, Implementation::Auto);
        let seen = seen_after(segments, &state.seen, seq);
        (apply_linear(&self.out_proj, y * h), RgLruState { conv, hidden, seen })
    }
}

impl SequenceMixer for RgLru {
    type State = RgLruState;

    fn init_state(&self, batch: usize, device: &Device) -> RgLruState {
        let (d_rnn, options) = (self.config.d_rnn(), (device, self.lambda.val().dtype()));
        RgLruState {
            conv: Tensor::zeros([batch, self.config.d_conv - 1, d_rnn], options),
            hidden: Tensor::zeros([batch, d_rnn], options),
            seen: vec![0; batch],
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<RgLruState>,
    ) -> (Tensor<3>, RgLruState) {
        let [batch, _, _] = x.dims();
        assert_shape!(x, [_, _, self.config.d_model]);
        let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
        self.check_state(&state, batch);
        Segments::aligned(x, segments, |x, segments| self.mix(x, segments, state))
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
