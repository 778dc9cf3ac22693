//! How many associations does a state hold? Pairs of keys and values, then every key again: the accuracy of every mixer
//! against the bytes of its state.
//!
//! ```text
//! cargo run --release --example mqar
//! cargo run --release --example mqar -- --quick
//! ```
//!
//! Multi-query associative recall, arXiv 2312.04927; see docs/experiments/mqar.md.
#![recursion_limit = "256"]

mod common;

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{Mqar, Packing, Task};
use common::chart::{Chart, Scale, Series};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Metric, Probe};
use common::models::Contender;
use common::{plots, report};

/// Two layers and no feed-forward, as in the paper's code; widths for about 110,000 parameters.
const MIXERS: [(&str, &str, usize); 13] = [
    ("attention", "2*attention(n_heads=1)", 90),
    ("mamba", "2*mamba", 68),
    ("mamba2", "2*mamba2(head_dim=34)", 68),
    ("linear-attention", "2*linear_attention", 88),
    ("retention", "2*retention", 80),
    ("gla", "2*gla", 88),
    ("delta-net", "2*delta_net", 88),
    ("gated-delta-net", "2*gated_delta_net", 64),
    ("rg-lru", "2*rg_lru", 96),
    ("min-gru", "2*min_gru", 112),
    ("s4d", "2*s4d", 96),
    ("lstm", "2*lstm", 68),
    ("hybrid-mamba2", "mamba2(head_dim=38), attention(n_heads=1)", 76),
];

fn main() -> std::process::ExitCode {
    common::run(mqar)
}

fn mqar(options: &Options) -> Result<()> {
    let trained = options.train_len(4..=16, 1..=16)?;
    let most = *trained.end();
    let task: Arc<dyn Task> = Arc::new(Mqar::new(trained, 64, 256));
    let title = format!("Recall of many pairs, trained up to {most}");
    let mut by_pairs = Probe::by_length(&task, &options.test_len([&[4, 8, 16], &[4, 8, 16]]), title, "pairs");
    by_pairs.name = "accuracy_by_pairs";
    by_pairs.metric = Metric::Answers;
    let experiment = Experiment {
        name: "mqar",
        contenders: Contender::list(&MIXERS),
        quick: &["attention", "mamba2"],
        arms: vec![Arm {
            name: "mqar",
            task,
            probes: vec![by_pairs],
            steps: [4000, 200],
            batch_size: 32,
            context_len: 64,
            packing: Packing::Paper,
        }],
    };
    let results = experiment.run(options)?;

    let hardest: Vec<_> = results.records.iter().filter(|record| record.x == most).collect();
    let mut lines = report::lines(&hardest, Metric::Answers, |record| record.state_bytes);
    lines.iter_mut().flat_map(|line| &mut line.points).for_each(|(bytes, _)| *bytes /= 1024.0);
    let shares = plots::with_bars(Metric::Answers.label(), &lines);
    let looks = plots::looks(lines.iter().map(|line| &*line.model));
    let dots = lines.iter().zip(looks).map(|(line, look)| Series { line: Vec::new(), ..line.series(look) });
    let dots: Vec<Series> = dots.collect();
    if dots.is_empty() {
        return Ok(());
    }
    let chart = Chart {
        title: &format!("Recall of {most} pairs, and what the state takes"),
        labels: ["state after the sequence (KiB)", &shares],
        scales: [Scale::Log, Scale::Linear(Some((0.0, 1.02)))],
        side_by_side: false,
    };
    chart.draw(&options.out("mqar").join("accuracy_by_state.svg"), &dots)
}
