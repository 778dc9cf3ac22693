//! The flags that every experiment takes.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use burn::tensor::Device;
use burn_sequence::tasks::Packing;
use burn_sequence::{Error, Result};
use clap::Parser;

use super::device;
use super::experiment::Arm;

/// Flags of an experiment.
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// A few models, few steps, few strings: minutes.
    #[arg(long)]
    pub quick: bool,
    /// Draw tables and plots of the records in --out again, all of them; train nothing.
    #[arg(long, conflicts_with_all = ["models", "arms", "d_model", "steps", "seeds", "lr", "test_len", "strings", "resume"])]
    pub plot: bool,
    /// A model by name, or an architecture in the hybrid notation; repeat for several. Default: all.
    #[arg(long = "model", value_name = "NAME|PATTERN")]
    pub models: Vec<String>,
    /// One of the things to train on, by name; repeat for several. Default: all.
    #[arg(long = "arm", value_name = "NAME")]
    pub arms: Vec<String>,
    /// Width of models given as a pattern [default: that which makes them as large as the experiment's first model].
    #[arg(long)]
    pub d_model: Option<usize>,
    /// Optimiser steps of a run [default: the experiment's].
    #[arg(long, value_parser = positive)]
    pub steps: Option<usize>,
    /// Seeds to run, 0, 1, …
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// The highest learning rate; several, with commas, are all run with seed 0 for every model, and the best with the other
    /// seeds.
    #[arg(long, value_delimiter = ',', default_value = "3e-3", value_parser = rate)]
    pub lr: Vec<f64>,
    /// Lengths trained on, MIN..=MAX or MIN-MAX [default: the experiment's].
    #[arg(long, value_parser = range)]
    pub train_len: Option<RangeInclusive<usize>>,
    /// Lengths tested [default: the experiment's].
    #[arg(long, value_delimiter = ',')]
    pub test_len: Vec<usize>,
    /// Strings of a test length; what has been asked is not asked again with more [default: 1280, with --quick 256].
    #[arg(long, value_parser = positive)]
    pub strings: Option<usize>,
    /// Tokens of a training row [default: the experiment's].
    #[arg(long)]
    pub context_len: Option<usize>,
    /// Rows of a training step [default: the experiment's].
    #[arg(long, value_parser = positive)]
    pub batch_size: Option<usize>,
    /// Whether examples of a row are apart: `paper` (no) or `segments` (yes) [default: the experiment's].
    #[arg(long)]
    pub packing: Option<Packing>,
    /// Where records, plots, trained models and the states of runs go
    /// [default: runs/ and the experiment's name, with --quick runs/…-quick].
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// flex, ndarray, wgpu, … as far as compiled in [default: BURN_DEVICE, or the default backend].
    #[arg(long)]
    pub device: Option<String>,
    /// Runs at once. Small models do not fill a machine one by one; results do not depend on this.
    /// [default: the number of cores, at most 4; 1 where a dashboard is shown or runs cannot be side by side]
    #[arg(long, value_parser = positive)]
    pub jobs: Option<usize>,
    /// Go on with the runs in --out instead of beginning anew.
    #[arg(long)]
    pub resume: bool,
}

impl Options {
    /// The first of a pair, or with `--quick` the second.
    pub fn either<T>(&self, [full, quick]: [T; 2]) -> T {
        if self.quick { quick } else { full }
    }

    /// The arms to run.
    ///
    /// # Errors
    ///
    /// If one has no such name.
    pub fn arms<'a>(&self, all: &'a [Arm]) -> Result<Vec<&'a Arm>> {
        if self.arms.is_empty() {
            return Ok(all.iter().collect());
        }
        if let Some(unknown) = self.arms.iter().find(|&name| all.iter().all(|arm| arm.name != name)) {
            let names: Vec<&str> = all.iter().map(|arm| arm.name).collect();
            return Err(Error::Config(format!("--arm {unknown:?}: expected one of {}", names.join(", "))));
        }
        Ok(all.iter().filter(|arm| self.arms.iter().any(|name| arm.name == name)).collect())
    }

    /// Lengths trained on.
    ///
    /// # Errors
    ///
    /// If they are not among those `possible`.
    pub fn train_len(
        &self,
        default: RangeInclusive<usize>,
        possible: RangeInclusive<usize>,
    ) -> Result<RangeInclusive<usize>> {
        let lengths = self.train_len.clone().unwrap_or(default);
        if possible.contains(lengths.start()) && possible.contains(lengths.end()) {
            return Ok(lengths);
        }
        let ([low, high], [least, most]) =
            ([lengths.start(), lengths.end()], [possible.start(), possible.end()]);
        Err(Error::Config(format!(
            "--train-len {low}-{high}: this experiment has lengths from {least} to {most}"
        )))
    }

    /// Lengths tested; the second of the defaults with `--quick`.
    pub fn test_len(&self, defaults: [&[usize]; 2]) -> Vec<usize> {
        let mut lengths =
            if self.test_len.is_empty() { self.either(defaults).to_vec() } else { self.test_len.clone() };
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// For an experiment whose lengths are part of what it asks.
    ///
    /// # Errors
    ///
    /// If a length is given.
    pub fn expect_no_lengths(&self) -> Result<()> {
        match (&self.train_len, &self.test_len[..]) {
            (None, []) => Ok(()),
            _ => Err(Error::Config(
                "--train-len and --test-len: this experiment has lengths of its own".into(),
            )),
        }
    }

    /// The learning rates, each once.
    pub fn rates(&self) -> Vec<f64> {
        let mut rates = self.lr.clone();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    /// Strings of a test length.
    pub fn strings(&self) -> usize {
        self.strings.unwrap_or(self.either([1280, 256]))
    }

    /// Runs at once.
    pub fn jobs(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        self.jobs.unwrap_or_else(cores)
    }

    /// The folder of an experiment.
    pub fn out(&self, experiment: &str) -> PathBuf {
        let quick = if self.quick { "-quick" } else { "" };
        self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("{experiment}{quick}")))
    }

    /// The device to run on.
    ///
    /// # Errors
    ///
    /// If it is not compiled in.
    pub fn device(&self) -> Result<Device> {
        device::named(self.device.as_deref())
    }
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let Some((low, high)) = text.split_once("..=").or_else(|| text.split_once('-')) else {
        return Err("expected MIN-MAX, such as 5-16".into());
    };
    let parse = |bound: &str| bound.parse::<usize>().map_err(|problem| format!("{bound:?}: {problem}"));
    let (low, high) = (parse(low)?, parse(high)?);
    if low == 0 || low > high {
        return Err(format!("{low}-{high} is empty or begins at 0"));
    }
    Ok(low..=high)
}

/// A number above 0.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse::<NonZeroUsize>().map(NonZeroUsize::get).map_err(|problem| problem.to_string())
}

/// A learning rate.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("expected a positive number, such as 1e-3".into()),
    }
}
