//! What does not fit panics: a wrong batch must not be broadcast.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::subject::Subject;
use super::trial::Trial;
use crate::ops::Segments;

pub(super) fn misuse<S: Subject>(trial: &mut Trial<S>) {
    let (x, one) = (trial.tokens(2, 4), trial.tokens(1, 4));
    let narrow = x.clone().narrow(2, 0, trial.d_model - 1);
    let three = trial.tokens(3, 2);
    for (name, state) in [
        ("an empty state of 3 rows", trial.subject.init_state(3, &trial.device)),
        ("an empty state of 1 row", trial.subject.init_state(1, &trial.device)),
        ("a state of 3 rows", trial.state_after(&three)),
        ("a state of 1 row", trial.state_after(&one)),
    ] {
        let forward = || drop(trial.subject.forward(x.clone(), None, Some(state.clone())));
        panics(trial, &format!("forward on 2 rows with {name}"), forward);
        let token = x.clone().narrow(1, 0, 1).squeeze_dim::<2>(1);
        let step = || drop(trial.subject.step(token.clone(), state.clone()));
        panics(trial, &format!("step on 2 rows with {name}"), step);
    }
    for (name, segments) in [
        ("segments of 1 row", Segments::from_lengths(&[4])),
        ("segments of 3 columns", Segments::right_padded(&[3, 3], 3)),
    ] {
        let forward = || drop(trial.subject.forward(x.clone(), Some(&segments), None));
        panics(trial, &format!("forward on 2 rows of 4 tokens with {name}"), forward);
    }
    let forward = || drop(trial.subject.forward(narrow.clone(), None, None));
    panics(trial, "forward on tokens that are too narrow", forward);
}

fn panics<S: Subject>(trial: &Trial<S>, what: &str, call: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(call)).err();
    let message = panic.and_then(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
    });
    let said = message.is_some_and(|message| !message.trim().is_empty());
    trial.assert(said, || format!("{what} must panic with a message"));
}
