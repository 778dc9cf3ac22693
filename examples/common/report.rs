//! Records to tables and figures: nothing here trains.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn_sequence::{Error, Result};

use super::cli::Options;
use super::experiment::{Arm, Experiment, Metric, Probe};
use super::folder::Results;
use super::plots::{Line, draw};
use super::records::{CurveRecord, Record, Run, best_rate};
use super::runs::run;
use super::statistics::{Estimate, mean};
use super::table;
use super::trainer::{Fit, Trainer};

impl Experiment {
    /// Runs what is missing, prints the tables and draws the figures; returns the records of each model's best learning rate,
    /// and all curves.
    ///
    /// # Errors
    ///
    /// Whatever flags, training, the records or the figures say.
    pub fn run(&self, options: &Options) -> Result<Results> {
        self.run_by(options, &Fit)
    }

    /// [`run`](Self::run), trained by another than [`fit`](burn_sequence::training::fit).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_by(&self, options: &Options, trainer: &dyn Trainer) -> Result<Results> {
        let mut results = run(self, options, trainer)?;
        let place = |run: &Run| self.contenders.iter().position(|contender| contender.name == run.model);
        // Runs end in any order.
        results.records.sort_by_key(|record| place(&record.run).unwrap_or(usize::MAX));
        let mut shown = Vec::new();
        for arm in &self.arms {
            let metric = arm.probes[0].metric;
            let own: Vec<&Record> =
                results.records.iter().filter(|record| record.run.trained_on == arm.name).collect();
            let diverged: Vec<&Run> =
                results.diverged.iter().filter(|run| run.trained_on == arm.name).collect();
            if !diverged.is_empty() || own.iter().any(|record| record.run.lr != own[0].run.lr) {
                let counted = metric.both_labels();
                println!("\n{}: learning rates, {counted}, at the end of training\n", arm.name);
                println!("{}", table::sweep(metric, &own, &diverged));
            }
            if own.is_empty() {
                continue;
            }
            let best = at_the_best_rate(metric, &own);
            for note in [table::sizes(&best), table::settings(&best)].into_iter().flatten() {
                println!("\n{note}");
            }
            for probe in arm.probes.iter().filter(|probe| !probe.points.is_empty()) {
                let asked: Vec<&Record> =
                    best.iter().copied().filter(|record| record.probe == probe.name).collect();
                if asked.is_empty() {
                    println!("\n{}: not asked yet; --resume asks", probe.title);
                    continue;
                }
                println!("\n{} ({}, by {})\n", probe.title, probe.metric.label(), probe.x_label);
                println!("{}", table::by_x(probe, &asked, &diverged));
                self.draw_probe(arm, probe, &asked, options)?;
            }
            self.draw_curves(arm, &best, &results.curves, options)?;
            shown.extend(best.into_iter().cloned());
        }
        if options.plot && shown.is_empty() {
            let out = options.out(self.name);
            return Err(Error::Config(format!(
                "{}: no records of what this experiment trains on",
                out.display()
            )));
        }
        println!("\nrecords and figures are in {}", options.out(self.name).display());
        Ok(Results { records: shown, ..results })
    }

    /// The file of a figure.
    fn figure(&self, arm: &Arm, name: &str, options: &Options) -> PathBuf {
        let several = self.arms.len() > 1;
        let file = if several { format!("{}_{name}.svg", arm.name) } else { format!("{name}.svg") };
        options.out(self.name).join(file)
    }

    fn draw_probe(&self, arm: &Arm, probe: &Probe, records: &[&Record], options: &Options) -> Result<()> {
        let lines = lines(records, probe.metric, |record| record.x);
        let path = self.figure(arm, probe.name, options);
        draw(&path, &probe.title, [probe.x_label, probe.metric.label()], probe.log, &lines)
    }

    /// Accuracy over examples seen, of the runs in `records`, as the first probe counts.
    fn draw_curves(
        &self,
        arm: &Arm,
        records: &[&Record],
        curves: &[CurveRecord],
        options: &Options,
    ) -> Result<()> {
        let metric = arm.probes[0].metric;
        let lines = table::names(records.iter().map(|record| &record.run)).into_iter().map(|model| {
            let is_shown = |curve: &&CurveRecord| {
                curve.run.model == model && records.iter().any(|record| record.run == curve.run)
            };
            let mut by_step: BTreeMap<usize, Vec<&CurveRecord>> = BTreeMap::new();
            curves
                .iter()
                .filter(is_shown)
                .for_each(|curve| by_step.entry(curve.step).or_default().push(curve));
            let point = |curves: Vec<&CurveRecord>| {
                let accuracy = |curve: &&CurveRecord| metric.of(curve.string_accuracy, curve.char_accuracy);
                let accuracies: Vec<f64> = curves.iter().map(accuracy).collect();
                let examples = mean(curves.iter().map(|curve| curve.examples as f64));
                (examples, Estimate::of(&accuracies, curves.iter().map(|curve| curve.strings).sum()))
            };
            Line { model, points: by_step.into_values().map(point).collect() }
        });
        let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let strings =
            curves.iter().filter(|curve| curve.run.trained_on == arm.name).map(|curve| curve.strings);
        let title = format!(
            "Learning {}: {} strings a seed, as long as the longest trained on ({})",
            arm.task.name().replace('_', " "),
            strings.max().unwrap_or(0),
            arm.task.lengths().end()
        );
        let path = self.figure(arm, "learning_curve", options);
        draw(&path, &title, ["examples seen", metric.label()], false, &lines)
    }
}

/// A line for each model: what it was asked by `x`, the estimates over its seeds.
pub fn lines(records: &[&Record], metric: Metric, x: impl Fn(&Record) -> usize) -> Vec<Line> {
    let line = |model: String| {
        let mut by_x: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
        let own = records.iter().copied().filter(|record| record.run.model == model);
        own.for_each(|record| by_x.entry(x(record)).or_default().push(record));
        let point = |(x, records): (usize, Vec<&Record>)| {
            Some((x as f64, table::estimate(metric, records.into_iter())?))
        };
        let points = by_x.into_iter().filter_map(point).collect();
        Line { model, points }
    };
    table::names(records.iter().map(|record| &record.run)).into_iter().map(line).collect()
}

/// Of every model the records of its [`best_rate`].
fn at_the_best_rate<'a>(metric: Metric, records: &[&'a Record]) -> Vec<&'a Record> {
    let mut best = Vec::new();
    for name in table::names(records.iter().map(|record| &record.run)) {
        let own = records.iter().copied().filter(|record| record.run.model == name);
        let rate = best_rate(own.clone(), metric);
        best.extend(own.filter(|record| Some(record.run.lr) == rate));
    }
    best
}
