//! What an architecture can do, at a glance: it is trained on small tasks of copying, looking up and filtering, each from
//! the start, and asked with longer ones.
//!
//! Any backbone can be scored, of the crate's mixers or of a list of your own:
//!
//! ```
//! use burn::tensor::Device;
//! use burn_sequence::models::BackboneConfig;
//! use burn_sequence::scorecard::Scorecard;
//! use burn_sequence::training::Silent;
//!
//! let backbone: BackboneConfig = BackboneConfig::parse("mamba2(head_dim=8), attention(n_heads=2)", 16)?;
//! // A glance at the glance: a hundred times the steps say something.
//! let scores = Scorecard::new().with_steps(4).with_strings(4).run(&backbone, &Device::default(), &mut Silent)?;
//! assert_eq!(scores[0].task, "copying");
//! assert!(scores[0].by_length[0].1.char >= 0.0);
//! # Ok::<(), burn_sequence::Error>(())
//! ```

use burn::config::Config;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::evaluation::{Accuracy, accuracy_by_length};
use crate::layers::BuildMixer;
use crate::models::{BackboneConfig, LanguageModelConfig};
use crate::tasks::{
    Copying, FlipFlop, Induction, KeyPlace, Mqar, NgramLookup, Packing, SelectiveCopying, Task,
};
use crate::training::{Observer, TrainingConfig, fit};
use crate::{Error, Result};

/// How an architecture is scored.
#[derive(Config, Debug, PartialEq)]
pub struct Scorecard {
    /// Optimiser steps on each task.
    #[config(default = 500)]
    pub steps: usize,
    /// Rows of a step.
    #[config(default = 32)]
    pub batch_size: usize,
    /// The highest learning rate.
    #[config(default = 3e-3)]
    pub learning_rate: f64,
    /// Strings of each length that is asked.
    #[config(default = 256)]
    pub strings: usize,
    /// Decides weights and strings.
    #[config(default = 0)]
    pub seed: u64,
}

/// What came of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The task's name.
    pub task: String,
    /// What a length counts.
    pub unit: String,
    /// Whether each answer counts, where a string asks for several that do not follow from one another, and not strings without
    /// a mistake.
    pub by_answer: bool,
    /// The longest length trained on.
    pub trained: usize,
    /// Accuracy at every length asked, the shortest first.
    pub by_length: Vec<(usize, Accuracy)>,
    /// Bytes of the state after 64 tokens.
    pub state_bytes: usize,
    /// Tokens trained on in a second.
    pub tokens_per_second: f64,
}

impl Score {
    /// Of an accuracy what counts here.
    pub fn share(&self, found: &Accuracy) -> f64 {
        if self.by_answer { found.char } else { found.string }
    }

    /// The longest of the lengths asked up to which at least this [`share`](Self::share) was right; `None` if not even of the
    /// first.
    pub fn holds_to(&self, accuracy: f64) -> Option<usize> {
        let holds = self.by_length.iter().take_while(|(_, found)| self.share(found) >= accuracy);
        holds.last().map(|(length, _)| *length)
    }
}

struct Question {
    task: Box<dyn Task>,
    unit: &'static str,
    by_answer: bool,
    lengths: &'static [usize],
    context_len: usize,
}

fn questions() -> Vec<Question> {
    let question = |task: Box<dyn Task>, unit, lengths, context_len| Question {
        task,
        unit,
        by_answer: false,
        lengths,
        context_len,
    };
    let by_answer = |question: Question| Question { by_answer: true, ..question };
    let lookup = |place| Box::new(NgramLookup::new(6..=20, 3, 3, place));
    vec![
        question(Box::new(Copying::new(4..=12)), "letters", &[12, 16, 24, 48, 96], 64),
        question(lookup(KeyPlace::Suffix), "letters", &[20, 30, 40, 80], 64),
        question(lookup(KeyPlace::Prefix), "letters", &[20, 30, 40, 80], 64),
        by_answer(question(Box::new(Mqar::new(2..=8, 64, 64)), "pairs", &[4, 8, 12], 64)),
        // Few among little noise too: of long strings alone the task is not learnt in so many steps.
        question(Box::new(SelectiveCopying::new(4..=56, 4)), "slots", &[56, 112, 560, 5600], 96),
        question(Box::new(Induction::new(4..=32)), "tokens", &[32, 64, 256, 1024, 4096], 64),
        by_answer(question(Box::new(FlipFlop::new(32..=32, 0.8)), "pairs", &[32, 64, 256, 1024], 64)),
    ]
}

impl Scorecard {
    /// The tasks, in order.
    pub fn tasks() -> Vec<String> {
        questions().iter().map(|question| question.task.name().to_string()).collect()
    }

    /// Trains and asks models of this backbone, one for each task; where the observer ends a run, those before it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a backbone that cannot be built or settings that no run can have, and what
    /// [`fit`] says.
    pub fn run<C: BuildMixer>(
        &self,
        backbone: &BackboneConfig<C>,
        device: &Device,
        observer: &mut impl Observer,
    ) -> Result<Vec<Score>> {
        for (name, number) in [("strings", self.strings), ("steps", self.steps)] {
            if number == 0 {
                return Err(Error::Config(format!("scorecard: {name} must be at least 1, got 0")));
            }
        }
        let mut scores = Vec::new();
        for Question { task, unit, by_answer, lengths, context_len } in questions() {
            let config = LanguageModelConfig::new(task.vocab_size(), backbone.clone());
            config.check()?;
            device.seed(self.seed);
            let training = TrainingConfig::new(self.steps)
                .with_batch_size(self.batch_size)
                .with_context_len(context_len)
                .with_learning_rate(self.learning_rate)
                .with_packing(Packing::Segments)
                .with_seed(self.seed);
            let outcome = fit(config.init(&device.clone().autodiff()), &*task, &training, observer)?;
            if outcome.interrupted {
                break;
            }
            let tokens = (self.steps * self.batch_size * context_len) as f64;
            scores.push(Score {
                task: task.name().into(),
                unit: unit.into(),
                by_answer,
                trained: *task.lengths().end(),
                by_length: accuracy_by_length(&outcome.model, &*task, lengths, self.strings, self.seed),
                state_bytes: outcome.model.state_bytes(64),
                tokens_per_second: tokens / outcome.seconds,
            });
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_to_the_first_that_fails() {
        let found = |string| Accuracy { string, char: 1.0, strings: 10 };
        let score = Score {
            task: "copying".into(),
            unit: "letters".into(),
            by_answer: false,
            trained: 4,
            by_length: vec![(4, found(1.0)), (8, found(0.9)), (16, found(0.5)), (32, found(1.0))],
            state_bytes: 0,
            tokens_per_second: 1.0,
        };
        assert_eq!(score.holds_to(0.9), Some(8));
        assert_eq!(score.holds_to(1.0), Some(4));
        let by_answer = Score { by_answer: true, ..score.clone() };
        assert_eq!(by_answer.holds_to(0.9), Some(32));
        assert_eq!(Score { by_length: vec![(4, found(0.0))], ..score }.holds_to(0.1), None);
    }
}
