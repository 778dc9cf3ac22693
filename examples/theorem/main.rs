//! The theorem, executed: a transformer that copies by construction, the best machine with a bounded state, and small
//! trained recurrences whose states are rounded to a few bits, under the curve that no state can cross.
//!
//! ```text
//! cargo run --release --example theorem
//! cargo run --release --example theorem -- --quick
//! cargo run --release --example theorem -- --alphabet 4 --n 12 --length 300,3000
//! ```
//!
//! arXiv 2402.01032, section 2; see docs/experiments/theorem.md.
#![recursion_limit = "256"]

#[path = "../common/mod.rs"]
mod common;
mod copier;
mod machine;
mod trained;

use clap::Parser;
use common::{cli::Options, folder, runs};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Letters of the copier's strings.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 4, 26])]
    alphabet: Vec<usize>,
    /// Letters of the copier's keys [default: the fewest with a chance below 0.01 of a repeat, and at the least length shorter ones].
    #[arg(long)]
    n: Option<usize>,
    /// Letters of the copier's strings [default: 100, 1000, 10000].
    #[arg(long, value_delimiter = ',')]
    length: Vec<usize>,
}

fn main() -> std::process::ExitCode {
    common::run(|Flags { options, alphabet, n, length }: &Flags| {
        options.expect_no_lengths()?;
        let trained = trained::experiment();
        if !options.plot {
            let lengths = options.either([&[100, 1000, 10_000][..], &[100, 1000]]);
            let lengths = if length.is_empty() { lengths } else { length };
            let questions = copier::questions(options, alphabet, *n, lengths)?;
            runs::check(&trained, options)?;
            let _ours = folder::lock(&options.out("theorem"))?;
            copier::ask(options, questions)?;
            machine::guesses(options)?;
        }
        copier::show(options)?;
        machine::show(options)?;
        // The folder is ours by now.
        trained::rounded(&trained, &Options { resume: true, ..options.clone() })
    })
}
