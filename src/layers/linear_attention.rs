//! Linear attention: a feature map in place of the softmax, and so a state in place of a cache.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::matrix_state::{MatrixState, matrix_mixer, narrow_linear};
use super::mixer::BuildMixer;
use crate::check::{check_sizes, expect_valid};
use crate::ops::{
    Implementation, ScalarDecayInputs, Segments, apply_linear, divided, elu_plus_one, scalar_decay,
};
use crate::{Error, Result};

/// What queries and keys pass through: φ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureMap {
    /// `elu(x) + 1` (arXiv 2006.16236, equation 7).
    Elu,
    /// `max(x, 0)`.
    Relu,
    /// `x`.
    Identity,
    /// `[1, x / d^¼, x ⊗ x / √(2d)]`, whose products are the second-order Taylor series of `exp(q·k / √d)` (Based,
    /// arXiv 2402.18668, section 4.1): `1 + d + d²` features of `d` dimensions.
    Taylor,
}

impl FeatureMap {
    /// Features of `dim` dimensions.
    pub fn width(self, dim: usize) -> usize {
        match self {
            Self::Taylor => 1 + dim + dim * dim,
            _ => dim,
        }
    }

    /// φ over the last axis.
    pub fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Elu => elu_plus_one(x),
            Self::Relu => relu(x),
            Self::Identity => x,
            Self::Taylor => {
                let [a, b, c, dim] = x.dims();
                let width = dim as f64;
                let one = Tensor::ones([a, b, c, 1], (&x.device(), x.dtype()));
                let square = x.clone().unsqueeze_dim::<5>(4) * x.clone().unsqueeze_dim::<5>(3);
                let square = divided(square.reshape([a, b, c, dim * dim]), (2.0 * width).sqrt());
                Tensor::cat(vec![one, divided(x, width.sqrt().sqrt()), square], 3)
            }
        }
    }
}

/// What the output is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// The sum of the weights, plus 1e-6: a weighted mean, as in softmax attention.
    Sum,
    /// Nothing.
    None,
}

/// Configuration of [`LinearAttention`].
#[derive(Config, Debug, PartialEq)]
pub struct LinearAttentionConfig {
    /// Width of the model.
    pub d_model: usize,
    /// Heads.
    #[config(default = 8)]
    pub n_heads: usize,
    /// Dimensions of a head's queries and keys before the feature map; `None`: `d_model / n_heads`.
    pub key_dim: Option<usize>,
    /// φ.
    #[config(default = "FeatureMap::Elu")]
    pub feature_map: FeatureMap,
    /// What the output is divided by.
    #[config(default = "Normalization::Sum")]
    pub normalization: Normalization,
    /// Tokens handled at once.
    #[config(default = 64)]
    pub chunk_size: usize,
}

/// Linear attention.
///
/// ```text
/// S_t = S_{t-1} + φ(k_t) v_tᵀ        z_t = z_{t-1} + φ(k_t)        o_t = S_tᵀ φ(q_t) / (z_t · φ(q_t) + 1e-6)
/// ```
///
/// for each head; without the denominator where `normalization` is `none`. The state is constant: a
/// matrix for each head, with z as one more column.
///
/// Parameters start as GPT-NeoX's: a normal distribution of deviation 0.02.
///
/// # Source
///
/// arXiv 2006.16236, equations 16 to 20.
#[derive(Module, Debug)]
pub struct LinearAttention {
    /// `[d_model, n_heads · key_dim]`.
    pub q_proj: Linear,
    /// `[d_model, n_heads · key_dim]`.
    pub k_proj: Linear,
    /// `[d_model, d_model]`.
    pub v_proj: Linear,
    /// `[d_model, d_model]`.
    pub o_proj: Linear,
    #[module(skip)]
    config: LinearAttentionConfig,
}

impl LinearAttentionConfig {
    /// Dimensions of a head's queries and keys before the feature map.
    pub fn key_dim(&self) -> usize {
        self.key_dim.unwrap_or(self.d_model / self.n_heads.max(1))
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> LinearAttention {
        expect_valid(self.check());
        let keys = self.n_heads * self.key_dim();
        LinearAttention {
            q_proj: narrow_linear(self.d_model, keys, device),
            k_proj: narrow_linear(self.d_model, keys, device),
            v_proj: narrow_linear(self.d_model, self.d_model, device),
            o_proj: narrow_linear(self.d_model, self.d_model, device),
            config: self.clone(),
        }
    }
}

impl BuildMixer for LinearAttentionConfig {
    type Mixer = LinearAttention;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let Self { d_model, n_heads, chunk_size, .. } = *self;
        let sizes = [
            ("d_model", d_model),
            ("n_heads", n_heads),
            ("key_dim", self.key_dim()),
            ("chunk_size", chunk_size),
        ];
        check_sizes("linear_attention", &sizes)?;
        if d_model % n_heads != 0 {
            let problem = format!("linear_attention: n_heads ({n_heads}) must divide d_model ({d_model})");
            return Err(Error::Config(problem));
        }
        if self.feature_map == FeatureMap::Identity && self.normalization == Normalization::Sum {
            let problem = "linear_attention: feature_map=identity gives weights of both signs, whose sum may be 0; \
                           set normalization=none";
            return Err(Error::Config(problem.into()));
        }
        Ok(())
    }

    fn build(&self, device: &Device) -> LinearAttention {
        self.init(device)
    }
}

impl LinearAttention {
    /// What this layer was built from.
    pub fn config(&self) -> &LinearAttentionConfig {
        &self.config
    }

    fn state_dims(&self, batch: usize) -> [usize; 4] {
        let config = &self.config;
        let sum = usize::from(config.normalization == Normalization::Sum);
        [
            batch,
            config.n_heads,
            config.feature_map.width(config.key_dim()),
            config.d_model / config.n_heads + sum,
        ]
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: MatrixState) -> (Tensor<3>, Tensor<4>) {
        let [batch, seq, _] = x.dims();
        let LinearAttentionConfig { n_heads, feature_map, normalization, chunk_size, .. } = self.config;
        // `[batch, seq, heads, dim]`, as it lies in memory.
        let apart = |x: Tensor<3>| {
            let [_, _, width] = x.dims();
            x.reshape([batch, seq, n_heads, width / n_heads])
        };
        let q = feature_map.apply(apart(apply_linear(&self.q_proj, x.clone())));
        let k = feature_map.apply(apart(apply_linear(&self.k_proj, x.clone())));
        let mut v = apart(apply_linear(&self.v_proj, x));
        let [_, _, _, value_dim] = v.dims();
        if normalization == Normalization::Sum {
            // One more value, always 1, makes the denominator one more output.
            let one = Tensor::ones([batch, seq, n_heads, 1], (&v.device(), v.dtype()));
            v = Tensor::cat(vec![v, one], 3);
        }
        let inputs = ScalarDecayInputs {
            q: q.swap_dims(1, 2),
            k: k.swap_dims(1, 2),
            v: v.swap_dims(1, 2),
            log_decay: None,
            dt: None,
            d: None,
            state: state.matrix,
            segments: segments.cloned(),
            chunk_size,
        };
        let (o, matrix) = scalar_decay(inputs, Implementation::Auto);
        let mut o = o.swap_dims(1, 2);
        if normalization == Normalization::Sum {
            let sum = o.clone().narrow(3, value_dim, 1);
            o = o.narrow(3, 0, value_dim) / (sum + 1e-6);
        }
        (apply_linear(&self.o_proj, o.reshape([batch, seq, self.config.d_model])), matrix)
    }
}

matrix_mixer!(LinearAttention);
