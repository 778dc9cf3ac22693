//! What can this architecture do? Copying, looking up, filtering, at a glance.
//!
//! ```text
//! cargo run --release --example scorecard                                    # a hybrid
//! cargo run --release --example scorecard -- "4*(mamba2 | attention)"        # yours
//! cargo run --release --example scorecard -- --quick "2*gated_delta_net"
//! ```
//!
//! From your own program, with mixers of your own: `burn_sequence::scorecard`. See docs/experiments/scorecard.md.
#![recursion_limit = "256"]

mod common;

use std::path::PathBuf;

use burn_sequence::models::BackboneConfig;
use burn_sequence::scorecard::{Score, Scorecard};
use burn_sequence::{Error, Result};
use clap::Parser;
use common::chart::{Chart, Scale, Series};
use common::progress::Progress;
use common::{cli, device, files, plots, table};
use indicatif::MultiProgress;

#[derive(Parser)]
struct Flags {
    /// An architecture in the hybrid notation.
    #[arg(
        default_value = "attention(position=hard_alibi) + mlp, mamba2, attention(position=hard_alibi) + mlp"
    )]
    pattern: String,
    /// Its width.
    #[arg(long, default_value = "64", value_parser = cli::positive)]
    d_model: usize,
    /// Optimiser steps on each task [default: 1000, with --quick 40].
    #[arg(long, value_parser = cli::positive)]
    steps: Option<usize>,
    /// A few steps: a minute, and little to see.
    #[arg(long)]
    quick: bool,
    /// The highest learning rate.
    #[arg(long, default_value = "3e-3", value_parser = cli::rate)]
    lr: f64,
    /// Decides weights and strings.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// flex, ndarray, wgpu, … as far as compiled in [default: BURN_DEVICE, or the default backend].
    #[arg(long)]
    device: Option<String>,
    /// Where the scores and the figure go.
    #[arg(long, default_value = "runs/scorecard")]
    out: PathBuf,
}

fn main() -> std::process::ExitCode {
    common::run(scorecard)
}

fn scorecard(flags: &Flags) -> Result<()> {
    let backbone: BackboneConfig = BackboneConfig::parse(&flags.pattern, flags.d_model)?;
    std::fs::create_dir_all(&flags.out).map_err(|source| Error::Io { path: flags.out.clone(), source })?;
    let steps = flags.steps.unwrap_or(if flags.quick { 40 } else { 1000 });
    let card = Scorecard::new()
        .with_steps(steps)
        .with_strings(if flags.quick { 32 } else { 256 })
        .with_learning_rate(flags.lr)
        .with_seed(flags.seed);
    println!("{}, {} wide; {}", backbone.pattern(), flags.d_model, Scorecard::tasks().join(", "));
    let mut progress = Progress::new(&MultiProgress::new(), None, "a task", steps);
    let scores = card.run(&backbone, &device::named(flags.device.as_deref())?, &mut progress)?;
    progress.finish();
    if scores.is_empty() {
        return Ok(());
    }

    let head = ["task", "trained to", "nine of ten right to", "state", "tokens/s"].map(String::from);
    let mut found = table::table(head.into_iter());
    for score in &scores {
        let holds = score.holds_to(0.9).map_or("–".into(), |length| format!("{length} {}", score.unit));
        let trained = format!("{} {}", score.trained, score.unit);
        let state = table::bytes(score.state_bytes);
        found.add_row([score.task.clone(), trained, holds, state, format!("{:.0}", score.tokens_per_second)]);
    }
    println!("\n{}", table::to_the_right(found));
    let record = serde_json::json!({
        "pattern": backbone.pattern(),
        "d_model": flags.d_model,
        "settings": card,
        "version": env!("CARGO_PKG_VERSION"),
        "scores": scores,
    });
    files::write(&flags.out.join("scores.json"), &format!("{record:#}\n"))?;
    draw(flags, &scores)
}

fn draw(flags: &Flags, scores: &[Score]) -> Result<()> {
    let series = |(index, score): (usize, &Score)| {
        let trained = score.trained as f64;
        let line: Vec<(f64, f64)> =
            score.by_length.iter().map(|(length, found)| (*length as f64 / trained, found.string)).collect();
        let (name, color) = (score.task.clone(), plots::nth_color(index));
        Series { name, color, dots: line.clone(), line, intervals: Vec::new() }
    };
    let chart = Chart {
        title: "What it still does beyond the lengths of training",
        labels: ["length, in lengths of training (log scale)", "strings without a mistake"],
        scales: [Scale::Log, Scale::Linear(Some((0.0, 1.02)))],
    };
    chart
        .draw(&flags.out.join("scorecard.svg"), &scores.iter().enumerate().map(series).collect::<Vec<_>>())?;
    println!("\nthe scores and the figure are in {}", flags.out.display());
    Ok(())
}
