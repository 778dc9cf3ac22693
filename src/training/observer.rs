//! What a run tells while it trains.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// After a step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Mean cross entropy of the step's answers, in nats.
    pub loss: f64,
    /// The part of the step's scored answer tokens that the model would have said.
    pub accuracy: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Examples seen, this step's included.
    pub examples: usize,
    /// Time since this call of `fit` began.
    pub elapsed: Duration,
}

/// A point of the learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: usize,
    /// Examples seen.
    pub examples: usize,
    /// Mean cross entropy of that step's answers, in nats.
    pub loss: f64,
    /// The part of fresh strings said without a mistake.
    pub string_accuracy: f64,
    /// The part of their tokens said right.
    pub char_accuracy: f64,
}

/// Follows a run, and can end it.
pub trait Observer {
    /// After every step; `Break` saves the state of the run and ends it.
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()>;

    /// After every evaluation.
    fn on_evaluation(&mut self, point: &CurvePoint) {
        let _ = point;
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on_step(&mut self, _: &StepReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
