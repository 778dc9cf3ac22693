//! Models: blocks of mixers, one after another, between an embedding and a head.

mod backbone;
mod block;
mod feed_forward;
mod language_model;
mod norm;
pub mod pattern;
mod quantized;
mod saved;

pub use backbone::{Backbone, BackboneConfig, BackboneState, LayerConfig};
pub use block::{Block, BlockConfig, NormPlacement, Residual};
pub use feed_forward::{FeedForward, FeedForwardConfig, Glu, HiddenWidth, Mlp};
#[cfg(feature = "autodiff")]
pub(crate) use language_model::Draw;
pub use language_model::{Head, LanguageModel, LanguageModelConfig, ModelState};
pub use norm::{LayerNorm, Norm, NormConfig, Unchanged};
