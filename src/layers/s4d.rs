//! S4D: linear state spaces with diagonal, complex rates that no input changes.

use std::f64::consts::PI;

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, assert_shape};
use serde::{Deserialize, Serialize};

use super::mamba::log_uniform;
use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use crate::check::{check_dt, check_sizes, expect_valid};
use crate::ops::complex::Complex;
use crate::ops::{
    ComplexScanInputs, Implementation, Segments, apply_linear_in_pieces, complex_scan, gelu, sigmoid,
};
use crate::{Error, Result};

/// Where the rates A of a channel's states start; n counts its pairs, N is `d_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum S4dInit {
    /// `−½ + i π n`: frequencies evenly spaced (S4D-Lin).
    Lin,
    /// `−½ + i N/π (N / (2n + 1) − 1)`: frequencies as of S4, most of them low (S4D-Inv).
    Inv,
}

/// How the state space is sampled at steps of Δ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discretization {
    /// Zero-order hold: `λ = e^(ΔA)`, `B̄ = (e^(ΔA) − 1) / A`.
    Zoh,
    /// The bilinear rule: `λ = (1 + ΔA/2) / (1 − ΔA/2)`, `B̄ = Δ / (1 − ΔA/2)`.
    Bilinear,
}

/// Configuration of [`S4d`].
#[derive(Config, Debug, PartialEq)]
pub struct S4dConfig {
    /// Width of the model.
    pub d_model: usize,
    /// States of each channel, an even number: half as many complex ones, the others are their conjugates.
    #[config(default = 64)]
    pub d_state: usize,
    /// Where the rates start.
    #[config(default = "S4dInit::Lin")]
    pub init: S4dInit,
    /// How the state space is sampled.
    #[config(default = "Discretization::Zoh")]
    pub discretization: Discretization,
    /// Δ starts between this …
    #[config(default = 1e-3)]
    pub dt_min: f64,
    /// … and this.
    #[config(default = 1e-1)]
    pub dt_max: f64,
}

/// S4D.
///
/// ```text
/// A = −exp(a_log) + i a_imag        Δ = exp(log_dt)        h_t = λ ⊙ h_{t-1} + x_t        y_t = 2 Re Σₙ C_n B̄_n h_{t,n}
/// u, v = gelu(y + d ⊙ x) W_o + b_o        output = u ⊙ σ(v)
/// ```
///
/// for every channel, λ and B̄ by [`Discretization`] with a B of ones. The paper's state is `B̄ ⊙ h`.
///
/// The state is constant: `h`, a tensor `[batch, d_model, d_state / 2, 2]` of real and imaginary parts.
///
/// Parameters start as in the authors' code: A by [`S4dInit`], Δ log-uniform in `[dt_min, dt_max]`, C complex normal of
/// variance 1, `d` normal, the projection uniform within `± d_model^(−1/2)`.
///
/// # Source
///
/// arXiv 2206.11893, sections 3 and 4.
#[derive(Module, Debug)]
pub struct S4d {
    /// `[d_model]`.
    pub log_dt: Param<Tensor<1>>,
    /// `[d_model, d_state / 2]`: ln(−Re A).
    pub a_log: Param<Tensor<2>>,
    /// `[d_model, d_state / 2]`: Im A.
    pub a_imag: Param<Tensor<2>>,
    /// `[d_model, d_state / 2, 2]`: real and imaginary parts of C.
    pub c: Param<Tensor<3>>,
    /// `[d_model]`.
    pub d: Param<Tensor<1>>,
    /// `[d_model, 2 · d_model]`.
    pub out_proj: Linear,
    #[module(skip)]
    config: S4dConfig,
}

impl S4dConfig {
    /// Complex states of each channel.
    fn pairs(&self) -> usize {
        self.d_state / 2
    }

