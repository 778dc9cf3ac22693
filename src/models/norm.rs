//! The normalisation of a model.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ops::rms_norm;

/// Which normalisation a model uses before every mixer and feed-forward, and before its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormConfig {
    /// Root mean square (arXiv 1910.07467), ε = 1e-5.
    #[default]
    Rms,
    /// Mean and variance (arXiv 1607.06450), ε = 1e-5.
    Layer,
}

/// A normalisation over the last axis.
#[derive(Module, Debug)]
pub enum Norm {
    /// Root mean square.
    Rms(RmsNorm),
    /// Mean and variance.
    Layer(LayerNorm),
}

impl NormConfig {
    /// Builds the layer.
    pub fn init(self, d_model: usize, device: &Device) -> Norm {
        match self {
            Self::Rms => Norm::Rms(RmsNormConfig::new(d_model).init(device)),
            Self::Layer => Norm::Layer(LayerNormConfig::new(d_model).init(device)),
        }
    }
}

impl Norm {
    /// `[…, d_model]` to the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Rms(norm) => rms_norm(x, norm.gamma.val(), norm.epsilon),
            Self::Layer(norm) => norm.forward(x),
        }
    }
}
