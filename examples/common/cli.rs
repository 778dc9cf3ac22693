//! The flags that every experiment takes.

use std::path::PathBuf;

use burn::tensor::Device;
use burn_sequence::tasks::Packing;
use burn_sequence::{Error, Result};
use clap::Parser;

/// Flags of an experiment.
#[derive(Parser, Debug)]
pub struct Options {
    /// A few models, few steps, few strings: minutes.
    #[arg(long)]
    pub quick: bool,
    /// A model by name, or an architecture in the hybrid notation; repeat for several. Default: all.
    #[arg(long = "model", value_name = "NAME|PATTERN")]
    pub models: Vec<String>,
    /// Width of models given as a pattern.
    #[arg(long, default_value_t = 128)]
    pub d_model: usize,
    /// Optimiser steps of a run [default: 3000, with --quick 500].
    #[arg(long)]
    pub steps: Option<usize>,
    /// Seeds to run, 0, 1, …
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// The highest learning rate.
    #[arg(long, default_value_t = 1e-3)]
    pub lr: f64,
    /// Lengths trained on, MIN..=MAX or MIN-MAX.
    #[arg(long, default_value = "5-16", value_parser = range)]
    pub train_len: std::ops::RangeInclusive<usize>,
    /// Lengths tested [default: 16 to 320, with --quick 16 to 64].
    #[arg(long, value_delimiter = ',')]
    pub test_len: Vec<usize>,
    /// Strings of a test length [default: 1280, with --quick 256].
    #[arg(long)]
    pub strings: Option<usize>,
    /// Tokens of a training row.
    #[arg(long, default_value_t = 96)]
    pub context_len: usize,
    /// Rows of a training step.
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// Whether examples of a row are apart: `paper` (no) or `segments` (yes).
    #[arg(long, default_value_t = Packing::Paper)]
    pub packing: Packing,
    /// Where records, plots and run states go.
    #[arg(long, default_value = "runs/copying")]
    pub out: PathBuf,
    /// flex, ndarray, wgpu, … as far as compiled in [default: BURN_DEVICE, or the default backend].
    #[arg(long)]
    pub device: Option<String>,
    /// Runs at once. Small models do not fill a machine one by one; results do not depend on this.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)))]
    pub jobs: usize,
    /// Go on with the runs in --out instead of beginning anew.
    #[arg(long)]
    pub resume: bool,
}

impl Options {
    /// Optimiser steps of a run.
    pub fn steps(&self) -> usize {
        self.steps.unwrap_or(if self.quick { 500 } else { 3000 })
    }

    /// Strings of a test length.
    pub fn strings(&self) -> usize {
        self.strings.unwrap_or(if self.quick { 256 } else { 1280 })
    }

    /// Lengths tested.
    pub fn test_lengths(&self) -> Vec<usize> {
        match (self.test_len.is_empty(), self.quick) {
            (false, _) => self.test_len.clone(),
            (true, true) => vec![16, 24, 32, 64],
            (true, false) => vec![16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 320],
        }
    }

    /// The device to run on.
    ///
    /// # Errors
    ///
    /// If it is not compiled in.
    pub fn device(&self) -> Result<Device> {
        match self.device.as_deref() {
            None => Ok(Device::default()),
            #[cfg(feature = "flex")]
            Some("flex") => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated, reason = "supported as long as Burn has it")]
            Some("ndarray") => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Some("wgpu") => Ok(Device::wgpu(Default::default())),
            #[cfg(feature = "cuda")]
            Some("cuda") => Ok(Device::cuda(0)),
            Some(name) => Err(Error::Config(format!(
                "device {name:?} is not compiled in; add `--features {name}` to the command, or leave it out"
            ))),
        }
    }
}

fn range(text: &str) -> Result<std::ops::RangeInclusive<usize>, String> {
    let bounds: Vec<&str> = text.split(['-', '.', '=']).filter(|part| !part.is_empty()).collect();
    match bounds[..] {
        [low, high] => {
            let parse =
                |bound: &str| bound.parse::<usize>().map_err(|problem| format!("{bound:?}: {problem}"));
            let (low, high) = (parse(low)?, parse(high)?);
            if low == 0 || low > high {
                Err(format!("{low}-{high} is empty or begins at 0"))
            } else {
                Ok(low..=high)
            }
        }
        _ => Err("expected MIN-MAX, such as 5-16".into()),
    }
}
