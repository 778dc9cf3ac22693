//! DeltaNet: linear attention that replaces what is stored under a key.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, assert_shape};

use super::conv_state::{ConvState, ConvStateDims};
use super::heads::{gated_heads, to_heads};
use super::mamba::conv_initializer;
use super::matrix_state::narrow_linear;
use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use crate::check::{check_d_conv, check_positive, check_sizes, expect_valid};
use crate::ops::{
    DeltaRuleInputs, Implementation, Segments, apply_linear, causal_conv_silu, delta_rule, rms_norm, sigmoid,
};
use crate::{Error, Result};

/// Configuration of [`DeltaNet`].
#[derive(Config, Debug, PartialEq)]
pub struct DeltaNetConfig {
    /// Width of the model.
    pub d_model: usize,
    /// Heads of queries and keys.
    #[config(default = 8)]
    pub n_heads: usize,
    /// Heads of values, each with a matrix of its own, a multiple of `n_heads`; `None`: `n_heads`.
    pub n_v_heads: Option<usize>,
    /// Dimensions of a head's queries and keys; `None`: `d_model / n_heads`.
    pub head_dim: Option<usize>,
    /// A head's values have `expand_v · head_dim` dimensions.
    #[config(default = 1)]
    pub expand_v: usize,
    /// Taps of the convolution.
    #[config(default = 4)]
    pub d_conv: usize,
    /// Whether β lies in (0, 2) and not in (0, 1), so that a token can turn around what the state holds under its key
    /// (arXiv 2411.12537).
    #[config(default = false)]
    pub allow_negative_eigenvalues: bool,
    /// Whether outputs are multiplied by `silu(x W_g)`.
    #[config(default = false)]
    pub output_gate: bool,
    /// Tokens handled at once.
    #[config(default = 32)]
    pub chunk_size: usize,
    /// Of the normalisation of every head's output.
    #[config(default = 1e-5)]
    pub norm_epsilon: f64,
}

/// DeltaNet.
///
/// ```text
/// q, k, v = silu(conv(x W_qkv))           q ← q / (‖q‖ √head_dim)           k ← k / ‖k‖           β = σ(x W_b)
/// S_t = S_{t-1} + β_t k_t (v_t − S_{t-1}ᵀ k_t)ᵀ           o_t = S_tᵀ q_t                         (for each head)
/// output = rms_norm_h(o) W_o              (with a gate: (rms_norm_h(o) ⊙ silu(x W_g)) W_o)
/// ```
///
/// β is twice that with `allow_negative_eigenvalues`. `‖x‖ = √(Σ x² + 1e-6)`; the normalisation of outputs is over each
/// head, with one weight for all.
///
/// The state is constant: the last `d_conv − 1` inputs of the convolution, and `head_dim × expand_v · head_dim` numbers
/// for each head of values.
///
/// Projections start from a normal distribution of deviation 0.02, the convolution uniform within `± d_conv^(−1/2)`,
/// the norm at 1.
///
/// # Source
///
/// arXiv 2406.06484, section 3.3, as flash-linear-attention builds it.
#[derive(Module, Debug)]
pub struct DeltaNet {
    /// `[d_model, 2 · n_heads · head_dim + n_v_heads · head_v_dim]`: q, then k, then v.
    pub qkv_proj: Linear,
    /// `[d_conv, 2 · n_heads · head_dim + n_v_heads · head_v_dim]`.
    pub conv_weight: Param<Tensor<2>>,
    /// `[d_model, n_v_heads]`.
    pub b_proj: Linear,
    /// `[d_model, n_v_heads · head_v_dim]`, with `output_gate`.
    pub g_proj: Option<Linear>,
    /// `[head_v_dim]`: the scale of the normalisation of outputs.
    pub norm_weight: Param<Tensor<1>>,
    /// `[n_v_heads · head_v_dim, d_model]`.
    pub o_proj: Linear,
    #[module(skip)]
    config: DeltaNetConfig,
}

impl DeltaNetConfig {
    /// Heads of values.
    pub fn n_v_heads(&self) -> usize {
        self.n_v_heads.unwrap_or(self.n_heads)
    }

