//! What follows these letters? With the key after the string the whole of it must be kept; with the key before it, the
//! model can forget all else while it reads.
//!
//! ```text
//! cargo run --release --example ngram_lookup              # every model, both places of the key
//! cargo run --release --example ngram_lookup -- --quick   # two models, a few minutes
//! ```
//!
//! The experiment of arXiv 2402.01032, section 3; see docs/experiments/ngram_lookup.md.
#![recursion_limit = "256"]

mod common;

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{KeyPlace, NgramLookup, Packing, Task};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Probe};
use common::models::Contender;

/// About 0.1 million parameters each. The windows of Hard-ALiBi reach over key and answer.
const FINDERS: [(&str, &str, usize); 10] = [
    ("transformer-hard-alibi", "2*(attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp)", 64),
    ("transformer-rope", "2*(attention(position=rope(fraction=0.5)) + mlp)", 64),
    ("transformer-nope", "2*(attention(position=nope) + mlp)", 64),
    ("transformer-alibi", "2*(attention(position=alibi) + mlp)", 64),
    ("mamba", "3*mamba", 64),
    ("mamba2", "3*mamba2(head_dim=32)", 64),
    ("linear-attention", "2*(linear_attention(n_heads=4) + mlp)", 64),
    ("lstm", "3*lstm", 64),
    (
        "hybrid",
        "attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp, \
         attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])), mamba2(head_dim=32)",
        64,
    ),
    ("hybrid-mamba", "mamba, attention(n_heads=4, position=nope), 2*mamba", 60),
];

fn main() -> std::process::ExitCode {
    common::run(ngram_lookup)
}

/// Letters of the key, and of the answer.
const N: usize = 3;

fn ngram_lookup(options: &Options) -> Result<()> {
    let trained = options.train_len(2 * N..=30, 2 * N..=100_000)?;
    let arm = |name, key, title: &str| {
        let task: Arc<dyn Task> = Arc::new(NgramLookup::new(trained.clone(), N, N, key));
        let lengths = options.test_len([&[30, 40, 50, 60, 80, 100], &[30, 60, 100]]);
        let title = format!("{title}, trained up to length {}", trained.end());
        let probe = Probe::by_length(&task, &lengths, title, "length of the string (letters)");
        Arm {
            name,
            task,
            probes: vec![probe],
            steps: [2000, 150],
            batch_size: 32,
            context_len: 96,
            packing: Packing::Paper,
        }
    };
    let experiment = Experiment {
        name: "ngram_lookup",
        contenders: Contender::list(&FINDERS),
        quick: &["transformer-hard-alibi", "mamba"],
        arms: vec![
            arm("suffix", KeyPlace::Suffix, "The key after the string"),
            arm("prefix", KeyPlace::Prefix, "The key before the string"),
        ],
    };
    experiment.run(options)?;
    Ok(())
}
