//! Asks a trained model what its arm asks.

use burn_sequence::evaluation::{accuracy, accuracy_through};
use burn_sequence::layers::{Mixer, StateGrowth};
use burn_sequence::models::LanguageModel;
use burn_sequence::theory::{Quantised, quantise};
use burn_sequence::training::Outcome;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::experiment::{Arm, Point, Probe};
use super::records::{Record, Run};

/// Tokens that one point of a probe reads, at most: of long strings there are fewer.
const TOKENS_OF_A_POINT: usize = 1 << 22;
/// Where the state grows with the text, and the time with its square: tokens of a string, at most; of strings longer than
/// `TOKENS_OF_A_QUICK_STRING` there are fewer by as much as they are longer.
const TOKENS_OF_A_GROWING_STATE: usize = 1 << 14;
const TOKENS_OF_A_QUICK_STRING: usize = 1 << 10;

/// Every question of an arm.
pub fn points(arm: &Arm) -> impl Iterator<Item = (&Probe, &Point)> {
    arm.probes.iter().flat_map(|probe| probe.points.iter().map(move |point| (probe, point)))
}

/// Whether the records of a run answer it.
pub fn is_answered(records: &[Record], run: &Run, (probe, point): (&Probe, &Point)) -> bool {
    let answers = |record: &Record| (&*record.probe, record.x) == (probe.name, point.x) && record.run == *run;
    records.iter().any(answers)
}

/// The answers to every question of the arm that has none.
pub fn ask(
    arm: &Arm,
    run: &Run,
    outcome: &Outcome<Mixer>,
    strings: usize,
    params: usize,
    earlier: &[Record],
) -> Vec<Record> {
    let last = outcome.curve.last().expect("a run ends with an evaluation");
    let questions = points(arm).filter(|question| !is_answered(earlier, run, *question));
    let grows = outcome.model.backbone.state_growth() == StateGrowth::Linear;
    let answer = |(probe, point): (&Probe, &Point)| {
        let (tokens, before_answer) = extent(point, run.seed);
        if grows && tokens > TOKENS_OF_A_GROWING_STATE {
            return None;
        }
        let longer = if grows { tokens.div_ceil(TOKENS_OF_A_QUICK_STRING) } else { 1 };
        let strings = strings.min(TOKENS_OF_A_POINT / (tokens * longer)).max(1);
        let (model, task, length) = (&outcome.model, &*point.task, point.length);
        let mut state_bits = 8 * state_bytes(model, before_answer);
        let found = match point.bits {
            None => accuracy(model, task, length, strings, run.seed),
            Some(bits) => accuracy_through(model, task, length, strings, run.seed, |state| {
                let Quantised { state, row_bits } = quantise(state, bits);
                state_bits = row_bits;
                state
            }),
        };
        Some(Record {
            run: run.clone(),
            params,
            examples: outcome.examples,
            tokens: run.steps * run.batch_size * run.context_len,
            valid_string_accuracy: last.string_accuracy,
            valid_char_accuracy: last.char_accuracy,
            seconds: outcome.seconds,
            probe: probe.name.into(),
            x: point.x,
            test_len: point.length,
            state_bytes: state_bits.div_ceil(8),
            state_bits,
            strings: found.strings,
            string_accuracy: found.string,
            char_accuracy: found.char,
        })
    };
    questions.filter_map(answer).collect()
}

/// Tokens of a string, and those read when its first scored answer is due.
fn extent(point: &Point, seed: u64) -> (usize, usize) {
    let example = point.task.example(point.length, &mut ChaCha8Rng::seed_from_u64(seed));
    let due = example.targets.iter().find(|target| target.scored).map_or(0, |target| target.position + 1);
    (example.tokens.len(), due)
}

fn state_bytes(model: &LanguageModel, len: usize) -> usize {
    // Where the state does not grow, a token is enough.
    model.state_bytes(if model.backbone.state_growth() == StateGrowth::Constant { 1 } else { len })
}
