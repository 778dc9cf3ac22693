//! How well a model does a task: strings and characters right, by length.

mod answers;

pub use answers::answer_logits;

use burn::module::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::{Batch, Example, Task};

/// What part of the answers was right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Strings whose every scored token was right.
    pub string: f64,
    /// Scored tokens that were right, each after the true tokens before it.
    pub char: f64,
    /// Strings asked.
    pub strings: usize,
}

/// Tokens that one call of the model sees: what fits in memory with attention's portable form.
const TOKENS_AT_ONCE: usize = 8192;

/// Asks `strings` fresh strings of exactly `length`.
///
/// One teacher-forced pass over each: a string is said right by greedy decoding if and only if each of its tokens
/// is the most likely after the true ones before it, so string accuracy is that of decoding. Character accuracy is
/// not: decoding would go on from its own mistakes.
///
/// # Panics
///
/// If `strings` is 0, or the task has no strings of this length.
///
/// # Source
///
/// arXiv 2402.01032, section 3; the markers are not scored.
pub fn accuracy<M: SequenceMixer>(
    model: &LanguageModel<M>,
    task: &(impl Task + ?Sized),
    length: usize,
    strings: usize,
    seed: u64,
) -> Accuracy {
    assert!(strings > 0, "accuracy: at least one string is needed");
    let model = model.valid();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(length as u64);
    let (mut right_strings, mut right, mut all) = (0, 0, 0);
    let mut left = strings;
    while left > 0 {
        let first = task.example(length, &mut rng);
        let rows = (TOKENS_AT_ONCE / first.tokens.len()).clamp(1, left);
        let rest = (1..rows).map(|_| task.example(length, &mut rng));
        let batch =
            Batch::evaluation(std::iter::once(first).chain(rest).collect::<Vec<Example>>(), task.padding());
        left -= rows;
        for row in right_by_row(&model, &batch) {
            right_strings += usize::from(row.iter().all(|&right| right));
            right += row.iter().filter(|&&right| right).count();
            all += row.len();
        }
    }
    Accuracy {
        string: right_strings as f64 / strings as f64,
        char: right as f64 / all.max(1) as f64,
        strings,
    }
}

/// [`accuracy`] at each of several lengths.
///
/// # Panics
///
/// As [`accuracy`].
pub fn accuracy_by_length<M: SequenceMixer>(
    model: &LanguageModel<M>,
    task: &(impl Task + ?Sized),
    lengths: &[usize],
    strings: usize,
    seed: u64,
) -> Vec<(usize, Accuracy)> {
    lengths.iter().map(|&length| (length, accuracy(model, task, length, strings, seed))).collect()
}

/// For every row, whether each of its scored tokens was the most likely.
fn right_by_row<M: SequenceMixer>(model: &LanguageModel<M>, batch: &Batch) -> Vec<Vec<bool>> {
    let logits = answer_logits(model, batch);
    let said: Vec<u32> = logits.argmax(1).into_data().iter::<u32>().collect();
    let mut said = said.into_iter();
    let row = |targets: &Vec<crate::tasks::Target>| {
        let pairs = targets.iter().zip(said.by_ref());
        pairs.filter(|(target, _)| target.scored).map(|(target, said)| target.token == said).collect()
    };
    batch.targets.iter().map(row).collect()
}
