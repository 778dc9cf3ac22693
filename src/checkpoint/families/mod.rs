//! Families of published models: how their `config.json` reads, and what their tensors are called.

mod bamba;
mod gpt_neox;
mod llama;
mod mamba;
mod mamba2;
mod olmo;
mod recurrent_gemma;
mod rope;
mod state_spaces;

use super::problem::CheckpointProblem as Problem;
use super::settings::Settings;
use super::table::Table;
use crate::Result;
use crate::models::{Head, LanguageModelConfig};

/// Models that share a layout.
#[derive(Debug)]
pub(super) struct Family {
    pub name: &'static str,
    /// What `model_type` is; empty: it is missing.
    model_types: &'static [&'static str],
    /// The model that a `config.json` describes, but for its head.
    pub config: fn(&Settings) -> Result<LanguageModelConfig>,
    /// Where its parameters are.
    pub table: fn(&LanguageModelConfig) -> Table,
    /// The key of the head, which files of tied models may have too.
    pub head: &'static str,
    /// The key of `config.json` that says whether the head is the embedding, and what holds without it.
    pub tied: (&'static str, bool),
    /// Ends of keys that are no parameters.
    buffers: &'static [&'static str],
}

const FAMILIES: [&Family; 8] = [
    &gpt_neox::FAMILY,
    &llama::FAMILY,
    &mamba::FAMILY,
    &mamba2::FAMILY,
    &bamba::FAMILY,
    &recurrent_gemma::FAMILY,
    &olmo::FAMILY,
    &state_spaces::FAMILY,
];

/// The family of a model.
pub(super) fn of(settings: &Settings) -> Result<&'static Family> {
    let model_type: Option<String> = settings.optional("model_type")?;
    let family = FAMILIES.into_iter().find(|family| match &model_type {
        Some(model_type) => family.model_types.contains(&model_type.as_str()),
        None => family.model_types.is_empty() && settings.values().contains_key("ssm_cfg"),
    });
    family.ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().flat_map(|family| family.model_types).copied().collect();
        let found = model_type.unwrap_or_else(|| "missing".into());
        settings.error(Problem::UnknownFamily { found, known: known.join(", ") })
    })
}

impl Family {
    /// Whether a tensor of this key is no parameter of the model.
    pub fn ignores(&self, key: &str, config: &LanguageModelConfig) -> bool {
        let tied = config.head == Head::Tied && key == self.head;
        tied || self.buffers.iter().any(|end| key.ends_with(end))
    }
}
