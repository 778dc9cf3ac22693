//! Synthetic tasks: tokens, and what a model should say after which of them. No task knows a model.
//!
//! The first are those of *Repeat After Me: Transformers are Better than State Space Models at Copying*
//! ([arXiv 2402.01032](https://arxiv.org/abs/2402.01032)), over the thirty-token [`vocabulary`].
//! `x` is a string of independent, uniform letters, `g` an n-gram of it and `a` what follows `g` there:
//!
//! | task | layout | drawn example (seed 12, length 8) |
//! |---|---|---|
//! | [`Copying`] | `$x\|x.` | `$bazuprxg\|bazuprxg.` |
//! | [`NgramLookup`], [`KeyPlace::Prefix`] | `$g\|x\|a.` | `$zup\|bazuprxg\|rx.` |
//! | [`NgramLookup`], [`KeyPlace::Suffix`] | `$x\|ga.` | `$bazuprxg\|zuprx.` |
//! | [`DuplicateNgram`] | `$x\|x.` | `$bazupzup\|bazupzup.` |
//!
//! The answer (the second `x`, or `a`) is in the loss and in the score; the end marker `.` only in the loss.
//!
//! Others ask for recall and for filtering, each with token ids of its own:
//!
//! | task | asks for |
//! |---|---|
//! | [`Mqar`] | the values of many keys, in one pass |
//! | [`SelectiveCopying`] | a few data among noise, in order |
//! | [`Induction`] | what followed a special token, however long ago |
//! | [`FlipFlop`] | the bit that was written last |
//! | [`PhoneBook`] | the number that stood beside a name |
//! | [`Text`] | real text again, natural or shuffled; what followed a few bytes of it; what comes next |
//!
//! For training, [`Packing`] lays examples end to end and [`Batch::training`] stacks such rows; for
//! evaluation, [`Batch::evaluation`] gives each example a row of its own. Everything is drawn from the
//! generator that is passed in: the same seed gives the same bytes on every platform.
//!
//! ```
//! use burn_sequence::tasks::{Copying, Task, vocabulary};
//! use rand::{SeedableRng, rngs::ChaCha8Rng};
//!
//! let example = Copying::new(5..=16).example(8, &mut ChaCha8Rng::seed_from_u64(12));
//! assert_eq!(vocabulary::decode(&example.tokens)?, "$bazuprxg|bazuprxg.");
//! // After `|` the model should say the first letter of x.
//! assert_eq!(example.targets[0].position, 9);
//! assert_eq!(example.targets[0].token, example.tokens[1]);
//! # Ok::<(), burn_sequence::Error>(())
//! ```

mod batch;
mod copying;
mod duplicate_ngram;
mod example;
mod fingerprint;
mod flip_flop;
mod induction;
mod mqar;
mod ngram_lookup;
mod packing;
mod phone_book;
#[cfg(test)]
mod published;
mod random_letters;
mod selective_copying;
mod text;
pub mod vocabulary;

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use crate::check::{expect_valid, told};
use crate::{Error, Result};

pub use batch::Batch;
pub use copying::Copying;
pub use duplicate_ngram::DuplicateNgram;
pub use example::{Example, Target};
pub use fingerprint::fingerprint;
pub use flip_flop::FlipFlop;
pub use induction::Induction;
pub use mqar::Mqar;
pub use ngram_lookup::{KeyPlace, NgramLookup};
pub use packing::{Packing, Row};
pub use phone_book::PhoneBook;
pub use selective_copying::SelectiveCopying;
pub use text::{Text, TextQuestion};

/// A source of examples: strings of tokens with the answers in them marked.
///
/// `length` counts what makes the task harder (here the letters of `x`), not the tokens of the example.
pub trait Task: Send + Sync {
    /// The task's name in reports and file names, such as `copying`.
    fn name(&self) -> &str;

    /// How many token ids there are; every token is below it.
    fn vocab_size(&self) -> usize;

    /// The token that fills a row after its example; it is never an answer.
    fn padding(&self) -> u32;

    /// The lengths seen in training, both ends included.
    fn lengths(&self) -> RangeInclusive<usize>;

