//! Gated linear attention (GLA): linear attention with a decay for each key element, from the input.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::heads::{gated_heads, to_heads};
use super::matrix_state::{MatrixState, matrix_mixer, narrow_linear};
use super::mixer::BuildMixer;
use crate::check::{check_positive, check_sizes, expect_valid};
use crate::ops::{
    Implementation, Segments, VectorDecayInputs, apply_linear, divided, softplus, vector_decay,
};
use crate::{Error, Result};

/// Configuration of [`Gla`].
#[derive(Config, Debug, PartialEq)]
pub struct GlaConfig {
    /// Width of the model.
    pub d_model: usize,
    /// Heads.
    #[config(default = 4)]
    pub n_heads: usize,
    /// Dimensions of a head's queries and keys; `None`: half of `d_model / n_heads`.
    pub key_dim: Option<usize>,
    /// Dimensions of a head's values; `None`: `d_model / n_heads`.
    pub value_dim: Option<usize>,
    /// Rank of the projection to the decays.
    #[config(default = 16)]
    pub gate_rank: usize,
    /// Decays are `σ(·)^(1 / gate_normalizer)`: the larger, the longer the memory at the start.
    #[config(default = 16.0)]
    pub gate_normalizer: f64,
    /// Tokens handled at once.
    #[config(default = 64)]
    pub chunk_size: usize,
    /// Of the normalisation of every head's output.
    #[config(default = 1e-5)]
    pub norm_epsilon: f64,
}

/// Gated linear attention.
///
/// ```text
/// q = x W_q / √key_dim          k = x W_k          v = x W_v          α = σ(x W_↓ W_↑ + b)^(1/τ)
/// S_t = Diag(α_t) S_{t-1} + k_t v_tᵀ               o_t = S_tᵀ q_t               (for each head)
/// output = (silu(x W_g) ⊙ rms_norm_h(o) ⊙ weight) W_o
/// ```
///
/// τ is `gate_normalizer`. The state is constant: a matrix for each head, half as large as that of retention with as many
/// heads.
///
/// Parameters start from a normal distribution of deviation 0.02, `b` at 0 and the norm's weight at 1. Every α is then
/// about 0.96.
///
/// # Source
///
/// arXiv 2312.06635, section 4.4. As in the authors' code, the normalisation is RMS, with one weight for all heads, and the
/// output gate has no bias.
#[derive(Module, Debug)]
pub struct Gla {
    /// `[d_model, n_heads · key_dim]`.
    pub q_proj: Linear,
    /// `[d_model, n_heads · key_dim]`.
    pub k_proj: Linear,
    /// `[d_model, n_heads · value_dim]`.
    pub v_proj: Linear,
    /// `[d_model, gate_rank]`: W_↓.
    pub gk_down: Linear,
    /// `[gate_rank, n_heads · key_dim]`, with `b`: W_↑.
    pub gk_up: Linear,
    /// `[d_model, n_heads · value_dim]`.
    pub g_proj: Linear,
    /// `[value_dim]`.
    pub norm_weight: Param<Tensor<1>>,
    /// `[n_heads · value_dim, d_model]`.
    pub o_proj: Linear,
    #[module(skip)]
    config: GlaConfig,
}

impl GlaConfig {
    /// Dimensions of a head's queries and keys.
    pub fn key_dim(&self) -> usize {
        self.key_dim.unwrap_or(self.d_model / self.n_heads.max(1) / 2)
    }

    /// Dimensions of a head's values.
    pub fn value_dim(&self) -> usize {
        self.value_dim.unwrap_or(self.d_model / self.n_heads.max(1))
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Gla {
        expect_valid(self.check());
        let (keys, values) = (self.n_heads * self.key_dim(), self.n_heads * self.value_dim());
        let linear = |from: usize, to: usize| narrow_linear(from, to, device);
        let mut gk_up = linear(self.gate_rank, keys);
        gk_up.bias = Some(Initializer::Zeros.init([keys], device));
        Gla {
            q_proj: linear(self.d_model, keys),
            k_proj: linear(self.d_model, keys),
            v_proj: linear(self.d_model, values),
            gk_down: linear(self.d_model, self.gate_rank),
            gk_up,
            g_proj: linear(self.d_model, values),
            norm_weight: Initializer::Ones.init([self.value_dim()], device),
            o_proj: linear(values, self.d_model),
            config: self.clone(),
        }
    }
}

impl BuildMixer for GlaConfig {
    type Mixer = Gla;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let Self { d_model, n_heads, key_dim, value_dim, gate_rank, gate_normalizer, chunk_size, .. } = *self;
        check_sizes("gla", &[("d_model", d_model), ("n_heads", n_heads)])?;
        if d_model % n_heads != 0 && (key_dim.is_none() || value_dim.is_none()) {
            return Err(Error::Config(format!("gla: n_heads ({n_heads}) must divide d_model ({d_model})")));
        }
        let dims = [("key_dim", self.key_dim()), ("value_dim", self.value_dim()), ("gate_rank", gate_rank)];
        check_sizes("gla", &dims)?;
        check_sizes("gla", &[("chunk_size", chunk_size)])?;
        check_positive("gla", "gate_normalizer", gate_normalizer)?;
        check_positive("gla", "norm_epsilon", self.norm_epsilon)
    }

    fn build(&self, device: &Device) -> Gla {
        self.init(device)
    }
}

impl Gla {
    /// What this layer was built from.
    pub fn config(&self) -> &GlaConfig {
        &self.config
    }

    fn state_dims(&self, batch: usize) -> [usize; 4] {
        [batch, self.config.n_heads, self.config.key_dim(), self.config.value_dim()]
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: MatrixState) -> (Tensor<3>, Tensor<4>) {
        let GlaConfig { n_heads, gate_normalizer, chunk_size, norm_epsilon, .. } = self.config;
        let gate = apply_linear(&self.gk_up, apply_linear(&self.gk_down, x.clone()));
        // log σ(x) = −softplus(−x)
        let log_decay = divided(softplus(gate.neg()), -gate_normalizer);
        let inputs = VectorDecayInputs {
            q: divided(
                to_heads(apply_linear(&self.q_proj, x.clone()), n_heads),
                (self.config.key_dim() as f64).sqrt(),
            ),
            k: to_heads(apply_linear(&self.k_proj, x.clone()), n_heads),
            v: to_heads(apply_linear(&self.v_proj, x.clone()), n_heads),
            log_decay: to_heads(log_decay, n_heads),
            state: state.matrix,
            segments: segments.cloned(),
            chunk_size,
        };
        let (o, matrix) = vector_decay(inputs, Implementation::Auto);
        let gate = apply_linear(&self.g_proj, x);
        let y = gated_heads(o, gate, self.norm_weight.val(), norm_epsilon);
        (apply_linear(&self.o_proj, y), matrix)
    }
}

matrix_mixer!(Gla);
