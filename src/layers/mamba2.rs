//! Mamba-2: state-space duality, one decay for a head and a token.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};

use super::conv_state::{ConvState, ConvStateDims, conv_mixer};
use super::mamba::{conv_initializer, dt_bias};
use super::mixer::BuildMixer;
use crate::check::{check_d_conv, check_dt, check_positive, check_sizes, expect_valid};
use crate::ops::{
    GatedNormOptions, Implementation, ScalarDecayInputs, Segments, apply_linear, apply_linear_in_pieces,
    causal_conv_silu, gated_rms_norm, neg_exp, scalar_decay, softplus,
};
use crate::{Error, Result};

/// Configuration of [`Mamba2`].
#[derive(Config, Debug, PartialEq)]
pub struct Mamba2Config {
    /// Width of the model.
    pub d_model: usize,
    /// States of each head's dimension: N.
    #[config(default = 64)]
    pub d_state: usize,
    /// Taps of the convolution.
    #[config(default = 4)]
    pub d_conv: usize,
    /// `d_inner = expand · d_model`.
    #[config(default = 2)]
    pub expand: usize,
    /// Dimensions of a head: P; `d_inner / head_dim` heads.
    #[config(default = 64)]
    pub head_dim: usize,
    /// Groups of heads that share B and C.
    #[config(default = 1)]
    pub n_groups: usize,
    /// Tokens handled at once.
    #[config(default = 64)]
    pub chunk_size: usize,
    /// Δ starts between this …
    #[config(default = 1e-3)]
    pub dt_min: f64,
    /// … and this.
    #[config(default = 1e-1)]
    pub dt_max: f64,
    /// Of the gated normalisation.
    #[config(default = 1e-5)]
    pub norm_epsilon: f64,
}

/// Mamba-2 (SSD).
///
/// ```text
/// z, xBC, δ = input W_in           x, B, C = silu(conv(xBC))           Δ = softplus(δ + b_dt)
/// S_t = exp(−Δ_t e^{a_log}) S_{t-1} + Δ_t B_t x_tᵀ           y_t = S_tᵀ C_t + d x_t        (for each head)
/// output = rms_norm(y ⊙ silu(z)) W_out           (normalised within each group)
/// ```
///
/// The state is constant: the last `d_conv − 1` inputs of the convolution, and `d_inner × d_state` numbers.
///
/// Parameters start as in `mamba_ssm`: `e^{a_log}` uniform in [1, 16], `d = 1`, `b_dt` such that Δ is log-uniform
/// in `[dt_min, dt_max]` and at least 1e-4, the norm at 1, the other weights and the convolution uniform within
/// `± fan_in^(−1/2)`.
///
/// # Source
///
/// arXiv 2405.21060, section 7 and figure 6.
#[derive(Module, Debug)]
pub struct Mamba2 {
    /// `[d_model, 2 · d_inner + 2 · n_groups · d_state + n_heads]`: z, then x, B, C, then δ.
    pub in_proj: Linear,
    /// `[d_conv, d_inner + 2 · n_groups · d_state]`.
    pub conv_weight: Param<Tensor<2>>,
    /// `[d_inner + 2 · n_groups · d_state]`.
    pub conv_bias: Param<Tensor<1>>,
    /// `[n_heads]`.
    pub dt_bias: Param<Tensor<1>>,
    /// `[n_heads]`.
    pub a_log: Param<Tensor<1>>,
    /// `[n_heads]`.
    pub d: Param<Tensor<1>>,
    /// `[d_inner]`: the scale of the gated normalisation.
    pub norm_weight: Param<Tensor<1>>,
    /// `[d_inner, d_model]`.
    pub out_proj: Linear,
    #[module(skip)]
    config: Mamba2Config,
}

impl Mamba2Config {
    /// `expand · d_model`.
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// `d_inner / head_dim`.
    pub fn n_heads(&self) -> usize {
        self.d_inner() / self.head_dim.max(1)
    }

    fn conv_width(&self) -> usize {
        self.d_inner() + 2 * self.n_groups * self.d_state
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Mamba2 {
        expect_valid(self.check());
        let (d_inner, n_heads, conv_width) = (self.d_inner(), self.n_heads(), self.conv_width());
        let linear = |from: usize, to: usize| LinearConfig::new(from, to).with_bias(false).init(device);
        let a = Tensor::<1>::random([n_heads], Distribution::Uniform(1.0, 16.0), device);
        Mamba2 {
            in_proj: linear(self.d_model, d_inner + conv_width + n_heads),
            conv_weight: conv_initializer(self.d_conv).init([self.d_conv, conv_width], device),
            conv_bias: conv_initializer(self.d_conv).init([conv_width], device),
            dt_bias: Param::from_tensor(dt_bias([self.dt_min, self.dt_max], n_heads, device)),
            a_log: Param::from_tensor(a.log()),
            d: Initializer::Ones.init([n_heads], device),
            norm_weight: Initializer::Ones.init([d_inner], device),
            out_proj: linear(d_inner, self.d_model),
            config: self.clone(),
        }
    }
}

impl BuildMixer for Mamba2Config {
    type Mixer = Mamba2;

