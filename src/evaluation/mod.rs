//! How well a model does a task: strings and characters right, by length; and how well it knows a text.

mod answers;
mod perplexity;
mod pieces;

#[cfg(feature = "autodiff")]
pub(crate) use answers::answer_cross_entropy;
pub use answers::answer_logits;
pub use perplexity::perplexity;

use burn::module::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::layers::SequenceMixer;
use crate::models::{LanguageModel, ModelState};
use crate::tasks::{Batch, Example, Task};

/// What part of the answers was right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
/// Strings of more than 8,192 tokens are read in pieces of as many, the state carried over: a model whose state does not
/// grow reads a string of any length in the same memory.
///
/// # Panics
///
/// If `strings` is 0, the task has no strings of this length, or has tokens that are not below the model's `vocab_size`.
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
    accuracy_of_each(model, task, length, strings, seed, |_, _| {})
}

/// [`accuracy`], with every string shown to `each`, and whether it was said without a mistake.
///
/// # Panics
///
/// As [`accuracy`].
pub fn accuracy_of_each<M: SequenceMixer>(
    model: &LanguageModel<M>,
    task: &(impl Task + ?Sized),
    length: usize,
    strings: usize,
    seed: u64,
    each: impl FnMut(&Example, bool),
) -> Accuracy {
    let model = asked(model, task);
    let said = |batch: &Batch| {
        if batch.seq > TOKENS_AT_ONCE {
            pieces::said(&model, batch, TOKENS_AT_ONCE, None, |state| state)
        } else {
            answer_logits(&model, batch).argmax(1).into_data().iter::<u32>().collect()
        }
    };
    score(task, length, strings, seed, said, each)
}

/// [`accuracy`] of a model that knows of the question only what `channel` lets through: the state before the token after
/// which the first answer is said, such as `|`, passes through it, and everything said is a function of what comes out.
///
/// # Panics
///
/// As [`accuracy`], and if the strings of this length do not all have as many tokens and their first answer at the same
/// place.
pub fn accuracy_through<M: SequenceMixer>(
    model: &LanguageModel<M>,
    task: &(impl Task + ?Sized),
    length: usize,
    strings: usize,
    seed: u64,
    mut channel: impl FnMut(ModelState<M>) -> ModelState<M>,
) -> Accuracy {
    let model = asked(model, task);
    let said = |batch: &Batch| {
        let first = |targets: &Vec<crate::tasks::Target>| targets.first().map(|target| target.position);
        let place = first(&batch.targets[0]).expect("an example has answers");
        let same = batch.targets.iter().all(|targets| first(targets) == Some(place));
        assert!(same, "accuracy_through: {}: answers begin at different places", task.name());
        pieces::said(&model, batch, TOKENS_AT_ONCE, Some(place), &mut channel)
    };
    score(task, length, strings, seed, said, |_, _| {})
}

/// The model, without gradients; panics unless it knows all tokens of the task: not every backend looks at them.
fn asked<M: SequenceMixer>(model: &LanguageModel<M>, task: &(impl Task + ?Sized)) -> LanguageModel<M> {
    let (tokens, known) = (task.vocab_size(), model.vocab_size());
    assert!(tokens <= known, "{}: has {tokens} tokens, the model's vocab_size is {known}", task.name());
    model.valid()
}

/// Draws the strings; `said` has what is said at every target of a batch, `each` sees what came of each.
fn score(
    task: &(impl Task + ?Sized),
    length: usize,
    strings: usize,
    seed: u64,
    mut said: impl FnMut(&Batch) -> Vec<u32>,
    mut each: impl FnMut(&Example, bool),
) -> Accuracy {
    assert!(strings > 0, "accuracy: at least one string is needed");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Training takes the streams of its steps.
    rng.set_stream(1 << 63 | length as u64);
    let (mut right_strings, mut right, mut all) = (0, 0, 0);
    let mut left = strings;
    while left > 0 {
        let first = task.example(length, &mut rng);
        // Batches of about the same size: what a channel makes of one should not depend on how many strings there are.
        let most = (TOKENS_AT_ONCE / first.tokens.len()).clamp(1, left);
        let rows = left.div_ceil(left.div_ceil(most));
        let rest = (1..rows).map(|_| task.example(length, &mut rng));
        let examples: Vec<Example> = std::iter::once(first).chain(rest).collect();
        let batch = Batch::evaluation(examples.clone(), task.padding());
        left -= rows;
        for (example, row) in examples.iter().zip(right_by_row(&batch, said(&batch))) {
            let exact = row.iter().all(|&right| right);
            each(example, exact);
            right_strings += usize::from(exact);
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

/// For every row, whether each of its scored tokens was said.
fn right_by_row(batch: &Batch, said: Vec<u32>) -> Vec<Vec<bool>> {
    let mut said = said.into_iter();
    let row = |targets: &Vec<crate::tasks::Target>| {
        let pairs = targets.iter().zip(said.by_ref());
        pairs.filter(|(target, _)| target.scored).map(|(target, said)| target.token == said).collect()
    };
    batch.targets.iter().map(row).collect()
}
