//! How a run trains.

use std::path::PathBuf;

use burn::config::Config;

use crate::check::{check_positive, check_positive_and_finite};
use crate::tasks::Packing;
use crate::{Error, Result};

/// How [`fit`](super::fit) trains.
///
/// The learning rate at step `s` of `steps`, counted from 0, is
///
/// ```text
/// learning_rate · min((s + 1) / warmup, (steps − s) / (steps − warmup), 1),   warmup = min(warmup_steps, steps)
/// ```
///
/// so that a run of no more steps than those of the warm-up only rises.
#[derive(Config, Debug, PartialEq)]
pub struct TrainingConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Rows of a step.
    #[config(default = 32)]
    pub batch_size: usize,
    /// Tokens of a row.
    #[config(default = 96)]
    pub context_len: usize,
    /// The highest learning rate.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Steps until the learning rate is at its highest.
    #[config(default = 100)]
    pub warmup_steps: usize,
    /// AdamW's decoupled weight decay, of matrices; vectors and state-space decays are left alone, as in
    /// `mamba_ssm`.
    #[config(default = 0.1)]
    pub weight_decay: f64,
    /// The largest norm of all gradients together; larger ones are scaled down.
    #[config(default = 1.0)]
    pub clip_norm: f64,
    /// Whether documents of a row are apart.
    #[config(default = "Packing::Paper")]
    pub packing: Packing,
    /// Decides every example: the batch of step `s` depends on the seed and on `s` alone.
    #[config(default = 0)]
    pub seed: u64,
    /// Steps between two evaluations for the learning curve; 0: none.
    #[config(default = 0)]
    pub evaluate_every: usize,
    /// Strings of an evaluation, of the longest training length.
    #[config(default = 128)]
    pub evaluation_strings: usize,
    /// Where the state of the run is kept; `None`: nowhere. A run that finds its state there goes on from it. A folder is one
    /// run's at a time.
    pub folder: Option<PathBuf>,
    /// Steps between two saves of the state of the run.
    #[config(default = 250)]
    pub save_every: usize,
}

impl TrainingConfig {
    /// Whether a run can train so.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option, what it is and what it must be.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("batch_size", self.batch_size),
            ("context_len", self.context_len),
            ("evaluation_strings", self.evaluation_strings),
            ("save_every", self.save_every),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::Config(format!("training: {name} must be at least 1, got 0")));
        }
        check_positive("training", "learning_rate", self.learning_rate)?;
        check_positive_and_finite("training", "clip_norm", self.clip_norm)?;
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            let found = self.weight_decay;
            return Err(Error::Config(format!("training: weight_decay must not be negative, got {found}")));
        }
        Ok(())
    }

    pub(super) fn learning_rate_at(&self, step: usize) -> f64 {
        let warmup = self.warmup_steps.min(self.steps);
        let up = (step + 1) as f64 / warmup.max(1) as f64;
        let down = (self.steps - step) as f64 / (self.steps - warmup).max(1) as f64;
        self.learning_rate * up.min(down).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_rises_and_falls() {
        let config = TrainingConfig::new(10).with_warmup_steps(4).with_learning_rate(8.0);
        let rates: Vec<f64> = (0..10).map(|step| config.learning_rate_at(step)).collect();
        assert_eq!(rates[..4], [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(rates[4], 8.0);
        assert!((rates[9] - 8.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn nan_learning_rate_is_refused() {
        let error = TrainingConfig::new(1).with_learning_rate(f64::NAN).check().unwrap_err();
        assert_eq!(error.to_string(), "training: learning_rate must be positive and finite, got NaN");
    }

    #[test]
    fn clipping_may_be_as_good_as_off() {
        assert!(TrainingConfig::new(1).with_clip_norm(f64::MAX).check().is_ok());
        let error = TrainingConfig::new(1).with_clip_norm(f64::INFINITY).check().unwrap_err();
        assert_eq!(error.to_string(), "training: clip_norm must be positive and finite, got inf");
    }
}
