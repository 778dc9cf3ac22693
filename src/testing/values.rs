//! A state is a plain value.

use burn::tensor::Tensor;

use super::outcome::{Outputs, read};
use super::subject::Subject;
use super::trial::Trial;
use crate::layers::MixerState;

pub(super) fn values<S: Subject>(trial: &mut Trial<S>) {
    for before in [0, 1, 6, 33] {
        let (earlier, after) = (trial.tokens(2, before.max(1)), trial.tokens(2, 5));
        let empty = || trial.subject.init_state(2, &trial.device);
        let state = || if before == 0 { empty() } else { trial.state_after(&earlier) };
        let stepped = || trial.steps(earlier.clone(), empty()).1;
        for (made, state) in [("by forward", state()), ("by steps", stepped())] {
            let expected = going_on(trial, &after, state.clone());
            let same = |name: &str, state: S::State| {
                trial.assert(going_on(trial, &after, state) == expected, || {
                    format!("after {before} tokens {made}, {name} gives other outputs")
                });
            };
            same("the state that was gone on from before", state.clone());
            same("a moved state", state.clone().to_device(&trial.device));
            same("a detached state", state.clone().detach());

            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("state.safetensors");
            state.save(&path).expect("the state can be saved");
            let load = |into: S::State| into.load(&path).expect("the state can be loaded");
            same("a loaded state", load(empty()));
            same("a state loaded over another", load(trial.state_after(&after)));
        }
        detached(trial, &earlier, &after);
    }
}

fn going_on<S: Subject>(trial: &Trial<S>, after: &Tensor<3>, state: S::State) -> Vec<Vec<f32>> {
    let mut outputs = Outputs::default();
    trial.probe(after, state, &mut outputs);
    outputs.into_values()
}

/// No gradient passes a detached state. Whether it passes others is seen where a sequence is split.
fn detached<S: Subject>(trial: &Trial<S>, earlier: &Tensor<3>, after: &Tensor<3>) {
    let state = trial.state_after(earlier).detach();
    let y = trial.subject.forward(after.clone(), None, Some(state)).0;
    let gradient = earlier.grad(&y.sum().backward()).map(read).unwrap_or_default();
    let passed = gradient.into_iter().find(|value| *value != 0.0);
    trial.assert(passed.is_none(), || format!("a gradient of {passed:?} passes a detached state"));
}
