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

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn_sequence::evaluation::Accuracy;
use burn_sequence::models::BackboneConfig;
use burn_sequence::scorecard::{Score, Scorecard};
use burn_sequence::training::{Observer, StepReport};
use burn_sequence::{Error, Result};
use clap::Parser;
use common::chart::{Chart, Scale, Series};
use common::origin::{self, Origin};
use common::progress::{Overall, Progress};
use common::statistics::Estimate;
use common::{cli, device, files, folder, plots, table, text};
use indicatif::MultiProgress;
use serde::{Deserialize, Serialize};

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
    /// Table and draw the scores in --out again; train nothing.
    #[arg(long)]
    plot: bool,
    /// Where the scores and the figure go [default: runs/scorecard, with --quick runs/scorecard-quick].
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What is kept.
#[derive(Serialize, Deserialize)]
struct Card {
    pattern: String,
    d_model: usize,
    settings: Scorecard,
    version: String,
    #[serde(flatten)]
    origin: Origin,
    scores: Vec<Score>,
}

fn main() -> std::process::ExitCode {
    common::run(scorecard)
}

fn scorecard(flags: &Flags) -> Result<()> {
    let default = if flags.quick { "runs/scorecard-quick" } else { "runs/scorecard" };
    let out = flags.out.as_deref().unwrap_or(Path::new(default));
    let path = out.join("scores.json");
    if flags.plot {
        let json = text::read(&path)?;
        let card = serde_json::from_str(&json).map_err(|problem| Error::File {
            path,
            problem: format!("not the scores of a card: {problem}"),
        })?;
        return show(&card, out);
    }
    let backbone: BackboneConfig = BackboneConfig::parse(&flags.pattern, flags.d_model)?;
    let device = device::named(flags.device.as_deref())?;
    if path.exists() {
        let problem = "holds an earlier card: draw it again by --plot, or name another folder by --out";
        return Err(Error::File { path, problem: problem.into() });
    }
    let _ours = folder::lock(out)?;
    let steps = flags.steps.unwrap_or(if flags.quick { 40 } else { 1000 });
    let settings = Scorecard::new()
        .with_steps(steps)
        .with_strings(if flags.quick { 32 } else { 256 })
        .with_learning_rate(flags.lr)
        .with_seed(flags.seed);
    println!("{}, {} wide; {}", backbone.pattern(), flags.d_model, Scorecard::tasks().join(", "));
    let scores = settings.run(&backbone, &device, &mut Tasks::new(steps))?;
    let tasks = Scorecard::tasks().len();
    if scores.len() < tasks {
        println!("\n{}\n\nended after {} of {tasks} tasks: nothing is kept", scored(&scores), scores.len());
        return Ok(());
    }
    let (pattern, version) = (backbone.pattern(), env!("CARGO_PKG_VERSION").into());
    let origin = Origin::here(origin::called(&device));
    let card = Card { pattern, d_model: flags.d_model, settings, version, origin, scores };
    files::write(&path, &format!("{:#}\n", serde_json::json!(card)))?;
    show(&card, out)
}

/// Shows one task after another.
struct Tasks {
    bars: MultiProgress,
    overall: Arc<Overall>,
    names: std::vec::IntoIter<String>,
    now: Option<Progress>,
}

impl Tasks {
    fn new(steps: usize) -> Self {
        let (bars, names) = (MultiProgress::new(), Scorecard::tasks());
        let overall = Arc::new(Overall::new(&bars));
        overall.expect(names.iter().map(|_| steps));
        Self { bars, overall, names: names.into_iter(), now: None }
    }
}

impl Observer for Tasks {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if report.step == 1 {
            let name = self.names.next().unwrap_or_default();
            self.now = Some(Progress::new(&self.bars, Some(&self.overall), &name, report.steps));
        }
        let Some(now) = &mut self.now else { return ControlFlow::Continue(()) };
        let flow = now.on_step(report);
        if report.step == report.steps {
            now.finish();
            self.overall.finished();
        }
        flow
    }
}

fn scored(scores: &[Score]) -> comfy_table::Table {
    let head =
        ["task", "counted", "trained to", "nine of ten right to", "state", "tokens/s"].map(String::from);
    let mut found = table::table(head.into_iter());
    for score in scores {
        let holds = score.holds_to(0.9).map_or("–".into(), |length| format!("{length} {}", score.unit));
        let trained = format!("{} {}", score.trained, score.unit);
        let counted = if score.by_answer { "answers" } else { "strings" };
        let (state, speed) = (table::bytes(score.state_bytes), format!("{:.0}", score.tokens_per_second));
        found.add_row([score.task.clone(), counted.into(), trained, holds, state, speed]);
    }
    table::to_the_right(found)
}

/// A table and a figure.
fn show(card: &Card, out: &Path) -> Result<()> {
    println!("\n{}", scored(&card.scores));
    let series = |(index, score): (usize, &Score)| {
        let place = |length: usize| length as f64 / score.trained as f64;
        let line: Vec<(f64, f64)> =
            score.by_length.iter().map(|(length, found)| (place(*length), score.share(found))).collect();
        let interval = |(length, found): &(usize, Accuracy)| {
            let Estimate { low, high, .. } = Estimate::of(&[score.share(found)], found.strings);
            (place(*length), low, high)
        };
        let intervals = score.by_length.iter().map(interval).collect();
        let (name, look) = (score.task.clone(), plots::look(index));
        Series { name, look, dots: line.clone(), line, intervals }
    };
    let chart = Chart {
        title: "What it still does beyond the lengths of training",
        labels: [
            "length, in lengths of training",
            "strings without a mistake, or answers right (bars: 95 %, over strings)",
        ],
        scales: [Scale::Log, Scale::Linear(Some((0.0, 1.02)))],
        side_by_side: true,
    };
    chart
        .draw(&out.join("scorecard.svg"), &card.scores.iter().enumerate().map(series).collect::<Vec<_>>())?;
    println!("\nthe scores and the figure are in {}", out.display());
    Ok(())
}
