//! What an experiment is: models, what they are trained on, what they are asked then.

use std::sync::Arc;

use burn_sequence::tasks::{Packing, Task};

use super::models::Contender;

/// An experiment, as data.
pub struct Experiment {
    /// In records and folders.
    pub name: &'static str,
    /// The models, of equal size within 10 %.
    pub contenders: Vec<Contender>,
    /// What `--quick` runs of them.
    pub quick: &'static [&'static str],
    /// Each model is trained on each of these, from the start.
    pub arms: Vec<Arm>,
}

/// Something to train on, and what is asked of a model trained so.
pub struct Arm {
    /// In records, and before the names of figures where there are several.
    pub name: &'static str,
    /// What is trained on.
    pub task: Arc<dyn Task>,
    /// What is asked: a table and a figure each.
    pub probes: Vec<Probe>,
    /// Optimiser steps of a run; the second with `--quick`.
    pub steps: [usize; 2],
    /// Rows of a step.
    pub batch_size: usize,
    /// Tokens of a training row.
    pub context_len: usize,
    /// Whether the examples of a row are apart.
    pub packing: Packing,
}

/// A row of questions.
pub struct Probe {
    /// The figure's file, without `.svg`.
    pub name: &'static str,
    /// What the figure shows.
    pub title: String,
    /// The name of `x`, with its unit.
    pub x_label: &'static str,
    /// Whether `x` is shown by powers of two.
    pub log: bool,
    /// What is counted.
    pub metric: Metric,
    /// The questions.
    pub points: Vec<Point>,
}

/// One question.
pub struct Point {
    /// Where it stands in the figure.
    pub x: usize,
    /// What is asked.
    pub task: Arc<dyn Task>,
    /// Of this length.
    pub length: usize,
    /// The state before the first answer has numbers of so many bits; `None`: as they are.
    pub bits: Option<u32>,
}

/// What is counted as right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Strings without a mistake.
    Strings,
    /// Answers, each on its own.
    Answers,
    /// Bytes, each after the true ones before it.
    Bytes,
}

impl Metric {
    /// Of the accuracies of strings and of answers the one that counts.
    pub fn of(self, strings: f64, answers: f64) -> f64 {
        match self {
            Self::Strings => strings,
            Self::Answers | Self::Bytes => answers,
        }
    }

    /// The axis.
    pub fn label(self) -> &'static str {
        match self {
            Self::Strings => "strings without a mistake",
            Self::Answers => "answers right",
            Self::Bytes => "bytes right, each after the true ones",
        }
    }

    /// [`label`](Self::label), and in brackets that of the other.
    pub fn both_labels(self) -> String {
        let other = self.other().map(|other| format!(" (and {})", other.label()));
        format!("{}{}", self.label(), other.unwrap_or_default())
    }

    /// The accuracy that counts, and in brackets the other.
    pub fn both(self, strings: f64, answers: f64) -> String {
        let other = self.other().map(|other| format!(" ({:.3})", other.of(strings, answers)));
        format!("{:.3}{}", self.of(strings, answers), other.unwrap_or_default())
    }

    /// What is told beside it where a learning rate is chosen.
    fn other(self) -> Option<Self> {
        match self {
            Self::Strings => Some(Self::Answers),
            Self::Answers => Some(Self::Strings),
            Self::Bytes => None,
        }
    }
}

impl Point {
    /// A question whose state stays as it is.
    pub fn new(x: usize, task: Arc<dyn Task>, length: usize) -> Self {
        Self { x, task, length, bits: None }
    }
}

impl Probe {
    /// `task` at every one of `lengths`.
    pub fn by_length(task: &Arc<dyn Task>, lengths: &[usize], title: String, x_label: &'static str) -> Self {
        let point = |&length: &usize| Point::new(length, task.clone(), length);
        Self {
            name: "accuracy_by_length",
            title,
            x_label,
            log: true,
            metric: Metric::Strings,
            points: lengths.iter().map(point).collect(),
        }
    }
}
