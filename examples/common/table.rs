//! Tables of accuracies, models down, questions across.

use comfy_table::{CellAlignment, Table, presets};

use super::experiment::{Metric, Probe};
use super::folder::Results;
use super::records::{Record, Run};
use super::statistics::{Estimate, mean};

/// The estimates of a probe: `records` are of one learning rate for each model. Seeds that diverged at it are told, and are not in
/// the means.
pub fn by_x(probe: &Probe, records: &[&Record], diverged: &[&Run]) -> Table {
    let mut places: Vec<usize> = records.iter().map(|record| record.x).collect();
    places.sort_unstable();
    places.dedup();
    let head = ["model", "parameters", "rate", "seeds", "state"].map(String::from);
    let mut table =
        table(head.into_iter().chain(places.iter().map(usize::to_string)).chain(["seconds".into()]));
    for name in names(records.iter().map(|record| &record.run)) {
        let own: Vec<&Record> = records.iter().copied().filter(|record| record.run.model == name).collect();
        let state = own.iter().map(|record| record.state_bytes).max().unwrap_or(0);
        let seconds = mean(own.iter().map(|record| record.seconds));
        let cell = |x: &usize| estimate(probe.metric, own.iter().copied().filter(|record| record.x == *x));
        let cells = places.iter().map(|x| cell(x).map_or("–".into(), shown));
        let run = &own[0].run;
        let mut seeds: Vec<u64> = own.iter().map(|record| record.run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let seeds = match failed(diverged, run) {
            0 => seeds.len().to_string(),
            failed => format!("{}, {failed} diverged", seeds.len()),
        };
        let row = [name.clone(), own[0].params.to_string(), format!("{:e}", run.lr), seeds, bytes(state)];
        table.add_row(row.into_iter().chain(cells).chain([format!("{seconds:.0}")]));
    }
    to_the_right(table)
}

/// Runs of a run's model, on what it was trained on at its rate, whose loss stopped being a number.
fn failed(diverged: &[&Run], run: &Run) -> usize {
    let is_alike =
        |other: &&&Run| (&other.trained_on, &other.model, other.lr) == (&run.trained_on, &run.model, run.lr);
    diverged.iter().filter(is_alike).count()
}

/// The accuracy of every model at every learning rate, at the end of training with seed 0 and on the longest training length:
/// what the rate is chosen by, and in brackets the other of strings and answers.
pub fn sweep(metric: Metric, records: &[&Record], diverged: &[&Run]) -> Table {
    let runs = records.iter().map(|record| &record.run).chain(diverged.iter().copied());
    let mut rates: Vec<f64> = runs.map(|run| run.lr).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let mut table = table(["model".into()].into_iter().chain(rates.iter().map(|rate| format!("{rate:e}"))));
    let runs = records.iter().map(|record| &record.run).chain(diverged.iter().copied());
    for name in names(runs) {
        let cell = |rate: &f64| {
            let is_here = |run: &Run| run.model == name && run.lr == *rate && run.seed == 0;
            match records.iter().find(|record| is_here(&record.run)) {
                _ if diverged.iter().any(|run| is_here(run)) => "diverged".into(),
                None => "–".into(),
                Some(record) => metric.both(record.valid_string_accuracy, record.valid_char_accuracy),
            }
        };
        table.add_row([name.clone()].into_iter().chain(rates.iter().map(cell)));
    }
    to_the_right(table)
}

/// Examples that the runs of `records` saw until the accuracy on fresh strings was `accuracy`: of the runs that got there
/// the mean, with Student's interval.
pub fn examples_to(accuracy: f64, Results { records, curves, diverged }: &Results) -> Table {
    let mut table = table(["model", "rate", "runs", "examples", "95 %"].map(String::from).into_iter());
    let diverged: Vec<&Run> = diverged.iter().collect();
    for name in names(records.iter().map(|record| &record.run)) {
        let mut runs: Vec<&Run> = Vec::new();
        for run in records.iter().map(|record| &record.run).filter(|run| run.model == name) {
            if !runs.contains(&run) {
                runs.push(run);
            }
        }
        let reached =
            |run: &&Run| curves.iter().find(|curve| curve.run == **run && curve.string_accuracy >= accuracy);
        let examples: Vec<f64> = runs.iter().filter_map(reached).map(|curve| curve.examples as f64).collect();
        let [mean, interval] = match (&examples[..], Estimate::student(&examples)) {
            ([], _) => ["not reached".into(), "–".into()],
            ([_], Estimate { mean, .. }) => [format!("{mean:.0}"), "–".into()],
            (_, Estimate { mean, low, high, .. }) => {
                [format!("{mean:.0}"), format!("{:.0} to {high:.0}", low.max(0.0))]
            }
        };
        let count = format!("{} of {}", examples.len(), runs.len() + failed(&diverged, runs[0]));
        table.add_row([name, format!("{:e}", runs[0].lr), count, mean, interval]);
    }
    to_the_right(table)
}

/// What to bear in mind where models differ by more than a tenth in size.
pub fn sizes(records: &[&Record]) -> Option<String> {
    let least = records.iter().min_by_key(|record| record.params)?;
    let most = records.iter().max_by_key(|record| record.params)?;
    (most.params as f64 > 1.1 * least.params as f64).then(|| {
        format!(
            "These models are not of one size: {} has {} parameters, {} has {}.",
            least.run.model, least.params, most.run.model, most.params
        )
    })
}

/// What to bear in mind where models were not trained alike.
pub fn settings(records: &[&Record]) -> Option<String> {
    let of = |run: &Run| {
        let Run { steps, batch_size, context_len, packing, .. } = run;
        format!("{steps} steps of {batch_size} rows of {context_len} tokens, packing {packing:?}")
    };
    let first = records.first()?;
    let other = records.iter().find(|record| of(&record.run) != of(&first.run))?;
    Some(format!(
        "These models were not trained alike: {} for {}, {} for {}.",
        first.run.model,
        of(&first.run),
        other.run.model,
        of(&other.run)
    ))
}

/// The estimate over the seeds of `records`; `None` of none.
pub fn estimate<'a>(metric: Metric, records: impl Iterator<Item = &'a Record>) -> Option<Estimate> {
    let mut strings = 0;
    let accuracy = |record: &Record| {
        strings += record.strings;
        metric.of(record.string_accuracy, record.char_accuracy)
    };
    let accuracies: Vec<f64> = records.map(accuracy).collect();
    (!accuracies.is_empty()).then(|| Estimate::of(&accuracies, strings))
}

fn shown(estimate: Estimate) -> String {
    format!("{:.3} [{:.2}, {:.2}]", estimate.mean, estimate.low, estimate.high)
}

/// A number of bytes, in the unit that fits.
pub fn bytes(bytes: usize) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.0} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A table in Markdown.
pub fn table(head: impl Iterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(head);
    table
}

/// All columns but the first.
pub fn to_the_right(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Models in the order of their first run.
pub fn names<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for run in runs {
        if !names.contains(&run.model) {
            names.push(run.model.clone());
        }
    }
    names
}
