//! What stands beside a mixer in a block: a map of each token on its own.

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::check::check_sizes;
use crate::ops::{apply_linear, gelu, gelu_tanh, silu};

/// The kind of feed-forward; in the hybrid notation `mlp`, `mlp(d_hidden=512)`, `relu_mlp`, `swiglu`, `geglu`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForwardConfig {
    /// `gelu(x W_1 + b_1) W_2 + b_2`, by default four times as wide as the model (GPT-NeoX).
    Mlp(HiddenWidth),
    /// `relu(x W_1 + b_1) W_2 + b_2`, by default four times as wide as the model (arXiv 1706.03762, equation 2).
    ReluMlp(HiddenWidth),
    /// `(silu(x W_g) ⊙ x W_u) W_d`, by default 8/3 times as wide as the model, rounded up to a multiple of 8
    /// (arXiv 2002.05202).
    Swiglu(HiddenWidth),
    /// `(gelu_tanh(x W_g + b_g) ⊙ (x W_u + b_u)) W_d + b_d`, by default three times as wide as the model (Griffin,
    /// arXiv 2402.19427, section 2.2).
    Geglu(HiddenWidth),
}

/// The hidden width of a feed-forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiddenWidth {
    /// `None`: the kind's default.
    pub d_hidden: Option<usize>,
}

/// A map of each token on its own.
///
/// Weights start from a normal distribution of deviation 0.02, biases at 0, as GPT-NeoX's.
#[derive(Module, Debug)]
pub enum FeedForward {
    /// One hidden layer, behind a GELU.
    Mlp(Mlp),
    /// One hidden layer, behind a ReLU.
    ReluMlp(Mlp),
    /// A hidden layer gated by a SiLU.
    Swiglu(Glu),
    /// A hidden layer gated by a GELU.
    Geglu(Glu),
}

/// `a(x W_1 + b_1) W_2 + b_2`, a the GELU or the ReLU.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[d_model, d_hidden]`.
    pub up_proj: Linear,
    /// `[d_hidden, d_model]`.
    pub down_proj: Linear,
}

/// `(a(x W_g + b_g) ⊙ (x W_u + b_u)) W_d + b_d`, a the SiLU or the GELU; a SwiGLU has no biases.
#[derive(Module, Debug)]
pub struct Glu {
    /// `[d_model, d_hidden]`.
    pub gate_proj: Linear,
    /// `[d_model, d_hidden]`.
    pub up_proj: Linear,
    /// `[d_hidden, d_model]`.
    pub down_proj: Linear,
}

impl FeedForwardConfig {
    /// The hidden width for a model of width `d_model`.
    pub fn d_hidden(&self, d_model: usize) -> usize {
        match self {
            Self::Mlp(width) | Self::ReluMlp(width) => width.d_hidden.unwrap_or(4 * d_model),
            Self::Swiglu(width) => width.d_hidden.unwrap_or((8 * d_model).div_ceil(3).next_multiple_of(8)),
            Self::Geglu(width) => width.d_hidden.unwrap_or(3 * d_model),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let (Self::Mlp(width) | Self::ReluMlp(width) | Self::Swiglu(width) | Self::Geglu(width)) = self;
        check_sizes("feed-forward", &[("d_hidden", width.d_hidden.unwrap_or(1))])
    }

    /// Builds the layer.
    pub fn init(&self, d_model: usize, device: &Device) -> FeedForward {
        let d_hidden = self.d_hidden(d_model);
        let linear = |from: usize, to: usize, bias: bool| {
            let initializer = Initializer::Normal { mean: 0.0, std: 0.02 };
            let mut linear =
                LinearConfig::new(from, to).with_bias(false).with_initializer(initializer).init(device);
            linear.bias = bias.then(|| Initializer::Zeros.init([to], device));
            linear
        };
        let mlp =
            || Mlp { up_proj: linear(d_model, d_hidden, true), down_proj: linear(d_hidden, d_model, true) };
        let glu = |bias: bool| Glu {
            gate_proj: linear(d_model, d_hidden, bias),
            up_proj: linear(d_model, d_hidden, bias),
            down_proj: linear(d_hidden, d_model, bias),
        };
        match self {
            Self::Mlp(_) => FeedForward::Mlp(mlp()),
            Self::ReluMlp(_) => FeedForward::ReluMlp(mlp()),
            Self::Swiglu(_) => FeedForward::Swiglu(glu(false)),
            Self::Geglu(_) => FeedForward::Geglu(glu(true)),
        }
    }
}

impl FeedForward {
    /// `[…, d_model]` to the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Mlp(mlp) => apply_linear(&mlp.down_proj, gelu(apply_linear(&mlp.up_proj, x))),
            Self::ReluMlp(mlp) => apply_linear(&mlp.down_proj, relu(apply_linear(&mlp.up_proj, x))),
            Self::Swiglu(glu) => glu.forward(x, silu),
            Self::Geglu(glu) => glu.forward(x, gelu_tanh),
        }
    }
}

impl Glu {
    fn forward<const D: usize>(&self, x: Tensor<D>, activation: fn(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
        let gate = activation(apply_linear(&self.gate_proj, x.clone()));
        apply_linear(&self.down_proj, gate * apply_linear(&self.up_proj, x))
    }
}
