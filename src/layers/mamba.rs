//! Mamba: a gated block around a convolution and the selective scan.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, TensorData};

use super::conv_state::{ConvState, ConvStateDims, conv_mixer};
use super::mixer::BuildMixer;
use crate::Result;
use crate::check::{check_d_conv, check_dt, check_sizes, expect_valid};
use crate::ops::{
    Implementation, Segments, SelectiveScanInputs, apply_linear, apply_linear_in_pieces, causal_conv_silu,
    neg_exp, selective_scan, softplus,
};

/// Configuration of [`Mamba`].
#[derive(Config, Debug, PartialEq)]
pub struct MambaConfig {
    /// Width of the model.
    pub d_model: usize,
    /// States of each channel: N.
    #[config(default = 16)]
    pub d_state: usize,
    /// Taps of the convolution.
    #[config(default = 4)]
    pub d_conv: usize,
    /// `d_inner = expand · d_model`.
    #[config(default = 2)]
    pub expand: usize,
    /// Rank of the projection to Δ; `None`: `⌈d_model / 16⌉`.
    pub dt_rank: Option<usize>,
    /// Δ starts between this …
    #[config(default = 1e-3)]
    pub dt_min: f64,
    /// … and this.
    #[config(default = 1e-1)]
    pub dt_max: f64,
}

/// Mamba (S6).
///
/// ```text
/// u, z = x W_in            u = silu(conv(u))            δ, B, C = u W_x
/// Δ = softplus(δ W_dt + b_dt)            A = −exp(a_log)
/// y = (selective_scan(u, Δ, A, B, C) + d ⊙ u) ⊙ silu(z)            output = y W_out
/// ```
///
/// The state is constant: the last `d_conv − 1` inputs of the convolution, and `d_inner × d_state` numbers.
///
/// Parameters start as in `mamba_ssm`: `a_log = ln(1 … d_state)`, `d = 1`, `b_dt` such that Δ is log-uniform in
/// `[dt_min, dt_max]` and at least 1e-4, `W_dt` uniform within `± dt_rank^(−1/2)`; the other weights and the
/// convolution uniform within `± fan_in^(−1/2)`.
///
/// # Source
///
/// arXiv 2312.00752, section 3.4 and algorithm 2.
#[derive(Module, Debug)]
pub struct Mamba {
    /// `[d_model, 2 · d_inner]`: u, then z.
    pub in_proj: Linear,
    /// `[d_conv, d_inner]`.
    pub conv_weight: Param<Tensor<2>>,
    /// `[d_inner]`.
    pub conv_bias: Param<Tensor<1>>,
    /// `[d_inner, dt_rank + 2 · d_state]`: δ, then B, then C.
    pub x_proj: Linear,
    /// `[dt_rank, d_inner]`, with `b_dt`.
    pub dt_proj: Linear,
    /// `[d_inner, d_state]`.
    pub a_log: Param<Tensor<2>>,
    /// `[d_inner]`.
    pub d: Param<Tensor<1>>,
    /// `[d_inner, d_model]`.
    pub out_proj: Linear,
    #[module(skip)]
    config: MambaConfig,
}

