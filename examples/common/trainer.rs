//! What trains the models of an experiment.

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::layers::Mixer;
use burn_sequence::models::LanguageModel;
use burn_sequence::tasks::Task;
use burn_sequence::training::{Outcome, TrainingConfig, fit};

use super::progress::Progress;

/// What trains a model: this crate's own loop, or another.
pub trait Trainer: Sync {
    /// Trains; a run that finds its state in its folder goes on from there.
    ///
    /// # Errors
    ///
    /// As [`fit`].
    fn train(
        &self,
        model: LanguageModel,
        task: &Arc<dyn Task>,
        config: &TrainingConfig,
        progress: &mut Progress,
    ) -> Result<Outcome<Mixer>>;

    /// Strings that a point of the learning curve asks.
    fn evaluation_strings(&self, config: &TrainingConfig) -> usize {
        config.evaluation_strings
    }

    /// Where it runs, if not where the model is.
    fn devices(&self) -> Option<String> {
        None
    }

    /// Whether it shows its own progress, and wants no bars beside it.
    fn shows_itself(&self) -> bool {
        false
    }
}

/// [`fit`].
pub struct Fit;

impl Trainer for Fit {
    fn train(
        &self,
        model: LanguageModel,
        task: &Arc<dyn Task>,
        config: &TrainingConfig,
        progress: &mut Progress,
    ) -> Result<Outcome<Mixer>> {
        fit(model, &**task, config, progress)
    }
}
