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
use burn_sequence::tasks::{Mqar, Task};
use common::chart::{Chart, Scale, Series};
use common::cli::Options;
use common::experiment::{Arm, Experiment, Metric, Probe};
use common::models::Contender;
use common::{plots, table};

/// Two layers and no feed-forward, as in the paper's code; widths for about 110,000 parameters.
const MIXERS: [(&str, &str, usize); 13] = [
    ("attention", "2*attention(n_heads=1)", 96),
    ("mamba", "2*mamba", 64),
    ("mamba2", "2*mamba2(head_dim=32)", 64),
    ("linear-attention", "2*linear_attention", 96),
    ("retention", "2*retention", 80),
    ("gla", "2*gla", 96),
    ("delta-net", "2*delta_net", 96),
    ("gated-delta-net", "2*gated_delta_net", 64),
    ("rg-lru", "2*rg_lru", 80),
    ("min-gru", "2*min_gru", 96),
    ("s4d", "2*s4d", 96),
    ("lstm", "2*lstm", 72),
    ("hybrid", "mamba2(head_dim=32), attention(n_heads=1)", 80),
];

fn main() -> std::process::ExitCode {
    common::run(mqar)
}

fn mqar(options: &Options) -> Result<()> {
    let trained = options.train_len(4..=16);
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
        arms: vec![Arm { name: "mqar", task, probes: vec![by_pairs], steps: [4000, 200], context_len: 64 }],
    };
    let results = experiment.run(options)?;

    let hardest: Vec<_> = results.records.iter().filter(|record| record.x == most).collect();
    let dots = table::names(hardest.iter().copied()).into_iter().map(|name| {
        let own = hardest.iter().filter(|record| record.run.model == name);
        let dots = own.map(|record| (record.state_bytes as f64 / 1024.0, record.char_accuracy)).collect();
        Series { color: plots::color(&name), name, line: Vec::new(), dots, intervals: Vec::new() }
    });
    let dots: Vec<Series> = dots.collect();
    if dots.is_empty() {
        return Ok(());
    }
    let chart = Chart {
        title: &format!("Recall of {most} pairs, and what the state takes"),
        labels: ["state after the pairs (KiB, log scale)", Metric::Answers.label()],
        scales: [Scale::Log, Scale::Linear(Some((0.0, 1.02)))],
    };
    chart.draw(&options.out("mqar").join("accuracy_by_state.svg"), &dots)
}
