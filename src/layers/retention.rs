//! Retention (RetNet): linear attention with a fixed decay for each head.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use super::heads::{gated_heads, to_heads};
use super::matrix_state::{MatrixState, matrix_mixer, narrow_linear};
use super::mixer::BuildMixer;
use crate::check::{check_part, check_positive, check_sizes, expect_valid};
use crate::ops::{
    Implementation, Position, Rope, RopePairs, ScalarDecayInputs, Segments, apply_linear, divided,
    scalar_decay,
};
use crate::{Error, Result};

/// Configuration of [`Retention`].
#[derive(Config, Debug, PartialEq)]
pub struct RetentionConfig {
    /// Width of the model.
    pub d_model: usize,
    /// Heads.
    #[config(default = 8)]
    pub n_heads: usize,
    /// Tokens handled at once.
    #[config(default = 64)]
    pub chunk_size: usize,
    /// Of the normalisation of every head's output.
    #[config(default = 1e-5)]
    pub norm_epsilon: f64,
}

/// Multi-scale retention.
///
/// ```text
/// q = rope(x W_q) / √head_dim            k = rope(x W_k)            v = x W_v
/// S_t = γ_h S_{t-1} + k_t v_tᵀ           o_t = S_tᵀ q_t             γ_h = 1 − 2^(−5−h),  h = 0 …
/// output = (silu(x W_g) ⊙ rms_norm_h(o)) W_o
/// ```
///
/// The state is constant: a matrix for each head.
///
/// Parameters start from a normal distribution of deviation 0.02. The heads' normalisation has no parameters.
///
/// # Source
///
/// arXiv 2307.08621, equations 5 to 8, but for three things: outputs have RMS norm for each head, not GroupNorm; positions are rotary embeddings with the frequencies of
/// [RoPE](Rope), `base^(−2i / head_dim)` (the authors' code divides `i` by `head_dim / 2 − 1`), and values and the gate are as wide
/// as the model, not twice as wide.
#[derive(Module, Debug)]
pub struct Retention {
    /// `[d_model, d_model]`.
    pub q_proj: Linear,
    /// `[d_model, d_model]`.
    pub k_proj: Linear,
    /// `[d_model, d_model]`.
    pub v_proj: Linear,
    /// `[d_model, d_model]`.
    pub g_proj: Linear,
    /// `[d_model, d_model]`.
    pub o_proj: Linear,
    #[module(skip)]
    config: RetentionConfig,
}

impl RetentionConfig {
    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Retention {
        expect_valid(self.check());
        let linear = || narrow_linear(self.d_model, self.d_model, device);
        Retention {
            q_proj: linear(),
            k_proj: linear(),
            v_proj: linear(),
            g_proj: linear(),
            o_proj: linear(),
            config: self.clone(),
        }
    }

    /// `ln γ` of every head.
    pub fn log_decays(&self) -> Vec<f64> {
        (0..self.n_heads).map(|head| (-(-5.0 - head as f64).exp2()).ln_1p()).collect()
    }
}

impl BuildMixer for RetentionConfig {
    type Mixer = Retention;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let Self { d_model, n_heads, chunk_size, .. } = *self;
        check_sizes("retention", &[("d_model", d_model), ("n_heads", n_heads), ("chunk_size", chunk_size)])?;
        if d_model % n_heads != 0 {
            return Err(Error::Config(format!(
                "retention: n_heads ({n_heads}) must divide d_model ({d_model})"
            )));
        }
        check_positive("retention", "norm_epsilon", self.norm_epsilon)?;
        check_part("retention", Position::Rope(ROPE).check(n_heads, d_model / n_heads))
    }

    fn build(&self, device: &Device) -> Retention {
        self.init(device)
    }
}

const ROPE: Rope = Rope { base: 10_000.0, fraction: 1.0, pairs: RopePairs::Interleaved, scaling: None };

impl Retention {
    /// What this layer was built from.
    pub fn config(&self) -> &RetentionConfig {
        &self.config
    }

    fn head_dim(&self) -> usize {
        self.config.d_model / self.config.n_heads
    }

    fn state_dims(&self, batch: usize) -> [usize; 4] {
        [batch, self.config.n_heads, self.head_dim(), self.head_dim()]
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: MatrixState) -> (Tensor<3>, Tensor<4>) {
        let [_, seq, _] = x.dims();
        let n_heads = self.config.n_heads;
        let positions = super::positions::positions(segments, &state.seen, seq);
        let [q, k] = [&self.q_proj, &self.k_proj].map(|of| to_heads(apply_linear(of, x.clone()), n_heads));
        let [q, k] = ROPE.rotate_all([q, k], &positions);
        let log_decay = TensorData::new(self.config.log_decays(), [1, n_heads, 1]);
        let inputs = ScalarDecayInputs {
            q: divided(q, (self.head_dim() as f64).sqrt()),
            k,
            v: to_heads(apply_linear(&self.v_proj, x.clone()), n_heads),
            log_decay: Some(Tensor::from_data(log_decay, (&x.device(), x.dtype()))),
            dt: None,
            d: None,
            state: state.matrix,
            segments: segments.cloned(),
            chunk_size: self.config.chunk_size,
        };
        let (o, matrix) = scalar_decay(inputs, Implementation::Auto);
        let weight = Tensor::ones([self.head_dim()], (&o.device(), o.dtype()));
        let y = gated_heads(o, apply_linear(&self.g_proj, x), weight, self.config.norm_epsilon);
        (apply_linear(&self.o_proj, y), matrix)
    }
}

matrix_mixer!(Retention);
