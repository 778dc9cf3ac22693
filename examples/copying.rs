//! Who can copy? Trains transformers, state-space models and a hybrid to copy short strings, then asks for long ones.
//!
//! ```text
//! cargo run --release --example copying                  # every model, then tables and figures
//! cargo run --release --example copying -- --quick       # three models, minutes
//! cargo run --release --example copying -- --model "2*(mamba2, attention + swiglu)"
//! ```
//!
//! The experiment of arXiv 2402.01032, figures 2 and 3, at a laptop's size, and with `--preset paper` at the paper's; see
//! docs/experiments/copying.md.
#![recursion_limit = "256"]

mod common;

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{Copying, DuplicateNgram, Packing, Task};
use clap::{Parser, ValueEnum};
use common::experiment::{Arm, Experiment, Metric, Point, Probe};
use common::models::Contender;
use common::{cli::Options, table};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Sizes of models and strings.
    #[arg(long, value_enum, default_value_t = Preset::Laptop)]
    preset: Preset,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Preset {
    /// 0.4 million parameters, trained up to 16 letters, tested up to 320.
    Laptop,
    /// About 150 million parameters (the LSTM 34), trained up to 50 letters, tested up to 1000: for a GPU. Batch, steps
    /// and rates, which the paper does not give, are as the flags say.
    Paper,
}

/// Name, pattern, width; about 0.4 million parameters each.
const COPIERS: [(&str, &str, usize); 9] = [
    ("transformer-hard-alibi", "2*(attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp)", 128),
    ("transformer-rope", "2*(attention(position=rope(fraction=0.25)) + mlp)", 128),
    ("transformer-nope", "2*(attention(position=nope) + mlp)", 128),
    ("transformer-alibi", "2*(attention(position=alibi) + mlp)", 128),
    ("mamba", "4*mamba", 120),
    ("mamba2", "4*mamba2(head_dim=60)", 120),
    ("linear-attention", "2*(linear_attention + mlp)", 128),
    ("lstm", "3*lstm", 128),
    (
        "hybrid",
        "attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp, \
         attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])), mamba2",
        128,
    ),
];

const PAPER: [(&str, &str, usize); 6] = [
    ("transformer-hard-alibi", "12*(attention(n_heads=16, position=hard_alibi) & mlp)", 1024),
    ("transformer-rope", "12*(attention(n_heads=16, position=rope(fraction=0.25)) & mlp)", 1024),
    ("transformer-nope", "12*(attention(n_heads=16, position=nope) & mlp)", 1024),
    ("transformer-alibi", "12*(attention(n_heads=16, position=alibi) & mlp)", 1024),
    ("mamba", "24*mamba(d_state=32)", 1024),
    ("lstm", "4*lstm", 1024),
];

fn main() -> std::process::ExitCode {
    common::run(copying)
}

fn copying(Flags { options, preset }: &Flags) -> Result<()> {
    let paper = *preset == Preset::Paper;
    let trained = options.train_len(if paper { 5..=50 } else { 5..=16 }, 1..=100_000)?;
    let longest = *trained.end();
    let tested: [&[usize]; 2] = match preset {
        Preset::Laptop => [&[16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 320], &[16, 24, 32, 64]],
        Preset::Paper => [&[50, 75, 100, 150, 200, 300, 400, 600, 800, 1000], &[50, 100, 200]],
    };
    let task: Arc<dyn Task> = Arc::new(Copying::new(trained));
    let by_length = Probe::by_length(
        &task,
        &options.test_len(tested),
        format!("Copying, trained up to length {longest}"),
        "length of the string (letters)",
    );
    // Up to which n does a repeated n-gram leave the copy right? The model looks up keys that long, and longer.
    let repeated = |n| Point::new(n, Arc::new(DuplicateNgram::new(2 * n..=longest, n)), longest);
    let duplicates = Probe {
        name: "duplicates",
        title: format!("Copying {longest} letters in which an n-gram occurs twice"),
        x_label: "n, letters of the n-gram",
        log: false,
        metric: Metric::Strings,
        points: (1..=8).filter(|n| 2 * n <= longest).map(repeated).collect(),
    };
    let experiment = Experiment {
        name: if paper { "copying-paper" } else { "copying" },
        contenders: Contender::list(if paper { &PAPER } else { &COPIERS }),
        quick: &["transformer-hard-alibi", "mamba", "hybrid"],
        arms: vec![Arm {
            name: "copying",
            task,
            probes: vec![by_length, duplicates],
            steps: [2000, 500],
            batch_size: 32,
            context_len: if paper { 512 } else { 96 },
            packing: Packing::Paper,
        }],
    };
    let results = experiment.run(options)?;
    println!(
        "\nExamples seen until nine of ten strings of {longest} letters are right, and the runs that got there\n"
    );
    println!("{}", table::examples_to(0.9, &results));
    Ok(())
}
