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

use burn_sequence::tasks::{FlipFlop, Induction, Packing, SelectiveCopying, Task};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Metric, Point, Probe};
use common::models::Contender;

/// Small models do: about 0.1 million parameters each.
const FILTERS: [(&str, &str, usize); 9] = [
    ("transformer-rope", "2*(attention(n_heads=4, position=rope(fraction=0.5)) + mlp)", 64),
    ("transformer-nope", "2*(attention(n_heads=4, position=nope) + mlp)", 64),
    ("transformer-alibi", "2*(attention(n_heads=4, position=alibi) + mlp)", 64),
    ("mamba", "3*mamba", 64),
    ("mamba2", "3*mamba2(head_dim=32)", 64),
    ("linear-attention", "2*(linear_attention(n_heads=4) + mlp)", 64),
    ("s4d", "2*(s4d + mlp)", 64),
    ("lstm", "3*lstm", 64),
    ("hybrid-mamba", "2*mamba, attention(n_heads=4, position=nope) + mlp(d_hidden=128)", 64),
];

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

/// Eight data in up to 64 slots, then in up to a hundred times as many.
fn selective_copying(options: &Options) -> Arm {
    let (slots, data) = (64, 8);
    let task: Arc<dyn Task> = Arc::new(SelectiveCopying::new(data..=slots, data));
    let lengths = options.either([&[64, 128, 256, 640, 1920, 6400][..], &[64, 640]]);
    let title = format!("Selective copying: {data} data, trained in up to {slots} slots");
    let probes = vec![Probe::by_length(&task, lengths, title, "slots for data and noise")];
    arm("selective_copying", task, probes, 1000)
}

/// What followed the special token, of strings of up to 64 tokens, then of up to a million.
fn induction(options: &Options) -> Arm {
    let trained = 64;
    let task: Arc<dyn Task> = Arc::new(Induction::new(8..=trained));
    // Published are 2⁹, 2¹⁰, 2¹⁴ and 2²⁰ among them.
    let powers = [6, 8, 9, 10, 12, 14, 16, 20].map(|power| 1 << power);
    let title = format!("Induction heads: trained on up to {trained} tokens");
    let lengths = options.either([&powers[..], &[64, 256, 1024, 4096]]);
    let probes = vec![Probe::by_length(&task, lengths, title, "tokens of the string")];
    arm("induction", task, probes, 1000)
}

/// The bit written last; four of five pairs are ignored in training, then fewer or more.
fn flip_flop() -> Arm {
    let pairs = 64;
    let task = |percent: usize| Arc::new(FlipFlop::new(pairs..=pairs, percent as f64 / 100.0));
    let point = |percent| Point::new(percent, task(percent), pairs);
    let probe = Probe {
        name: "accuracy_by_noise",
        title: format!("Flip-flop: {pairs} pairs, trained with 80 % ignored"),
        x_label: "pairs ignored (%)",
        log: false,
        metric: Metric::Answers,
        points: [10, 50, 80, 90, 98].map(point).into(),
    };
    arm("flip_flop", task(80), vec![probe], 600)
}

fn arm(name: &'static str, task: Arc<dyn Task>, probes: Vec<Probe>, steps: usize) -> Arm {
    Arm {
        name,
        task,
        probes,
        steps: [steps, 40],
        batch_size: 32,
        context_len: 128,
        packing: Packing::Segments,
    }
}
