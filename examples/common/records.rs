//! Results as JSON lines: appended whole, read back to plot again or to skip what is done.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use burn_sequence::tasks::{Task, fingerprint};
use burn_sequence::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::experiment::Metric;
use super::files;
use super::origin::Origin;

/// A run: who was trained on what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub experiment: String,
    /// What the model was trained on: the arm.
    pub trained_on: String,
    pub model: String,
    pub pattern: String,
    pub d_model: usize,
    pub seed: u64,
    pub lr: f64,
    pub packing: String,
    pub batch_size: usize,
    pub context_len: usize,
    pub steps: usize,
    /// The shortest and the longest length trained on.
    pub shortest_train_len: usize,
    pub train_len: usize,
    pub version: String,
}

/// One question to one run's model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub run: Run,
    pub params: usize,
    /// Examples and tokens of training.
    pub examples: usize,
    pub tokens: usize,
    /// Fresh strings of the longest training length, at the end of training: what a learning rate is chosen by.
    pub valid_string_accuracy: f64,
    pub valid_char_accuracy: f64,
    /// Of training.
    pub seconds: f64,
    /// What is asked: the probe, and the place in its figure.
    pub probe: String,
    pub x: usize,
    pub test_len: usize,
    #[serde(flatten)]
    pub origin: Origin,
    /// [`fingerprint`](burn_sequence::tasks::fingerprint) of what was trained on; empty in records older than this.
    #[serde(default)]
    pub task: String,
    /// Bytes of the model's state when the answer of such a string is due; where each of its answers is on its own, at its end.
    pub state_bytes: usize,
    /// The same in bits, where the state was rounded to few.
    pub state_bits: usize,
    pub strings: usize,
    pub string_accuracy: f64,
    pub char_accuracy: f64,
}

/// A point of the learning curve of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveRecord {
    #[serde(flatten)]
    pub run: Run,
    pub step: usize,
    pub examples: usize,
    pub loss: f64,
    pub strings: usize,
    pub string_accuracy: f64,
    pub char_accuracy: f64,
}

impl Run {
    /// The run without what several runs of one line of a figure may differ in: seed and learning rate.
    fn line(&self) -> Self {
        Self { seed: 0, lr: 0.0, ..self.clone() }
    }

    /// Whether they were trained on these lengths, which the titles of figures name.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the folder and theirs.
    pub fn check_lengths<'a>(
        mut runs: impl Iterator<Item = &'a Self>,
        lengths: &RangeInclusive<usize>,
        folder: &Path,
    ) -> Result<()> {
        let other =
            runs.find(|run| (run.shortest_train_len, run.train_len) != (*lengths.start(), *lengths.end()));
        other.map_or(Ok(()), |run| {
            Err(Error::Config(format!(
                "{}: {} was trained on lengths {}-{}, not {}-{}: say so by --train-len, or name another folder by --out",
                folder.display(),
                run.model,
                run.shortest_train_len,
                run.train_len,
                lengths.start(),
                lengths.end(),
            )))
        })
    }

    /// Whether all runs of a model on an arm differ in seed and learning rate only.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the folder and two runs that do not.
    pub fn check_alike<'a>(runs: impl Iterator<Item = &'a Self>, folder: &Path) -> Result<()> {
        let mut first: BTreeMap<(&str, &str), &Self> = BTreeMap::new();
        for run in runs {
            let other = *first.entry((&run.trained_on, &run.model)).or_insert(run);
            if other.line() != run.line() {
                return Err(Error::Config(format!(
                    "{0}: runs of {1} with different settings do not go into one figure; use another --out, or remove \
                     {0}/state if one was begun there by mistake\n  {2}\n  {3}",
                    folder.display(),
                    run.model,
                    serde_json::to_string(other).expect("plain data"),
                    serde_json::to_string(run).expect("plain data"),
                )));
            }
        }
        Ok(())
    }
}

impl Record {
    /// Whether they were trained on this task, as far as they say so.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the folder.
    pub fn check_task<'a>(
        records: impl Iterator<Item = &'a Self>,
        task: &dyn Task,
        folder: &Path,
    ) -> Result<()> {
        let mut marked = records.filter(|record| !record.task.is_empty()).peekable();
        if marked.peek().is_none() {
            return Ok(());
        }
        let own = fingerprint(task);
        marked.find(|record| record.task != own).map_or(Ok(()), |Self { run, .. }| {
            Err(Error::Config(format!(
                "{}: {} was trained on another task or text than {} is now: give the same, or name another folder by --out",
                folder.display(),
                run.model,
                run.trained_on,
            )))
        })
    }
}

/// Of a model's records on one arm the learning rate whose run with seed 0 (or, where that diverged at every rate, with the
/// least) did best on fresh strings of the longest training length, as `metric` counts; of rates that did alike the lowest.
pub fn best_rate<'a>(records: impl Iterator<Item = &'a Record> + Clone, metric: Metric) -> Option<f64> {
    let score = |Record { valid_string_accuracy, valid_char_accuracy, .. }: &Record| {
        // Letters decide where no string is right.
        metric.of(*valid_string_accuracy, *valid_char_accuracy) + 1e-3 * valid_char_accuracy
    };
    let seed = records.clone().map(|record| record.run.seed).min()?;
    let scored =
        records.filter(|record| record.run.seed == seed).map(|record| (record.run.lr, score(record)));
    let best = scored.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0)));
    best.map(|(rate, _)| rate)
}

/// A file of records, rewritten whole under a temporary name at every change.
pub struct Records<R> {
    path: PathBuf,
    pub records: Vec<R>,
}

impl<R: Serialize + DeserializeOwned + Clone> Records<R> {
    /// The records of a file; none if there is no file.
    pub fn read(path: &Path) -> Result<Vec<R>> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let parse = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|problem| Error::File {
                path: path.into(),
                problem: format!("line {}: {problem}; remove the line or the file", index + 1),
            })
        };
        text.lines().enumerate().map(parse).collect()
    }

    /// Opens the file to add to what it holds; makes its folder, so that a place that cannot be written is known before
    /// anything is trained.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
        let records = Self { path: path.into(), records: Self::read(path)? };
        records.write()?;
        Ok(records)
    }

    /// Adds records.
    pub fn extend(&mut self, records: impl IntoIterator<Item = R>) -> Result<()> {
        self.records.extend(records);
        self.write()
    }

    /// Puts records in the place of those that `is_old` says.
    pub fn replace(
        &mut self,
        is_old: impl Fn(&R) -> bool,
        records: impl IntoIterator<Item = R>,
    ) -> Result<()> {
        self.records.retain(|record| !is_old(record));
        self.extend(records)
    }

    fn write(&self) -> Result<()> {
        let mut text = String::new();
        for record in &self.records {
            text.push_str(&serde_json::to_string(record).expect("a record is plain data"));
            text.push('\n');
        }
        files::write(&self.path, &text)
    }
}