    /// Dimensions of a head's queries and keys.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.d_model / self.n_heads.max(1))
    }

    /// Dimensions of a head's values.
    pub fn head_v_dim(&self) -> usize {
        self.expand_v * self.head_dim()
    }

    fn keys(&self) -> usize {
        self.n_heads * self.head_dim()
    }

    fn values(&self) -> usize {
        self.n_v_heads() * self.head_v_dim()
    }

    fn conv_width(&self) -> usize {
        2 * self.keys() + self.values()
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> DeltaNet {
        expect_valid(self.check());
        let linear = |from: usize, to: usize| narrow_linear(from, to, device);
        let (conv_width, values) = (self.conv_width(), self.values());
        DeltaNet {
            qkv_proj: linear(self.d_model, conv_width),
            conv_weight: conv_initializer(self.d_conv).init([self.d_conv, conv_width], device),
            b_proj: linear(self.d_model, self.n_v_heads()),
            g_proj: self.output_gate.then(|| linear(self.d_model, values)),
            norm_weight: Initializer::Ones.init([self.head_v_dim()], device),
            o_proj: linear(values, self.d_model),
            config: self.clone(),
        }
    }

    /// [`check`](BuildMixer::check), for a mixer of this name.
    pub(super) fn check_as(&self, mixer: &str) -> Result<()> {
        let Self { d_model, n_heads, .. } = *self;
        let (n_v_heads, head_dim) = (self.n_v_heads(), self.head_dim);
        let sizes = [
            ("d_model", d_model),
            ("n_heads", n_heads),
            ("n_v_heads", n_v_heads),
            ("head_dim", head_dim.unwrap_or(1)),
            ("expand_v", self.expand_v),
            ("chunk_size", self.chunk_size),
        ];
        check_sizes(mixer, &sizes)?;
        check_d_conv(mixer, self.d_conv)?;
        if head_dim.is_none() && d_model % n_heads != 0 {
            let problem =
                format!("{mixer}: n_heads ({n_heads}) must divide d_model ({d_model}), or set head_dim");
            return Err(Error::Config(problem));
        }
        if n_v_heads % n_heads != 0 {
            let problem = format!("{mixer}: n_heads ({n_heads}) must divide n_v_heads ({n_v_heads})");
            return Err(Error::Config(problem));
        }
        check_positive(mixer, "norm_epsilon", self.norm_epsilon)
    }
}

impl BuildMixer for DeltaNetConfig {
    type Mixer = DeltaNet;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        self.check_as("delta_net")
    }

    fn build(&self, device: &Device) -> DeltaNet {
        self.init(device)
    }
}

impl DeltaNet {
    /// What this layer was built from.
    pub fn config(&self) -> &DeltaNetConfig {
        &self.config
    }

    fn state_dims(&self, batch: usize) -> ConvStateDims<4> {
        let config = &self.config;
        let (past, width) = (config.d_conv - 1, config.conv_width());
        ([batch, past, width], [batch, config.n_v_heads(), config.head_dim(), config.head_v_dim()])
    }

    /// [`forward`](SequenceMixer::forward), the state decaying by what `log_decay` makes of the input:
    /// `[batch, seq, d_model]` to `[batch, n_v_heads, seq]`.
    pub(super) fn decaying(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<ConvState<4>>,
        log_decay: impl FnOnce(&Tensor<3>) -> Option<Tensor<3>>,
    ) -> (Tensor<3>, ConvState<4>) {
        let [batch, _, _] = x.dims();
        assert_shape!(x, [_, _, self.config.d_model]);
        let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
        state.check(self.state_dims(batch));
        Segments::aligned(x, segments, |x, segments| {
            let log_decay = log_decay(&x);
            self.mix(x, segments, state, log_decay)
        })
    }

    fn mix(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: ConvState<4>,
        log_decay: Option<Tensor<3>>,
    ) -> (Tensor<3>, ConvState<4>) {
        let config = &self.config;
        let [batch, seq, _] = x.dims();
        let (keys, values) = (config.keys(), config.values());
        let qkv = apply_linear(&self.qkv_proj, x.clone());
        let widths = [keys, keys, values];
        let ([q, k, v], conv) = causal_conv_silu(
            qkv,
            self.conv_weight.val(),
            None,
            state.conv,
            segments,
            widths,
            Implementation::Auto,
        );
        let beta = sigmoid(apply_linear(&self.b_proj, x.clone())).swap_dims(1, 2);
        let inputs = DeltaRuleInputs {
            q: of_length(q, config.n_heads, (config.head_dim() as f64).powf(-0.5)),
            k: of_length(k, config.n_heads, 1.0),
            v: to_heads(v, config.n_v_heads()),
            beta: if config.allow_negative_eigenvalues { beta * 2.0 } else { beta },
            log_decay,
            state: state.recurrent,
            segments: segments.cloned(),
            chunk_size: config.chunk_size,
        };
        let (o, recurrent) = delta_rule(inputs, Implementation::Auto);
        let (weight, epsilon) = (self.norm_weight.val(), config.norm_epsilon);
        let y = match &self.g_proj {
            Some(g_proj) => gated_heads(o, apply_linear(g_proj, x), weight, epsilon),
            None => rms_norm(o.swap_dims(1, 2), weight, epsilon).reshape([batch, seq, values]),
        };
        (apply_linear(&self.o_proj, y), ConvState { conv, recurrent })
    }
}

/// `[batch, seq, heads · dim]` to vectors of this length, `[batch, heads, seq, dim]`.
///
/// `x / √(Σ x² + 1e-6)` is the root-mean-square norm with other constants.
fn of_length(x: Tensor<3>, heads: usize, length: f64) -> Tensor<4> {
    let [batch, seq, width] = x.dims();
    let dim = width / heads;
    let scale = Tensor::full([dim], length / (dim as f64).sqrt(), (&x.device(), x.dtype()));
    rms_norm(x.reshape([batch, seq, heads, dim]), scale, 1e-6 / dim as f64).swap_dims(1, 2)
}

impl SequenceMixer for DeltaNet {
    type State = ConvState<4>;

    fn init_state(&self, batch: usize, device: &Device) -> ConvState<4> {
        ConvState::empty(self.state_dims(batch), self.conv_weight.val().dtype(), device)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<ConvState<4>>,
    ) -> (Tensor<3>, ConvState<4>) {
        self.decaying(x, segments, state, |_| None)
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
