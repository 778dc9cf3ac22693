//! Tasks from a file are checked as those that are made here.

use burn_sequence::tasks::{
    Copying, DuplicateNgram, FlipFlop, Induction, KeyPlace, Mqar, NgramLookup, SelectiveCopying, Task,
};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use serde_json::json;

use crate::message;

#[test]
fn tasks_from_files() {
    let lengths = |start: usize, end: usize| json!({ "start": start, "end": end });
    let letters = "the alphabet has 2 to 26 letters";
    refused(
        &Copying::new(5..=9),
        [
            ("alphabet", 27.into(), letters),
            ("lengths", lengths(0, 9), "length must be above 0 (lengths are 0..=9)"),
            ("lengths", lengths(9, 5), "the range of lengths 9..=5 is empty"),
        ],
    );
    refused(
        &NgramLookup::new(5..=9, 2, 2, KeyPlace::Suffix),
        [
            ("alphabet", 30.into(), letters),
            ("n", 0.into(), "n must be above 0"),
            ("n", 9.into(), "length (5) must be above n (9)"),
            ("length_answer", 0.into(), "length_answer must be above 0"),
        ],
    );
    refused(
        &DuplicateNgram::new(5..=9, 2),
        [("alphabet", 1.into(), letters), ("n", 0.into(), "n (0)"), ("n", 3.into(), "of the length (5)")],
    );
    refused(
        &Induction::new(5..=9),
        [
            ("vocab_size", 1.into(), "vocab_size must be at least 3, got 1"),
            ("vocab_size", ((1_u64 << 32) + 5).into(), "vocab_size must be at most 1048576"),
            ("lengths", lengths(2, 9), "length must be at least 3, not 2"),
        ],
    );
    refused(
        &FlipFlop::new(5..=9, 0.5),
        [
            ("ignore", 1.5.into(), "ignore must be between 0 and 1, not 1.5"),
            ("pairs", lengths(1, 9), "at least 2 pairs, not 1"),
        ],
    );
    refused(
        &SelectiveCopying::new(5..=9, 3),
        [
            ("vocab_size", 2.into(), "vocab_size must be at least 4, got 2"),
            ("data", 0.into(), "data must be above 0"),
            ("slots", lengths(2, 9), "3 data do not fit 2 slots"),
        ],
    );
    refused(
        &Mqar::new(1..=4, 32, 32),
        [
            ("vocab_size", 3.into(), "vocab_size must be at least 4, got 3"),
            ("seq", 15.into(), "4 pairs need 16 tokens, and seq is 15"),
            ("pairs", lengths(0, 4), "pairs must be above 0"),
        ],
    );
}

/// Of a task read back from JSON with one value changed: neither can it be trained on, nor does it draw anything.
fn refused<const N: usize, T: Task + serde::Serialize + serde::de::DeserializeOwned>(
    task: &T,
    changes: [(&str, serde_json::Value, &str); N],
) {
    task.check_lengths().unwrap();
    for (key, value, wanted) in changes {
        let task = changed(task, key, value);
        let problem = task.check_lengths().expect_err("no such task").to_string();
        assert!(problem.contains(wanted), "{problem}");
        let lengths = task.lengths();
        for length in [*lengths.start(), *lengths.end()] {
            let Err(problem) = task.check(length) else { continue };
            let draw = || drop(task.example(length, &mut ChaCha8Rng::seed_from_u64(0)));
            assert_eq!(message(draw), problem.to_string());
        }
    }
}

/// A task read back from JSON in which one value is another.
fn changed<T: serde::Serialize + serde::de::DeserializeOwned>(
    task: &T,
    key: &str,
    value: serde_json::Value,
) -> T {
    let mut json = serde_json::to_value(task).unwrap();
    let place = json.get_mut(key).expect("the task has it");
    *place = value;
    serde_json::from_value(json).unwrap()
}
