//! What must not affect what: the future the past, a row another row.

use burn::tensor::Tensor;

use super::outcome::{Outcome, Outputs, read};
use super::subject::Subject;
use super::trial::Trial;

/// Outputs before t are the same whatever follows, and have no gradient there.
pub(super) fn causality<S: Subject>(trial: &mut Trial<S>) {
    for (seq, t, before) in [(19, 1, 0), (19, 8, 0), (19, 18, 3), (6, 3, 9)] {
        let earlier = (before > 0).then(|| trial.tokens(2, before));
        let x = trial.tokens(2, seq);
        let other = trial.tokens(2, seq) * 3.0;
        let other = Tensor::cat(vec![x.clone().narrow(1, 0, t), other.narrow(1, t, seq - t)], 1);
        let run = |x: &Tensor<3>| {
            let state = earlier.as_ref().map(|earlier| trial.state_after(earlier));
            let (y, _) = trial.subject.forward(x.clone(), None, state);
            y.narrow(1, 0, t)
        };
        let outputs = |y: Tensor<3>| {
            let mut outputs = Outputs::default();
            outputs.push("outputs", y);
            outputs
        };
        let context = format!("inputs from {t} of {seq} on changed, after {before} tokens");
        let (one, two) = (Outcome::values(outputs(run(&x))), Outcome::values(outputs(run(&other))));
        trial.assert_same(&one, &two, &context);

        let gradient = x.grad(&run(&x).sum().backward());
        let later = gradient.map_or(Vec::new(), |gradient| read(gradient.narrow(1, t, seq - t)));
        let some = later.into_iter().find(|value| *value != 0.0);
        trial.assert(some.is_none(), || {
            format!("outputs before {t} of {seq} have a gradient of {some:?} in later inputs")
        });
    }
}

/// A batch is as its rows, each alone.
pub(super) fn rows<S: Subject>(trial: &mut Trial<S>) {
    for (batch, before, seq) in [(3, 0, 9), (2, 5, 7), (4, 6, 1)] {
        let earlier = trial.tokens(batch, before.max(1));
        let (x, after) = (trial.tokens(batch, seq), trial.tokens(batch, 3));
        let run = |trial: &Trial<S>, row: usize, rows: usize, outputs: &mut Outputs| {
            let of = |x: &Tensor<3>| x.clone().narrow(0, row, rows);
            let state = (before > 0).then(|| trial.state_after(&of(&earlier)));
            let (y, state) = trial.subject.forward(of(&x), None, state);
            let mut probes = Outputs::default();
            trial.probe(&of(&after), state, &mut probes);
            for inner in 0..rows {
                outputs.push(format!("row {}", row + inner), y.clone().narrow(0, inner, 1));
                outputs.extend(&format!("row {}, ", row + inner), &probes, inner);
            }
        };
        let inputs = [("earlier inputs", &earlier), ("inputs", &x), ("later inputs", &after)];
        let (mut together, mut apart) = (Outputs::default(), Outputs::default());
        run(trial, 0, batch, &mut together);
        (0..batch).for_each(|row| run(trial, row, 1, &mut apart));
        let (together, apart) = (trial.outcome(&inputs, together), trial.outcome(&inputs, apart));
        trial.assert_same(&apart, &together, &format!("{batch} rows together against apart"));
    }
}
