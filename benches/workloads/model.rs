//! A language model with the other side's weights.

use burn::module::Module;
use burn::tensor::Device;
use burn_sequence::models::{Head, LanguageModel, LanguageModelConfig, NormConfig};
use serde::Deserialize;

use crate::arrays::Arrays;
use crate::parameters::Load;

/// What to build.
#[derive(Debug, Deserialize)]
pub struct ModelRequest {
    pattern: String,
    d_model: usize,
    vocab_size: usize,
    norm: NormConfig,
    head: Head,
}

impl ModelRequest {
    /// Builds the model and gives it the arrays that have its parameters' names.
    ///
    /// # Panics
    ///
    /// If the pattern is no pattern, or a parameter finds no array.
    pub fn build(&self, arrays: &Arrays) -> LanguageModel {
        let config = LanguageModelConfig::parse(&self.pattern, self.d_model, self.vocab_size);
        let mut config: LanguageModelConfig = config.unwrap_or_else(|error| panic!("{error}"));
        config.backbone = config.backbone.with_norm(self.norm);
        config.with_head(self.head).init(&Device::default()).map(&mut Load::new(arrays))
    }
}
