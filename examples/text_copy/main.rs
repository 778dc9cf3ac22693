//! Models of a few million parameters read real text, and are then asked to copy it and to look things up in it.
//!
//! ```text
//! cargo run --release --features learner --example text_copy -- --text FILE
//! cargo run --release --features learner --example text_copy -- --quick
//! ```
//!
//! arXiv 2402.01032, section 4, with models trained from the start; see docs/experiments/text_copy.md, which names a text.
//! Trained by burn-train: its dashboard on a terminal, its checkpoints, its strategies for several devices.
#![recursion_limit = "256"]

#[path = "../common/mod.rs"]
mod common;
mod screen;
mod trainer;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use burn_sequence::tasks::{Packing, Text, TextQuestion};
use burn_sequence::{Error, Result};
use clap::Parser;
use common::cli::Options;
use common::experiment::{Arm, Experiment, Metric, Probe};
use common::models::Contender;
use common::records::CurveRecord;
use common::{runs, table, text};
use trainer::{BurnTrain, Strategy};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// What to read [default: this project's documentation].
    #[arg(long)]
    text: Option<PathBuf>,
    /// How several devices share the work.
    #[arg(long, value_enum, default_value_t = Strategy::Main)]
    strategy: Strategy,
    /// Devices that share the work, such as cuda:0,cuda:1 [default: --device alone].
    #[arg(long, value_delimiter = ',')]
    devices: Vec<String>,
}

/// About 1.8 million parameters each.
const MODELS: [(&str, &str, usize); 5] = [
    (
        "transformer-hard-alibi",
        "4*(attention(n_heads=6, position=hard_alibi(windows=[1, 2, 3, 4])) + mlp)",
        192,
    ),
    ("mamba2", "7*mamba2", 192),
    ("gated-delta-net", "4*(gated_delta_net(n_heads=3, head_dim=32) + mlp)", 192),
    ("hybrid-mamba2", "2*mamba2, attention(n_heads=6, position=nope) + mlp, 3*mamba2", 192),
    // As in copying: two layers that look up, then the recurrence.
    (
        "hybrid",
        "attention(n_heads=6, position=hard_alibi(windows=[1, 2, 3, 4])) + mlp, \
         attention(n_heads=6, position=hard_alibi(windows=[1, 2, 3, 4])), 5*mamba2",
        192,
    ),
];

/// Share of the rows read in which a passage comes again and again.
const REPEATS: f64 = 0.5;

fn main() -> std::process::ExitCode {
    common::run(text_copy)
}

fn text_copy(flags: &Flags) -> Result<()> {
    // There is one terminal, and one dashboard.
    let dashboard = flags.options.jobs.unwrap_or(1) == 1 && std::io::stdout().is_terminal();
    // And one server that reduces gradients, which ends with the first run that ends.
    let alone = dashboard || flags.strategy == Strategy::Distributed;
    let options = &Options { jobs: flags.options.jobs.or(alone.then_some(1)), ..flags.options.clone() };
    if flags.strategy == Strategy::Distributed && options.jobs() > 1 && !options.plot {
        let problem = format!("--jobs {}: with --strategy distributed one run at a time", options.jobs());
        return Err(Error::Config(problem));
    }
    options.expect_no_lengths()?;
    options.steps.map(trainer::epochs).transpose()?;
    let context_len = options.context_len.unwrap_or(512);
    let text = flags.text.as_deref().map_or_else(text::documentation, text::read)?;
    // The last tenth is for questions.
    let middle = text.ceil_char_boundary(text.len() / 10 * 9);
    let (read, held_out) = text.split_at(middle);
    if !(2..held_out.len() / 2).contains(&context_len) {
        let problem = format!(
            "--context-len {context_len}: expected 2 to {}, half of the text that is held out",
            (held_out.len() / 2).saturating_sub(1)
        );
        return Err(Error::Config(problem));
    }
    let lengths = options.either([&[16, 32, 64, 128][..], &[32, 64]]);
    let pieces = lengths[0]..=lengths[lengths.len() - 1];
    let copy = Text::new(held_out, pieces.clone(), TextQuestion::Copy)?;
    let lookup = Text::new(held_out, pieces, TextQuestion::Lookup { key: 8, answer: 8 })?;
    let reading = Text::new(read, context_len..=context_len, TextQuestion::Next)?.with_repeats(REPEATS);
    let probe = |name, title: &str, task: &Text| {
        let title = format!("{title}, in text not read before");
        let probe = Probe::by_length(&(Arc::new(task.clone()) as _), lengths, title, "bytes of the piece");
        Probe { name, metric: Metric::Bytes, ..probe }
    };
    let experiment = Experiment {
        name: "text_copy",
        contenders: Contender::list(&MODELS),
        quick: &["transformer-hard-alibi", "mamba2"],
        arms: vec![Arm {
            name: "text_with_repeats",
            task: Arc::new(reading),
            probes: vec![
                probe("copy", "A piece copied", &copy),
                probe("shuffled_copy", "A shuffled piece copied", &copy.clone().shuffled()),
                probe("lookup", "What stood after 8 bytes", &lookup),
                probe(
                    "shuffled_lookup",
                    "What stood after 8 bytes of a shuffled piece",
                    &lookup.clone().shuffled(),
                ),
            ],
            steps: [1200, 4],
            batch_size: 8,
            context_len,
            packing: Packing::Paper,
        }],
    };
    let trainer = BurnTrain {
        held_out: copy.tokens(),
        strategy: flags.strategy,
        devices: flags.devices.clone(),
        dashboard,
    };
    if !options.plot {
        runs::check(&experiment, options)?;
        let arm = &experiment.arms[0];
        trainer.check(options.batch_size.unwrap_or(arm.batch_size), &options.device()?)?;
        text::only(&options.out(experiment.name), &text)?;
    }
    let results = experiment.run_by(options, &trainer)?;
    println!("\nPerplexity of a byte, in text not read before\n\n{}", perplexities(&results.curves));
    Ok(())
}

/// At the end of every run.
fn perplexities(curves: &[CurveRecord]) -> comfy_table::Table {
    let head = ["model", "rate", "seed", "perplexity", "bits"].map(String::from);
    let mut found = table::table(head.into_iter());
    for CurveRecord { run, loss, .. } in curves.iter().filter(|curve| curve.step == curve.run.steps) {
        let [perplexity, bits] =
            [loss.exp(), loss / std::f64::consts::LN_2].map(|value| format!("{value:.3}"));
        found.add_row([run.model.clone(), format!("{:e}", run.lr), run.seed.to_string(), perplexity, bits]);
    }
    table::to_the_right(found)
}
