//! Gradients reach every parameter, and nothing overflows.

use burn::tensor::Tensor;

use super::outcome::{Outcome, Outputs, read};
use super::slopes::slopes;
use super::subject::Subject;
use super::trial::Trial;
use crate::layers::{MixerState, StateMapper};
use crate::ops::Segments;

pub(super) fn gradients<S: Subject>(trial: &mut Trial<S>) {
    let (earlier, x) = (trial.tokens(3, 5), trial.tokens(3, 17));
    let (y, state) = trial.subject.forward(x.clone(), None, Some(trial.state_after(&earlier)));
    let mut outputs = Outputs::default();
    outputs.push("outputs", y);
    trial.probe(&earlier, state, &mut outputs);
    let outcome = trial.outcome(&[("earlier inputs", &earlier), ("inputs", &x)], outputs);
    for (name, values) in outcome.gradients {
        trial.assert(values.iter().any(|value| *value != 0.0), || format!("the {name} is 0"));
        trial.assert(values.iter().all(|value| value.is_finite()), || format!("the {name} is not finite"));
    }
    slopes(trial);
}

pub(super) fn extremes<S: Subject>(trial: &mut Trial<S>) {
    let (seq, batch) = (9, 3);
    let layouts = [
        ("no segments", None),
        ("rows of padding alone", Some(Segments::new(seq, vec![(0, vec![]); batch]))),
        ("one row of padding alone", Some(Segments::new(seq, [(0, vec![9]), (4, vec![]), (3, vec![1, 2])]))),
    ];
    for scale in [0.0, 1e-20, 1.0, 1e3, 1e4] {
        for (name, segments) in &layouts {
            let context = format!("inputs of about {scale}, {name}");
            finite(trial, [scale, scale], seq, segments.as_ref(), &context);
        }
        finite(trial, [scale, scale], 1, None, &format!("one token of about {scale}"));
        finite(trial, [scale, 1.0], seq, None, &format!("after inputs of about {scale}"));
    }
}

/// Two calls, with inputs of these scales, and a few steps.
fn finite<S: Subject>(
    trial: &mut Trial<S>,
    scales: [f32; 2],
    seq: usize,
    segments: Option<&Segments>,
    context: &str,
) {
    let draw = |trial: &mut Trial<S>, scale: f32| {
        let d_model = trial.d_model;
        trial.random.tensor([3, seq, d_model], scale, &trial.device).require_grad()
    };
    let (first, second) = (draw(trial, scales[0]), draw(trial, scales[1]));
    let mut outputs = Outputs::default();
    let (y, state) = trial.subject.forward(first.clone(), segments, None);
    outputs.push("outputs of the first call", y);
    let (y, state) = trial.subject.forward(second.clone(), segments, Some(state));
    outputs.push("outputs of the second call", y);
    let mut finite = Finite(None);
    trial.probe(&second, state.clone().map(&mut finite), &mut outputs);
    trial.assert(finite.0.is_none(), || {
        format!("{context}: {} of the state is not finite", finite.0.unwrap_or_default())
    });
    let outcome: Outcome = trial.outcome(&[("first inputs", &first), ("second inputs", &second)], outputs);
    for (name, values) in outcome.outputs.iter().chain(&outcome.gradients) {
        let worst = values.iter().find(|value| !value.is_finite());
        trial.assert(worst.is_none(), || format!("{context}: {name} has {}", worst.copied().unwrap_or(0.0)));
    }
}

/// The first part of a state that is not finite.
struct Finite(Option<String>);

impl StateMapper for Finite {
    fn tensor<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        if read(tensor.clone()).iter().any(|value| !value.is_finite()) {
            self.0.get_or_insert(name.to_string());
        }
        tensor
    }
}
