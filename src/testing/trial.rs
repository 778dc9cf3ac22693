//! A subject on the device under test, and what the laws do to it.

use std::sync::Mutex;

use burn::tensor::{Device, Tensor};

use super::Law;
use super::outcome::{Outcome, Outputs};
use super::random::{Random, perturbed};
use super::subject::{Recipe, Subject};
use super::tolerance::Tolerance;

/// Parameters are drawn from the device's generator, which all threads share.
static BUILDING: Mutex<()> = Mutex::new(());

/// Does what draws parameters, while nobody else does.
pub(super) fn alone<T>(work: impl FnOnce() -> T) -> T {
    let _alone = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    work()
}

/// A subject under one law.
pub(super) struct Trial<S> {
    law: Law,
    pub(super) subject: S,
    pub(super) d_model: usize,
    pub(super) random: Random,
    /// With gradients.
    pub(super) device: Device,
}

impl<S: Subject> Trial<S> {
    pub(super) fn new<R: Recipe<Subject = S>>(law: Law, recipe: &R) -> Self {
        let device = Device::default().autodiff();
        let subject = alone(|| {
            device.seed(5);
            perturbed(recipe.build(&device))
        });
        Self { law, subject, d_model: recipe.d_model(), random: Random::new(law as u64), device }
    }

    /// Tokens to take gradients of.
    pub(super) fn tokens(&mut self, batch: usize, seq: usize) -> Tensor<3> {
        let spread = 3.0_f32.sqrt();
        self.random.tensor([batch, seq, self.d_model], spread, &self.device).require_grad()
    }

    /// The state after some tokens.
    pub(super) fn state_after(&self, tokens: &Tensor<3>) -> S::State {
        self.subject.forward(tokens.clone(), None, None).1
    }

    /// Tokens one after another.
    pub(super) fn steps(&self, x: Tensor<3>, mut state: S::State) -> (Tensor<3>, S::State) {
        let [_, seq, _] = x.dims();
        let mut outputs = Vec::with_capacity(seq);
        for t in 0..seq {
            let (y, after) = self.subject.step(x.clone().narrow(1, t, 1).squeeze_dim(1), state);
            outputs.push(y.unsqueeze_dim(1));
            state = after;
        }
        (Tensor::cat(outputs, 1), state)
    }

    /// What a state is worth: the outputs on further tokens, at once and one by one.
    ///
    /// States are compared by this and not by their tensors: a ring buffer may begin anywhere.
    pub(super) fn probe(&self, tokens: &Tensor<3>, state: S::State, outputs: &mut Outputs) {
        let (at_once, _) = self.subject.forward(tokens.clone(), None, Some(state.clone()));
        outputs.push("going on at once", at_once);
        outputs.push("going on by steps", self.steps(tokens.clone(), state).0);
    }

    /// Outputs, and gradients of `inputs` and parameters.
    pub(super) fn outcome(&self, inputs: &[(&str, &Tensor<3>)], outputs: Outputs) -> Outcome {
        Outcome::new(&self.subject, inputs, outputs)
    }

    /// Panics, naming the law, unless the two are the same.
    pub(super) fn assert_same(&self, expected: &Outcome, actual: &Outcome, context: &str) {
        expected.assert_same(actual, Tolerance::of(&self.device), &format!("law {}: {context}", self.law));
    }

    /// Panics, naming the law, unless it holds.
    #[track_caller]
    pub(super) fn assert(&self, holds: bool, problem: impl FnOnce() -> String) {
        assert!(holds, "law {}: {}", self.law, problem());
    }
}
