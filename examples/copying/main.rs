//! Who can copy? Trains transformers, state-space models and a hybrid to copy short strings, then asks for long ones.
//!
//! ```text
//! cargo run --release --example copying                  # every model, then tables and figures
//! cargo run --release --example copying -- --quick       # three models, minutes
//! cargo run --release --example copying -- --model "2*(mamba2, attention + swiglu)"
//! ```
//!
//! The experiment of arXiv 2402.01032, section 3, at a laptop's size, and with `--preset paper` at the paper's; see
//! docs/experiments/copying.md.
#![recursion_limit = "256"]

#[path = "../common/mod.rs"]
mod common;
mod preset;

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{Copying, DuplicateNgram, Packing, Task};
use clap::Parser;
use common::experiment::{Arm, Experiment, Metric, Point, Probe};
use common::{cli::Options, table};
use preset::Preset;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Sizes of models and strings.
    #[arg(long, value_enum, default_value_t = Preset::Laptop)]
    preset: Preset,
}

fn main() -> std::process::ExitCode {
    common::run(copying)
}

fn copying(Flags { options, preset }: &Flags) -> Result<()> {
    let trained = options.train_len(preset.trained(), 1..=100_000)?;
    let longest = *trained.end();
    let task: Arc<dyn Task> = Arc::new(Copying::new(trained));
    let by_length = Probe::by_length(
        &task,
        &options.test_len(preset.tested()),
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
        name: preset.name(),
        contenders: preset.contenders(),
        quick: &["transformer-hard-alibi", "mamba", "hybrid"],
        arms: vec![Arm {
            name: "copying",
            task,
            probes: vec![by_length, duplicates],
            steps: [2000, 300],
            batch_size: 32,
            context_len: preset.context_len(),
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
