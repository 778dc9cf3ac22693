//! Asks a trained model what its arm asks.

use burn_sequence::Result;
use burn_sequence::evaluation::{accuracy, accuracy_through};
use burn_sequence::layers::{Mixer, StateGrowth};
use burn_sequence::models::LanguageModel;
use burn_sequence::tasks::{Example, Task};
use burn_sequence::theory::{Quantised, Quantiser};
use burn_sequence::training::Outcome;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::experiment::{Arm, Metric, Point, Probe};
use super::origin::Origin;
use super::progress::{Progress, interrupted};
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

/// Whether an arm has questions that a run has not answered, and can: `grows` says whether the model's state does.
///
/// # Errors
///
/// Those of `grows`.
pub fn unanswered(
    arm: &Arm,
    run: &Run,
    records: &[Record],
    grows: impl FnOnce() -> Result<bool>,
) -> Result<bool> {
    let (long, short): (Vec<_>, Vec<_>) = open(arm, run, records).partition(is_long);
    Ok(!short.is_empty() || !long.is_empty() && !grows()?)
}

/// A question with its [`extent`].
type Open<'a> = (&'a Probe, &'a Point, (usize, usize));

/// What the records of a run do not answer.
fn open<'a>(arm: &'a Arm, run: &Run, records: &[Record]) -> impl Iterator<Item = Open<'a>> {
    let is_answered = |(probe, point): &(&Probe, &Point)| {
        let answers =
            |record: &Record| (&*record.probe, record.x) == (probe.name, point.x) && record.run == *run;
        records.iter().any(answers)
    };
    points(arm)
        .filter(move |question| !is_answered(question))
        .map(|(probe, point)| (probe, point, extent(probe.metric, point)))
}

/// Whether it is too long for a state that grows.
fn is_long((_, _, (tokens, _)): &Open) -> bool {
    *tokens > TOKENS_OF_A_GROWING_STATE
}

/// What the answers of a run have in common.
pub struct About<'a> {
    pub run: &'a Run,
    pub params: usize,
    pub origin: Origin,
    /// The fingerprint of what it was trained on.
    pub task: String,
    /// Of a point, at most.
    pub strings: usize,
}

/// The answers to every question of the arm that has none, as far as Ctrl-C lets them come.
pub fn ask(
    arm: &Arm,
    about: &About,
    outcome: &Outcome<Mixer>,
    earlier: &[Record],
    progress: &mut Progress,
) -> Vec<Record> {
    let About { run, params, origin, task: trained_on, strings } = about;
    let last = outcome.curve.last().expect("a run ends with an evaluation");
    let grows = outcome.model.backbone.state_growth() == StateGrowth::Linear;
    let questions: Vec<_> = open(arm, run, earlier).filter(|question| !grows || !is_long(question)).collect();
    let mut answers = Vec::new();
    for (number, (probe, point, (tokens, read))) in questions.iter().enumerate() {
        if interrupted() {
            break;
        }
        progress.asks(number + 1, questions.len());
        let longer = if grows { tokens.div_ceil(TOKENS_OF_A_QUICK_STRING) } else { 1 };
        let strings = (*strings).min(TOKENS_OF_A_POINT / (tokens * longer)).max(1);
        let (model, task, length) = (&outcome.model, &*point.task, point.length);
        let mut state_bits = 8 * state_bytes(model, *read);
        let found = match point.bits {
            None => accuracy(model, task, length, strings, run.seed),
            Some(bits) => {
                let quantiser = quantiser(model, task, length, run.seed);
                accuracy_through(model, task, length, strings, run.seed, |state| {
                    let Quantised { state, row_bits } = quantiser.round(state, bits);
                    state_bits = row_bits;
                    state
                })
            }
        };
        answers.push(Record {
            run: (*run).clone(),
            params: *params,
            examples: outcome.examples,
            tokens: run.steps * run.batch_size * run.context_len,
            valid_string_accuracy: last.string_accuracy,
            valid_char_accuracy: last.char_accuracy,
            seconds: outcome.seconds,
            probe: probe.name.into(),
            x: point.x,
            test_len: point.length,
            origin: origin.clone(),
            task: trained_on.clone(),
            state_bytes: state_bits.div_ceil(8),
            state_bits,
            strings: found.strings,
            string_accuracy: found.string,
            char_accuracy: found.char,
        });
    }
    answers
}

/// Strings from whose states a quantiser learns.
const QUANTISER_STRINGS: usize = 256;

/// What rounds the state before the first answer, by states of other strings than those that are asked.
fn quantiser(model: &LanguageModel, task: &dyn Task, length: usize, seed: u64) -> Quantiser {
    let mut quantiser = None;
    accuracy_through(model, task, length, QUANTISER_STRINGS, !seed, |state| {
        quantiser.get_or_insert_with(|| Quantiser::fit(state.clone()));
        state
    });
    quantiser.expect("a state passes")
}

/// Tokens of a string, and those read when its answer is due, or, where each of its answers is on its own, all: of one string, the
/// same for every run.
fn extent(metric: Metric, point: &Point) -> (usize, usize) {
    let Example { tokens, targets } = point.task.example(point.length, &mut ChaCha8Rng::seed_from_u64(0));
    let first = targets.iter().find(|target| target.scored).map_or(0, |target| target.position + 1);
    let read = if metric == Metric::Answers { tokens.len() } else { first };
    (tokens.len(), read)
}

fn state_bytes(model: &LanguageModel, len: usize) -> usize {
    // What has stopped growing need not be read on.
    model.state_bytes(match model.backbone.state_growth() {
        StateGrowth::Constant => 1,
        StateGrowth::Window(window) => len.min(window),
        StateGrowth::Linear => len,
    })
}
