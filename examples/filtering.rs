//! Who forgets well? Data among noise, a token that comes back after up to a million others, one bit among many to be
//! ignored: trained on little of it, asked with more.
//!
//! ```text
//! cargo run --release --example filtering
//! cargo run --release --example filtering -- --quick
//! cargo run --release --example filtering -- --arm induction --model "2*rg_lru"
//! ```
//!
//! Selective copying and induction heads, arXiv 2312.00752, section 4.1; flip-flop, arXiv 2306.00946; see
//! docs/experiments/filtering.md. Long strings are read in pieces, the state carried over, so that a recurrence reads a
//! million tokens in the memory of a few thousand.
#![recursion_limit = "256"]

mod common;

use std::sync::Arc;

use burn_sequence::tasks::{FlipFlop, Induction, SelectiveCopying, Task};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Metric, Point, Probe};
use common::models::{Contender, FILTERS};

fn main() -> std::process::ExitCode {
    common::run(|options: &Options| {
        options.expect_no_lengths()?;
        let experiment = Experiment {
            name: "filtering",
            contenders: Contender::list(&FILTERS),
            quick: &["transformer-rope", "mamba"],
            arms: vec![selective_copying(options), induction(options), flip_flop()],
        };
        experiment.run(options).map(|_| ())
    })
}

/// Eight data in 152 slots, then in up to a hundred times as many.
fn selective_copying(options: &Options) -> Arm {
    let (slots, data) = (152, 8);
    let task: Arc<dyn Task> = Arc::new(SelectiveCopying::new(slots..=slots, data));
    let lengths = options.either([&[152, 304, 608, 1520, 4560, 15_200][..], &[152, 1520]]);
    let title = format!("Selective copying: {data} data, trained in {slots} slots");
    let probes = vec![Probe::by_length(&task, lengths, title, "slots for data and noise")];
    Arm { name: "selective_copying", task, probes, steps: [3000, 60], context_len: slots + data }
}

/// What followed the special token, of strings of 64 tokens, then of up to a million.
fn induction(options: &Options) -> Arm {
    let trained = 64;
    let task: Arc<dyn Task> = Arc::new(Induction::new(trained..=trained));
    let powers: Vec<usize> = (6..=20).step_by(2).map(|power| 1 << power).collect();
    let title = format!("Induction heads: trained on {trained} tokens");
    let probes =
        vec![Probe::by_length(&task, options.either([&powers, &powers[..4]]), title, "tokens of the string")];
    Arm { name: "induction", task, probes, steps: [5000, 60], context_len: trained }
}

/// The bit written last; four of five pairs are ignored in training, then fewer or more.
fn flip_flop() -> Arm {
    let pairs = 64;
    let task = |percent: usize| Arc::new(FlipFlop::new(pairs..=pairs, percent as f64 / 100.0));
    let point = |percent| Point { x: percent, task: task(percent), length: pairs, bits: None };
    let probe = Probe {
        name: "accuracy_by_noise",
        title: format!("Flip-flop: {pairs} pairs, trained with 80 % ignored"),
        x_label: "pairs ignored (%)",
        log: false,
        metric: Metric::Answers,
        points: [10, 50, 80, 90, 98].map(point).into(),
    };
    Arm { name: "flip_flop", task: task(80), probes: vec![probe], steps: [2000, 60], context_len: 2 * pairs }
}
