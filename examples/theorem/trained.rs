//! Small trained recurrences, their states rounded to a few bits, under the curve of capacity.

use std::sync::Arc;

use burn_sequence::Result;
use burn_sequence::tasks::{Copying, Packing, Task};
use burn_sequence::theory::capacity;

use crate::common::chart::{Chart, Look, Scale, Series};
use crate::common::cli::Options;
use crate::common::experiment::{Arm, Experiment, Metric, Point, Probe};
use crate::common::{models::Contender, plots, report};
use crate::machine;

/// Letters of the strings, and how many there are of them: 2 bits each.
pub const LENGTH: usize = 8;
pub const LETTERS: usize = 4;

/// What no training is in.
const BOUND: Look = Look { color: plotters::style::BLACK, marker: 3 };

/// Small recurrences, whose states are rounded when the string is read.
pub fn experiment() -> Experiment {
    let task: Arc<dyn Task> = Arc::new(Copying::new(1..=LENGTH).with_alphabet(LETTERS as u32));
    let point = |bits| Point { x: bits as usize, task: task.clone(), length: LENGTH, bits: Some(bits) };
    let probe = Probe {
        name: "accuracy_by_bits",
        title: format!("Copying {LENGTH} of {LETTERS} letters, the state rounded before |"),
        x_label: "bits of a number of the state",
        log: true,
        metric: Metric::Strings,
        points: [1, 2, 3, 4, 6, 8].map(point).into(),
    };
    // The largest first: what is given as a pattern becomes as large.
    let sizes = [
        ("lstm-64", "lstm", 64),
        ("lstm-32", "lstm", 32),
        ("lstm-16", "lstm", 16),
        ("lstm-8", "lstm", 8),
        ("lstm-4", "lstm", 4),
        ("lstm-2", "lstm", 2),
        ("mamba-24", "2*mamba(d_state=4)", 24),
        ("mamba-8", "2*mamba(d_state=4)", 8),
    ];
    Experiment {
        name: "theorem",
        contenders: Contender::list(&sizes),
        quick: &["lstm-32"],
        arms: vec![Arm {
            name: "copying",
            task,
            probes: vec![probe],
            steps: [4000, 400],
            batch_size: 32,
            context_len: 96,
            packing: Packing::Segments,
        }],
    }
}

/// Trains them, and draws what they copy with ever fewer bits.
pub fn rounded(experiment: &Experiment, options: &Options) -> Result<()> {
    let results = experiment.run(options)?;
    let records: Vec<_> = results.records.iter().collect();
    let lines = report::lines(&records, Metric::Strings, |record| record.state_bits);
    let looks = plots::looks(lines.iter().map(|line| &*line.model));
    let mut series: Vec<Series> = lines.iter().zip(looks).map(|(line, look)| line.series(look)).collect();
    let bound = |tenth: i32| {
        let bits = 2_f64.powf(f64::from(tenth) / 10.0);
        (bits, capacity::string_accuracy_bound(bits, LENGTH, LETTERS))
    };
    series.push(Series {
        name: "no state can do better".into(),
        look: BOUND,
        line: (0..125).map(bound).collect(),
        dots: Vec::new(),
        intervals: Vec::new(),
    });
    let machines = machine::beside_the_trained(options)?;
    if !machines.is_empty() {
        series.push(Series {
            name: "machine of whole letters".into(),
            look: BOUND,
            line: Vec::new(),
            dots: machines,
            intervals: Vec::new(),
        });
    }
    let chart = Chart {
        title: &format!("What a state of so many bits copies: {LENGTH} letters of {LETTERS}"),
        labels: ["bits of the state", &plots::with_bars(Metric::Strings.label(), &lines)],
        scales: [Scale::Log, Scale::Linear(Some((0.0, 1.02)))],
        side_by_side: false,
    };
    chart.draw(&options.out("theorem").join("capacity.svg"), &series)
}