impl MambaConfig {
    /// `expand · d_model`.
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// Rank of the projection to Δ.
    pub fn dt_rank(&self) -> usize {
        self.dt_rank.unwrap_or(self.d_model.div_ceil(16))
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Mamba {
        expect_valid(self.check());
        let (d_inner, dt_rank) = (self.d_inner(), self.dt_rank());
        let linear = |from: usize, to: usize| LinearConfig::new(from, to).with_bias(false).init(device);
        let bound = (dt_rank as f64).powf(-0.5);
        let mut dt_proj = LinearConfig::new(dt_rank, d_inner)
            .with_initializer(Initializer::Uniform { min: -bound, max: bound })
            .init(device);
        dt_proj.bias = Some(Param::from_tensor(dt_bias([self.dt_min, self.dt_max], d_inner, device)));
        let a_log: Vec<f32> =
            (0..d_inner).flat_map(|_| (1..=self.d_state).map(|state| (state as f32).ln())).collect();
        Mamba {
            in_proj: linear(self.d_model, 2 * d_inner),
            conv_weight: conv_initializer(self.d_conv).init([self.d_conv, d_inner], device),
            conv_bias: conv_initializer(self.d_conv).init([d_inner], device),
            x_proj: linear(d_inner, dt_rank + 2 * self.d_state),
            dt_proj,
            a_log: Param::from_data(TensorData::new(a_log, [d_inner, self.d_state]), device),
            d: Initializer::Ones.init([d_inner], device),
            out_proj: linear(d_inner, self.d_model),
            config: self.clone(),
        }
    }
}

/// Uniform within `± d_conv^(−1/2)`: PyTorch's default for a depthwise convolution.
pub(super) fn conv_initializer(d_conv: usize) -> Initializer {
    let bound = (d_conv as f64).powf(-0.5);
    Initializer::Uniform { min: -bound, max: bound }
}

/// Logarithms of numbers log-uniform in `[min, max]`, which may be one number.
pub(super) fn log_uniform([min, max]: [f64; 2], len: usize, device: &Device) -> Tensor<1> {
    let place = Tensor::<1>::random([len], Distribution::Uniform(0.0, 1.0), device);
    place * (max.ln() - min.ln()) + min.ln()
}

/// The inverse of softplus at step sizes log-uniform in `[min, max]`, at least 1e-4.
pub(super) fn dt_bias([min, max]: [f64; 2], len: usize, device: &Device) -> Tensor<1> {
    let dt = log_uniform([min, max], len, device).exp().clamp_min(1e-4);
    // softplus⁻¹(x) = x + ln(1 − e⁻ˣ)
    let inverse = (dt.clone().neg().exp().neg() + 1.0).log();
    dt + inverse
}

impl BuildMixer for MambaConfig {
    type Mixer = Mamba;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("d_model", self.d_model),
            ("d_state", self.d_state),
            ("expand", self.expand),
            ("dt_rank", self.dt_rank()),
        ];
        check_sizes("mamba", &sizes)?;
        check_d_conv("mamba", self.d_conv)?;
        check_dt("mamba", self.dt_min, self.dt_max)
    }

    fn build(&self, device: &Device) -> Mamba {
        self.init(device)
    }
}

impl Mamba {
    /// What this layer was built from.
    pub fn config(&self) -> &MambaConfig {
        &self.config
    }

    fn state_dims(&self, batch: usize) -> ConvStateDims<3> {
        let (d_inner, past, d_state) = (self.config.d_inner(), self.config.d_conv - 1, self.config.d_state);
        ([batch, past, d_inner], [batch, d_inner, d_state])
    }

    fn mix(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: ConvState<3>,
    ) -> (Tensor<3>, ConvState<3>) {
        let (d_inner, dt_rank, d_state) = (self.config.d_inner(), self.config.dt_rank(), self.config.d_state);
        let [u, z] = apply_linear_in_pieces(&self.in_proj, x, [d_inner, d_inner]);
        let bias = Some(self.conv_bias.val());
        let ([u], conv) = causal_conv_silu(
            u,
            self.conv_weight.val(),
            bias,
            state.conv,
            segments,
            [d_inner],
            Implementation::Auto,
        );
        let [delta, b, c] = apply_linear_in_pieces(&self.x_proj, u.clone(), [dt_rank, d_state, d_state]);
        let inputs = SelectiveScanInputs {
            u,
            delta: softplus(apply_linear(&self.dt_proj, delta)),
            a: neg_exp(self.a_log.val()),
            b,
            c,
            d: Some(self.d.val()),
            z: Some(z),
            state: state.recurrent,
            segments: segments.cloned(),
        };
        let (y, recurrent) = selective_scan(inputs, Implementation::Auto);
        (apply_linear(&self.out_proj, y), ConvState { conv, recurrent })
    }
}

conv_mixer!(Mamba, 3);