    /// Heads of 64 dimensions, or fewer where `d_inner` is no multiple of 64.
    fn for_width(d_model: usize) -> Self {
        let config = Self::new(d_model);
        let head_dim = [64, 32, 16, 8, 4, 2, 1].into_iter().find(|dim| config.d_inner().is_multiple_of(*dim));
        config.with_head_dim(head_dim.expect("1 divides everything"))
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("d_model", self.d_model),
            ("d_state", self.d_state),
            ("expand", self.expand),
            ("head_dim", self.head_dim),
            ("n_groups", self.n_groups),
            ("chunk_size", self.chunk_size),
        ];
        check_sizes("mamba2", &sizes)?;
        check_d_conv("mamba2", self.d_conv)?;
        check_dt("mamba2", self.dt_min, self.dt_max)?;
        check_positive("mamba2", "norm_epsilon", self.norm_epsilon)?;
        let (d_inner, head_dim, n_groups) = (self.d_inner(), self.head_dim, self.n_groups);
        if d_inner % head_dim != 0 {
            let problem = format!("mamba2: head_dim ({head_dim}) must divide expand · d_model ({d_inner})");
            return Err(Error::Config(problem));
        }
        if !self.n_heads().is_multiple_of(n_groups) {
            let n_heads = self.n_heads();
            return Err(Error::Config(format!(
                "mamba2: n_groups ({n_groups}) must divide the heads ({n_heads})"
            )));
        }
        Ok(())
    }

    fn build(&self, device: &Device) -> Mamba2 {
        self.init(device)
    }
}

impl Mamba2 {
    /// What this layer was built from.
    pub fn config(&self) -> &Mamba2Config {
        &self.config
    }

    fn state_dims(&self, batch: usize) -> ConvStateDims<4> {
        let Mamba2Config { d_state, head_dim, d_conv, .. } = self.config;
        let (width, n_heads) = (self.config.conv_width(), self.config.n_heads());
        ([batch, d_conv - 1, width], [batch, n_heads, d_state, head_dim])
    }

    fn mix(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: ConvState<4>,
    ) -> (Tensor<3>, ConvState<4>) {
        let [batch, seq, _] = x.dims();
        let Mamba2Config { d_state, head_dim, n_groups, chunk_size, .. } = self.config;
        let (d_inner, n_heads, conv_width) =
            (self.config.d_inner(), self.config.n_heads(), self.config.conv_width());
        let [z, xbc, dt] = apply_linear_in_pieces(&self.in_proj, x, [d_inner, conv_width, n_heads]);
        let bias = Some(self.conv_bias.val());
        let groups = n_groups * d_state;
        let widths = [d_inner, groups, groups];
        let ([x, b, c], conv) = causal_conv_silu(
            xbc,
            self.conv_weight.val(),
            bias,
            state.conv,
            segments,
            widths,
            Implementation::Auto,
        );

        let x = x.reshape([batch, seq, n_heads, head_dim]);
        let dt = softplus(dt + self.dt_bias.val().unsqueeze());
        let log_decay = dt.clone() * neg_exp(self.a_log.val()).unsqueeze();
        let per_group = |x: Tensor<3>| x.reshape([batch, seq, n_groups, d_state]).swap_dims(1, 2);
        let inputs = ScalarDecayInputs {
            q: per_group(c),
            k: per_group(b),
            v: x.swap_dims(1, 2),
            log_decay: Some(log_decay.swap_dims(1, 2)),
            dt: Some(dt.swap_dims(1, 2)),
            d: Some(self.d.val()),
            state: state.recurrent,
            segments: segments.cloned(),
            chunk_size,
        };
        let (y, recurrent) = scalar_decay(inputs, Implementation::Auto);
        let norm = GatedNormOptions {
            group_size: d_inner / n_groups,
            norm_before_gate: false,
            epsilon: self.config.norm_epsilon,
        };
        let y = y.swap_dims(1, 2).reshape([batch, seq, d_inner]);
        let y = gated_rms_norm(y, z, self.norm_weight.val(), norm);
        (apply_linear(&self.out_proj, y), ConvState { conv, recurrent })
    }
}

conv_mixer!(Mamba2, 4);
