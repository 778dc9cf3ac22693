//! The normalisation of a model.

use burn::module::{Initializer, Module, Param};
use burn::nn::{RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ops::{layer_norm, rms_norm};

/// Which normalisation a model uses before every mixer and feed-forward, and before its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormConfig {
    /// Root mean square (arXiv 1910.07467).
    #[default]
    Rms,
    /// Mean and variance (arXiv 1607.06450).
    Layer,
    /// None: vectors pass as they are, as in constructions with weights set by hand.
    None,
}

/// A normalisation over the last axis.
#[derive(Module, Debug)]
pub enum Norm {
    /// Root mean square.
    Rms(RmsNorm),
    /// Mean and variance.
    Layer(LayerNorm),
    /// None.
    None(Unchanged),
}

/// The parameters of no normalisation.
#[derive(Module, Debug)]
pub struct Unchanged;

/// The parameters of [`layer_norm`]. Burn's own keeps its ε to itself.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d_model]`: γ, 1 at first.
    pub gamma: Param<Tensor<1>>,
    /// `[d_model]`: β, 0 at first.
    pub beta: Param<Tensor<1>>,
    /// ε, under the root.
    pub epsilon: f64,
}

impl NormConfig {
    /// Builds the layer, with `epsilon` under the root.
    pub fn init(self, d_model: usize, epsilon: f64, device: &Device) -> Norm {
        match self {
            Self::Rms => Norm::Rms(RmsNormConfig::new(d_model).with_epsilon(epsilon).init(device)),
            Self::Layer => Norm::Layer(LayerNorm {
                gamma: Initializer::Ones.init([d_model], device),
                beta: Initializer::Zeros.init([d_model], device),
                epsilon,
            }),
            Self::None => Norm::None(Unchanged),
        }
    }
}

impl Norm {
    /// `[…, d_model]` to the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Rms(norm) => rms_norm(x, norm.gamma.val(), norm.epsilon),
            Self::Layer(norm) => layer_norm(x, norm.gamma.val(), norm.beta.val(), norm.epsilon),
            Self::None(_) => x,
        }
    }
}
