//! Is it one dial? A recurrence with ever larger states and a hybrid with one layer of attention, on copying and on
//! filtering: does what is won on one side go on the other, and do two memories have both?
//!
//! ```text
//! cargo run --release --example dial
//! cargo run --release --example dial -- --quick
//! ```
//!
//! See docs/experiments/dial.md.
#![recursion_limit = "256"]

mod common;

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{Copying, Packing, SelectiveCopying, Task};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Probe};
use common::models::Contender;

/// States of 4, 16 and 64 numbers a channel, and one attention among Mambas: about 0.1 million parameters each.
const DIAL: [(&str, &str, usize); 4] = [
    ("mamba-4", "3*mamba(d_state=4)", 68),
    ("mamba-16", "3*mamba(d_state=16)", 64),
    ("mamba-64", "3*mamba(d_state=64)", 48),
    ("hybrid-mamba", "mamba, attention(n_heads=4, position=nope), 2*mamba", 60),
];

fn main() -> std::process::ExitCode {
    common::run(dial)
}

fn dial(options: &Options) -> Result<()> {
    options.expect_no_lengths()?;
    let copying: Arc<dyn Task> = Arc::new(Copying::new(3..=8));
    let lengths: [&[usize]; 2] = [&[4, 6, 8, 10, 12, 16], &[8, 16]];
    let copies = Probe::by_length(
        &copying,
        options.either(lengths),
        "Copying, trained on 3 to 8 letters".into(),
        "length of the string (letters)",
    );
    let filtering: Arc<dyn Task> = Arc::new(SelectiveCopying::new(8..=64, 8));
    let slots: [&[usize]; 2] = [&[64, 128, 640, 6400], &[64, 640]];
    let filters = Probe::by_length(
        &filtering,
        options.either(slots),
        "Filtering, trained on 8 to 64 slots".into(),
        "slots for 8 data and noise",
    );
    let packing = Packing::Segments;
    let experiment = Experiment {
        name: "dial",
        contenders: Contender::list(&DIAL),
        quick: &["mamba-4", "hybrid-mamba"],
        arms: vec![
            Arm {
                name: "copying",
                task: copying,
                probes: vec![copies],
                steps: [4000, 200],
                batch_size: 32,
                context_len: 48,
                packing,
            },
            Arm {
                name: "filtering",
                task: filtering,
                probes: vec![filters],
                steps: [2000, 100],
                batch_size: 32,
                context_len: 128,
                packing,
            },
        ],
    };
    experiment.run(options)?;
    Ok(())
}
