//! Whose number? Books of names and numbers, trained on few entries, asked with more.
//!
//! ```text
//! cargo run --release --example phone_book
//! cargo run --release --example phone_book -- --quick
//! ```
//!
//! arXiv 2402.01032, section 4, with models trained from the start; see docs/experiments/phone_book.md. Names are those
//! of the crate `fake`.
#![recursion_limit = "256"]

mod common;

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{Packing, Task};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Probe};
use common::models::Contender;
use common::people;

/// About 0.12 million parameters each. The windows reach back over a digit, colon and space into the name.
const READERS: [(&str, &str, usize); 6] = [
    (
        "transformer-hard-alibi",
        "2*(attention(n_heads=8, position=hard_alibi(windows=[1, 2, 3, 4, 6, 8])) + mlp)",
        64,
    ),
    ("transformer-rope", "2*(attention(n_heads=8, position=rope(fraction=0.5)) + mlp)", 64),
    ("mamba", "3*mamba", 64),
    ("mamba2", "3*mamba2(head_dim=32)", 64),
    ("lstm", "3*lstm", 64),
    (
        "hybrid",
        "attention(n_heads=8, position=hard_alibi(windows=[1, 2, 3, 4, 6, 8])) + mlp, \
         attention(n_heads=8, position=hard_alibi(windows=[1, 2, 3, 4, 6, 8])), mamba2(head_dim=32)",
        64,
    ),
];

fn main() -> std::process::ExitCode {
    common::run(phone_book)
}

fn phone_book(options: &Options) -> Result<()> {
    let trained = options.train_len(3..=5, 3..=100_000)?;
    let most = *trained.end();
    let task: Arc<dyn Task> = Arc::new(people::phone_book(trained)?);
    let entries = options.test_len([&[3, 5, 7, 10, 15, 20], &[3, 5, 10]]);
    let title = format!("The phone book, trained up to {most} entries");
    let mut probe = Probe::by_length(&task, &entries, title, "entries of the book");
    probe.name = "accuracy_by_entries";
    let experiment = Experiment {
        name: "phone_book",
        contenders: Contender::list(&READERS),
        quick: &["transformer-hard-alibi", "mamba"],
        arms: vec![Arm {
            name: "phone_book",
            task,
            probes: vec![probe],
            steps: [1500, 40],
            batch_size: 16,
            context_len: 448,
            packing: Packing::Segments,
        }],
    };
    experiment.run(options)?;
    Ok(())
}