    /// Whether the task's settings can be, and there are examples of this length.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], saying which there are.
    fn check(&self, length: usize) -> Result<()> {
        let _ = length;
        Ok(())
    }

    /// Whether the task can be trained on: [`check`](Self::check) of the shortest and the longest of its lengths.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the lengths.
    fn check_lengths(&self) -> Result<()> {
        let lengths = some_lengths(self)?;
        let ends = [lengths.start(), lengths.end()];
        let checked = ends.into_iter().try_for_each(|&length| self.check(length));
        told(checked, |problem| format!("{problem} (lengths are {lengths:?})"))
    }

    /// Draws an example of exactly this length, which may lie outside [`lengths`](Self::lengths).
    ///
    /// # Panics
    ///
    /// With the message of [`check`](Self::check), if no example of this length exists.
    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example;

    /// Tokens of the longest example to train on, for which a training row must have room.
    fn longest(&self) -> usize {
        self.example(*self.lengths().end(), &mut ChaCha8Rng::seed_from_u64(0)).tokens.len()
    }

    /// Draws an example to train on: unless a task says otherwise, a length uniformly from [`lengths`](Self::lengths), then an
    /// example of it.
    ///
    /// # Panics
    ///
    /// If `lengths` is empty, or holds a length of which no example exists.
    fn training_example(&self, rng: &mut ChaCha8Rng) -> Example {
        self.example(training_length(self, rng), rng)
    }
}

/// One of the task's lengths, each as likely as the others.
fn training_length(task: &(impl Task + ?Sized), rng: &mut ChaCha8Rng) -> usize {
    let lengths = expect_valid(some_lengths(task));
    // 64 bits on every platform: a `usize` range would draw differently where `usize` has 32.
    rng.random_range(*lengths.start() as u64..=*lengths.end() as u64) as usize
}

/// The task's lengths, of which there must be one.
fn some_lengths(task: &(impl Task + ?Sized)) -> Result<RangeInclusive<usize>> {
    let lengths = task.lengths();
    require(!lengths.is_empty(), || format!("{}: the range of lengths {lengths:?} is empty", task.name()))?;
    Ok(lengths)
}

/// A task that was just made; panics if it cannot be.
fn valid<T: Task>(task: T) -> T {
    expect_valid(task.check_lengths());
    task
}

