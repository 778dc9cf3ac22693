//! Gated DeltaNet: DeltaNet whose state also decays.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Distribution, Tensor};

use super::conv_state::ConvState;
use super::delta_net::{DeltaNet, DeltaNetConfig};
use super::mamba::dt_bias;
use super::matrix_state::narrow_linear;
use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use crate::Result;
use crate::check::{check_dt, expect_valid};
use crate::ops::{Segments, apply_linear, softplus};

/// Configuration of [`GatedDeltaNet`].
#[derive(Config, Debug, PartialEq)]
pub struct GatedDeltaNetConfig {
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
    #[config(default = 2)]
    pub expand_v: usize,
    /// Taps of the convolution.
    #[config(default = 4)]
    pub d_conv: usize,
    /// Whether β lies in (0, 2) and not in (0, 1), so that a token can turn around what the state holds under its key
    /// (arXiv 2411.12537).
    #[config(default = false)]
    pub allow_negative_eigenvalues: bool,
    /// Tokens handled at once.
    #[config(default = 32)]
    pub chunk_size: usize,
    /// Δ starts between this …
    #[config(default = 1e-3)]
    pub dt_min: f64,
    /// … and this.
    #[config(default = 1e-1)]
    pub dt_max: f64,
    /// Of the normalisation of every head's output.
    #[config(default = 1e-5)]
    pub norm_epsilon: f64,
}

/// Gated DeltaNet.
///
/// ```text
/// S ← exp(−Δ_t e^{a_log}) S_{t-1}           S_t = S + β_t k_t (v_t − Sᵀ k_t)ᵀ           o_t = S_tᵀ q_t
/// Δ = softplus(x W_a + b_dt)
/// ```
///
/// and all else as in [`DeltaNet`] with its output gate. Qwen3-Next's layer is this one with `expand_v = 1`, with `norm_epsilon`
/// its `rms_norm_eps`, and with the rows of its fused projections sorted: q, k, v of all heads into `qkv_proj`, z into `g_proj`, b into `b_proj`, a into
/// `a_proj`.
///
/// The state is constant: the last `d_conv − 1` inputs of the convolution, and `head_dim × expand_v · head_dim` numbers
/// for each head of values.
///
/// Parameters start as in [`DeltaNet`]; `e^{a_log}` uniform in [0.01, 16], `b_dt` such that Δ is log-uniform in
/// `[dt_min, dt_max]` and at least 1e-4.
///
/// # Source
///
/// arXiv 2412.06464, equation 10 and section 3.4.
#[derive(Module, Debug)]
pub struct GatedDeltaNet {
    /// All but the decay.
    pub delta_net: DeltaNet,
    /// `[d_model, n_v_heads]`.
    pub a_proj: Linear,
    /// `[n_v_heads]`.
    pub a_log: Param<Tensor<1>>,
    /// `[n_v_heads]`.
    pub dt_bias: Param<Tensor<1>>,
    #[module(skip)]
    config: GatedDeltaNetConfig,
}

impl GatedDeltaNetConfig {
    /// The layer without its decay.
    fn delta_net(&self) -> DeltaNetConfig {
        DeltaNetConfig {
            d_model: self.d_model,
            n_heads: self.n_heads,
            n_v_heads: self.n_v_heads,
            head_dim: self.head_dim,
            expand_v: self.expand_v,
            d_conv: self.d_conv,
            allow_negative_eigenvalues: self.allow_negative_eigenvalues,
            output_gate: true,
            chunk_size: self.chunk_size,
            norm_epsilon: self.norm_epsilon,
        }
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> GatedDeltaNet {
        expect_valid(self.check());
        let delta_net = self.delta_net();
        let n_v_heads = delta_net.n_v_heads();
        let a = Tensor::<1>::random([n_v_heads], Distribution::Uniform(0.01, 16.0), device);
        GatedDeltaNet {
            delta_net: delta_net.init(device),
            a_proj: narrow_linear(self.d_model, n_v_heads, device),
            a_log: Param::from_tensor(a.log()),
            dt_bias: Param::from_tensor(dt_bias([self.dt_min, self.dt_max], n_v_heads, device)),
            config: self.clone(),
        }
    }
}

impl BuildMixer for GatedDeltaNetConfig {
    type Mixer = GatedDeltaNet;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        self.delta_net().check_as("gated_delta_net")?;
        check_dt("gated_delta_net", self.dt_min, self.dt_max)
    }

    fn build(&self, device: &Device) -> GatedDeltaNet {
        self.init(device)
    }
}

impl GatedDeltaNet {
    /// What this layer was built from.
    pub fn config(&self) -> &GatedDeltaNetConfig {
        &self.config
    }

    fn log_decay(&self, x: &Tensor<3>) -> Tensor<3> {
        let dt = softplus(apply_linear(&self.a_proj, x.clone()) + self.dt_bias.val().unsqueeze());
        (dt * self.a_log.val().exp().neg().unsqueeze()).swap_dims(1, 2)
    }
}

impl SequenceMixer for GatedDeltaNet {
    type State = ConvState<4>;

    fn init_state(&self, batch: usize, device: &Device) -> ConvState<4> {
        self.delta_net.init_state(batch, device)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<ConvState<4>>,
    ) -> (Tensor<3>, ConvState<4>) {
        self.delta_net.decaying(x, segments, state, |x| Some(self.log_decay(x)))
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