    /// Im A of every pair.
    fn frequencies(&self) -> Vec<f32> {
        let size = self.d_state as f64;
        let frequency = |n: usize| match self.init {
            S4dInit::Lin => PI * n as f64,
            S4dInit::Inv => size / PI * (size / (2 * n + 1) as f64 - 1.0),
        };
        (0..self.pairs()).map(|n| frequency(n) as f32).collect()
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> S4d {
        expect_valid(self.check());
        let (d_model, pairs) = (self.d_model, self.pairs());
        let normal = |std: f64| Initializer::Normal { mean: 0.0, std };
        let imag = self.frequencies().repeat(d_model);
        S4d {
            log_dt: Param::from_tensor(log_uniform([self.dt_min, self.dt_max], d_model, device)),
            a_log: Initializer::Constant { value: 0.5_f64.ln() }.init([d_model, pairs], device),
            a_imag: Param::from_data(TensorData::new(imag, [d_model, pairs]), device),
            c: normal(0.5_f64.sqrt()).init([d_model, pairs, 2], device),
            d: normal(1.0).init([d_model], device),
            out_proj: LinearConfig::new(d_model, 2 * d_model).init(device),
            config: self.clone(),
        }
    }
}

impl BuildMixer for S4dConfig {
    type Mixer = S4d;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        check_sizes("s4d", &[("d_model", self.d_model), ("d_state", self.d_state)])?;
        check_dt("s4d", self.dt_min, self.dt_max)?;
        if !self.d_state.is_multiple_of(2) {
            let problem =
                format!("s4d: d_state must be even, half of it complex states, got {}", self.d_state);
            return Err(Error::Config(problem));
        }
        Ok(())
    }

    fn build(&self, device: &Device) -> S4d {
        self.init(device)
    }
}

impl S4d {
    /// What this layer was built from.
    pub fn config(&self) -> &S4dConfig {
        &self.config
    }

    /// λ, and `2 C B̄`.
    fn discretized(&self) -> [Tensor<3>; 2] {
        let dt = self.log_dt.val().exp().unsqueeze_dim::<2>(1);
        let a = Complex { re: self.a_log.val().exp().neg(), im: self.a_imag.val() };
        let exponent = a.map(|part| part * dt.clone());
        let (decay, input) = match self.config.discretization {
            Discretization::Zoh => {
                let rest = exp_m1(&exponent);
                let decay = Complex { re: rest.re.clone() + 1.0, im: rest.im.clone() };
                (decay, rest.over(&a))
            }
            Discretization::Bilinear => {
                let half = exponent.map(|part| part / 2.0);
                let below = Complex { re: half.re.clone().neg() + 1.0, im: half.im.clone().neg() };
                let above = Complex { re: half.re + 1.0, im: half.im };
                let dt = Complex { re: dt.clone().expand(a.re.dims()), im: a.im.zeros_like() };
                (above.over(&below), dt.over(&below))
            }
        };
        let c = Complex::<2>::unpack(self.c.val()).times(&input).map(|part| part * 2.0);
        [decay.pack(), c.pack()]
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: Tensor<4>) -> (Tensor<3>, Tensor<4>) {
        let d_model = self.config.d_model;
        let [decay, c] = self.discretized();
        let inputs = ComplexScanInputs { u: x.clone(), decay, c, state, segments: segments.cloned() };
        let (y, state) = complex_scan(inputs, Implementation::Auto);
        let y = gelu(y + x * self.d.val().unsqueeze());
        let [y, gate] = apply_linear_in_pieces(&self.out_proj, y, [d_model, d_model]);
        (y * sigmoid(gate), state)
    }
}

/// `eᶻ − 1` for real parts not above 0, without the cancellation near 0.
fn exp_m1(z: &Complex<2>) -> Complex<2> {
    let exp = z.re.clone().exp();
    // eˣ − 1 = tanh(x/2) (eˣ + 1), and cos y = 1 − 2 sin²(y/2).
    let rest = (z.re.clone() * 0.5).tanh() * (exp.clone() + 1.0);
    let sin = (z.im.clone() * 0.5).sin();
    let turned = exp.clone() * sin.square() * 2.0;
    Complex { re: rest - turned, im: exp * z.im.clone().sin() }
}

impl SequenceMixer for S4d {
    type State = Tensor<4>;

    fn init_state(&self, batch: usize, device: &Device) -> Tensor<4> {
        let options = (device, self.a_log.val().dtype());
        Tensor::zeros([batch, self.config.d_model, self.config.pairs(), 2], options)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Tensor<4>>,
    ) -> (Tensor<3>, Tensor<4>) {
        let [batch, _, d_model] = x.dims();
        assert_shape!(x, [_, _, self.config.d_model]);
        let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
        assert_shape!(state, [batch, d_model, self.config.pairs(), 2]);
        Segments::aligned(x, segments, |x, segments| self.mix(x, segments, state))
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