/// The answer of a [`Task::check`].
fn require(holds: bool, problem: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Config(problem())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> [Box<dyn Task>; 4] {
        [
            Box::new(Copying::new(5..=8)),
            Box::new(NgramLookup::new(5..=8, 3, 2, KeyPlace::Prefix)),
            Box::new(NgramLookup::new(5..=8, 3, 2, KeyPlace::Suffix)),
            Box::new(DuplicateNgram::new(5..=8, 2)),
        ]
    }

    #[test]
    fn same_seed_same_example_and_other_seed_another() {
        for task in tasks() {
            let draw = |seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                [task.training_example(&mut rng), task.training_example(&mut rng)]
            };
            assert_eq!(draw(3), draw(3), "{}", task.name());
            assert_ne!(draw(3), draw(4), "{}", task.name());
            let [first, second] = draw(3);
            assert_ne!(first, second, "{}", task.name());
        }
    }

    #[test]
    fn a_seed_draws_the_same_everywhere() {
        let books = PhoneBook::new(3..=4, &["Ann", "Bob"], &["Lee", "Ray"]).unwrap();
        let text = |question| Text::new("a text of some words", 4..=8, question).unwrap();
        let drawn = |task: &dyn Task, length| {
            format!("{:?}", task.example(length, &mut ChaCha8Rng::seed_from_u64(12)).tokens)
        };
        let said = |task: &dyn Task, length| {
            let tokens = task.example(length, &mut ChaCha8Rng::seed_from_u64(12)).tokens;
            String::from_utf8(tokens.into_iter().map(|token| token as u8).collect()).unwrap()
        };
        assert_eq!(
            drawn(&Mqar::new(1..=4, 16, 16), 3),
            "[6, 14, 1, 12, 7, 13, 6, 0, 0, 0, 1, 0, 0, 0, 7, 0]"
        );
        assert_eq!(drawn(&SelectiveCopying::new(8..=8, 3), 8), "[12, 0, 0, 0, 0, 0, 10, 11, 1, 1, 1]");
        assert_eq!(drawn(&Induction::new(8..=8), 8), "[0, 0, 14, 15, 9, 10, 13, 15]");
        assert_eq!(drawn(&FlipFlop::new(6..=6, 0.5), 6), "[2, 0, 4, 0, 4, 0, 3, 1, 2, 1, 4, 1]");
        let book = "Ann Ray: 7669296184\nAnn Lee: 5448001604\nBob Ray: 7816416501\n\n\
            Ann Ray: 7669296184\nAnn Lee: 5448001604\n\nBob Ray: 7816416501\n";
        assert_eq!(said(&books, 3), book);
        assert_eq!(said(&text(TextQuestion::Copy), 8), "a text o\n\na text o\n\na text o\n\n");
        assert_eq!(said(&text(TextQuestion::Copy).shuffled(), 8), "a etxt o\n\na etxt o\n\na etxt o\n\n");
        assert_eq!(said(&text(TextQuestion::Lookup { key: 2, answer: 2 }), 8), "a text o\n\next \n");
        assert_eq!(said(&text(TextQuestion::Next).with_repeats(0.5), 8), "some\n\nso");
    }

    #[test]
    fn targets_are_the_next_tokens_in_order_and_inside_the_vocabulary() {
        for task in tasks() {
            let mut rng = ChaCha8Rng::seed_from_u64(11);
            for _ in 0..200 {
                let Example { tokens, targets } = task.training_example(&mut rng);
                assert!(tokens.iter().all(|&token| (token as usize) < task.vocab_size()));
                assert!(!tokens.contains(&task.padding()), "{}", task.name());
                assert!(targets.windows(2).all(|pair| pair[0].position < pair[1].position));
                for target in &targets {
                    assert_eq!(target.token, tokens[target.position + 1], "{}", task.name());
                }
                let (end, answer) = targets.split_last().unwrap();
                assert_eq!((end.token, end.scored), (vocabulary::EOS, false), "{}", task.name());
                assert!(!answer.is_empty() && answer.iter().all(|target| target.scored));
                assert!(answer.iter().all(|target| target.token < vocabulary::LETTERS));
            }
        }
    }

    #[test]
    fn a_length_that_does_not_exist_is_an_error_to_ask_for_and_a_panic_to_draw() {
        let books = PhoneBook::new(3..=4, &["Ann", "Bob"], &["Lee", "Ray"]).unwrap();
        let text = Text::new("a text of some words", 4..=8, TextQuestion::Copy).unwrap();
        let mut tasks: Vec<(Box<dyn Task>, usize)> = tasks().into_iter().map(|task| (task, 0)).collect();
        tasks.push((Box::new(Mqar::new(1..=4, 32, 32)), 9));
        tasks.push((Box::new(SelectiveCopying::new(8..=8, 4)), 3));
        tasks.push((Box::new(Induction::new(8..=8)), 2));
        tasks.push((Box::new(FlipFlop::new(8..=8, 0.5)), 1));
        tasks.push((Box::new(books), 5));
        tasks.push((Box::new(text), 99));
        for (task, length) in tasks {
            assert!(task.check(*task.lengths().end()).is_ok(), "{}", task.name());
            let problem = task.check(length).unwrap_err().to_string();
            assert!(problem.starts_with(task.name().split('_').next().unwrap()), "{problem}");
            let draw = || task.example(length, &mut ChaCha8Rng::seed_from_u64(0));
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(draw)).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>(), Some(&problem), "{}", task.name());
        }
    }

    #[test]
    fn training_draws_every_length_equally_often() {
        let task = Copying::new(5..=8);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut count = [0; 4];
        for _ in 0..4000 {
            // `$`, `|` and `.` around twice the letters.
            count[(task.training_example(&mut rng).tokens.len() - 3) / 2 - 5] += 1;
        }
        // Four standard deviations of a binomial with p = 1/4 are 110.
        assert!(count.iter().all(|n| (890..=1110).contains(n)), "{count:?}");
    }
}
