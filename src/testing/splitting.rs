//! One map in three forms: at once, in pieces, a token at a time.

use burn::tensor::Tensor;

use super::outcome::{Outcome, Outputs};
use super::subject::Subject;
use super::trial::Trial;

/// What one call takes.
#[derive(Clone, Copy, Debug)]
enum Piece {
    /// A call to `forward` on so many tokens.
    Forward(usize),
    /// A call to `step`.
    Step,
}

/// A sequence, perhaps one before it, and one after it.
struct Sequences {
    before: Option<Tensor<3>>,
    x: Tensor<3>,
    after: Tensor<3>,
}

impl Sequences {
    fn draw<S: Subject>(trial: &mut Trial<S>, batch: usize, before: usize, seq: usize) -> Self {
        let before = (before > 0).then(|| trial.tokens(batch, before));
        Self { before, x: trial.tokens(batch, seq), after: trial.tokens(batch, 3) }
    }

    fn run<S: Subject>(&self, trial: &Trial<S>, pieces: &[Piece]) -> Outputs {
        let mut state = self.before.as_ref().map(|before| trial.state_after(before));
        let (mut start, mut pieces_out) = (0, Vec::with_capacity(pieces.len()));
        for piece in pieces {
            let (y, after) = match *piece {
                Piece::Forward(len) => {
                    trial.subject.forward(self.x.clone().narrow(1, start, len), None, state)
                }
                Piece::Step => {
                    let state =
                        state.unwrap_or_else(|| trial.subject.init_state(self.x.dims()[0], &self.x.device()));
                    trial.steps(self.x.clone().narrow(1, start, 1), state)
                }
            };
            start += y.dims()[1];
            pieces_out.push(y);
            state = Some(after);
        }
        let mut outputs = Outputs::default();
        outputs.push("outputs", Tensor::cat(pieces_out, 1));
        trial.probe(&self.after, state.expect("at least one piece"), &mut outputs);
        outputs
    }

    /// Values and gradients.
    fn outcome<S: Subject>(&self, trial: &Trial<S>, pieces: &[Piece]) -> Outcome {
        let mut inputs = vec![("inputs", &self.x), ("later inputs", &self.after)];
        inputs.extend(self.before.as_ref().map(|before| ("earlier inputs", before)));
        trial.outcome(&inputs, self.run(trial, pieces))
    }
}

pub(super) fn stepping<S: Subject>(trial: &mut Trial<S>) {
    for (before, seq) in [(0, 1), (0, 11), (1, 1), (7, 9), (2, 21)] {
        let sequences = Sequences::draw(trial, 2, before, seq);
        let whole = sequences.outcome(trial, &[Piece::Forward(seq)]);
        let steps = sequences.outcome(trial, &vec![Piece::Step; seq]);
        trial.assert_same(&whole, &steps, &format!("{seq} steps against forward, after {before} tokens"));
    }
}

pub(super) fn splitting<S: Subject>(trial: &mut Trial<S>) {
    let mut splits = vec![vec![8, 1], vec![1, 8], vec![4, 4, 4]];
    for _ in 0..4 {
        let total = trial.random.size(2..=40);
        splits.push(trial.random.lengths(total));
    }
    for lengths in splits {
        let seq = lengths.iter().sum();
        let (batch, before) = (trial.random.size(1..=3), trial.random.size(0..=6));
        let sequences = Sequences::draw(trial, batch, before, seq);
        let whole = sequences.outcome(trial, &[Piece::Forward(seq)]);
        let pieces: Vec<Piece> = lengths
            .iter()
            .map(|&length| if length == 1 && seq % 2 == 0 { Piece::Step } else { Piece::Forward(length) })
            .collect();
        let split = sequences.outcome(trial, &pieces);
        let context = format!("{batch} rows as {pieces:?} against the whole, after {before} tokens");
        trial.assert_same(&whole, &split, &context);
    }
    // Beyond the usual chunk of 64 tokens; values alone.
    let sequences = Sequences::draw(trial, 1, 0, 130);
    let whole = Outcome::values(sequences.run(trial, &[Piece::Forward(130)]));
    for lengths in [[64, 66], [65, 65], [129, 1]] {
        let split = Outcome::values(sequences.run(trial, &lengths.map(Piece::Forward)));
        trial.assert_same(&whole, &split, &format!("130 tokens as {lengths:?} against the whole"));
    }
}
