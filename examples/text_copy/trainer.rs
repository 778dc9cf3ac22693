//! A run by burn-train: checkpoints in its folder, from which it goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::Dataset;
use burn::grad_clipping::GradientClipping;
use burn::lr_scheduler::LrSchedulerConfig::Linear;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::tensor::Device;
use burn::tensor::distributed::{DistributedConfig, ReduceOperation};
use burn::train::metric::{AccuracyMetric, LossMetric, PerplexityMetric};
use burn::train::{ExecutionStrategy, Interrupter, Learner, MultiDeviceOptim, SupervisedTraining};
use burn_sequence::layers::Mixer;
use burn_sequence::learner::{RowBatcher, TaskLoader, TaskRows, Windows};
use burn_sequence::models::LanguageModel;
use burn_sequence::tasks::Task;
use burn_sequence::training::{CurvePoint, Outcome, TrainingConfig, optimizer};
use burn_sequence::{Error, Result};
use clap::ValueEnum;

use super::common::progress::{self, Progress};
use super::common::trainer::Trainer;
use super::common::{device, files};
use super::screen;

/// Passes over the rows, with a checkpoint after each, at most.
const EPOCHS: usize = 8;

/// The most that there are steps for, of equal length.
///
/// # Errors
///
/// If there are none.
pub fn epochs(steps: usize) -> Result<usize> {
    let epochs = EPOCHS.min(steps);
    match steps.checked_rem(epochs) {
        Some(0) => Ok(epochs),
        _ => Err(Error::Config(format!("--steps {steps}: expected a multiple of {EPOCHS}, its epochs"))),
    }
}

/// How several devices share the work.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Gradients of all go to the first, which steps.
    Main,
    /// Each steps a share of the parameters.
    Sharded,
    /// Each has the whole model; gradients are reduced among them. On CUDA, one run at a time.
    Distributed,
}

/// Trains by burn-train.
pub struct BurnTrain {
    /// Text not read, for the loss.
    pub held_out: Vec<u32>,
    pub strategy: Strategy,
    /// By name; none: the model's own.
    pub devices: Vec<String>,
    /// Whether burn-train may take the terminal.
    pub dashboard: bool,
}

impl BurnTrain {
    /// Whether rows can be shared so: known before anything is written.
    pub fn check(&self, batch_size: usize, own: &Device) -> Result<()> {
        let sharing = self.devices.len().max(1);
        if !batch_size.is_multiple_of(sharing) {
            let problem = format!("--batch-size {batch_size} must be a multiple of the devices ({sharing})");
            return Err(Error::Config(problem));
        }
        if self.strategy != Strategy::Main && sharing < 2 {
            return Err(Error::Config(
                "--strategy: is for two --devices or more, as in --devices cuda:0,cuda:1".into(),
            ));
        }
        self.execution(own.clone()).map(drop)
    }

    /// Of the gradients that burn-train steps with: where one process has several devices, their sum, where each has a process,
    /// their mean.
    fn clip_norm(&self, of_one: f64) -> f64 {
        match self.strategy {
            Strategy::Main | Strategy::Sharded => of_one * self.devices.len().max(1) as f64,
            Strategy::Distributed => of_one,
        }
    }

    fn execution(&self, own: Device) -> Result<ExecutionStrategy> {
        let devices =
            self.devices.iter().map(|name| device::named(Some(name))).collect::<Result<Vec<_>>>()?;
        Ok(match (&devices[..], self.strategy) {
            ([], _) => ExecutionStrategy::single(own),
            ([device], _) => ExecutionStrategy::single(device.clone()),
            (_, Strategy::Main) => ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice),
            (_, Strategy::Sharded) => ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimSharded),
            (_, Strategy::Distributed) if self.devices.iter().any(|name| !name.starts_with("cuda")) => {
                let devices = self.devices.join(",");
                let problem = format!(
                    "--strategy distributed: Burn reduces gradients among CUDA devices alone, not among {devices}; use --strategy main or sharded"
                );
                return Err(Error::Config(problem));
            }
            (_, Strategy::Distributed) => {
                ExecutionStrategy::ddp(devices, DistributedConfig { all_reduce_op: ReduceOperation::Mean })
            }
        })
    }
}

impl Trainer for BurnTrain {
    fn evaluation_strings(&self, config: &TrainingConfig) -> usize {
        Windows::new(&self.held_out, config.context_len).len()
    }

    fn devices(&self) -> Option<String> {
        let devices = self.devices.join(",");
        match self.devices.len() {
            0 => None,
            1 => Some(devices),
            _ => Some(format!("{devices}, strategy {}", format!("{:?}", self.strategy).to_lowercase())),
        }
    }

    fn shows_itself(&self) -> bool {
        true
    }

    fn train(
        &self,
        model: LanguageModel,
        task: &Arc<dyn Task>,
        config: &TrainingConfig,
        progress: &mut Progress,
    ) -> Result<Outcome<Mixer>> {
        config.check()?;
        self.check(config.batch_size, &model.device())?;
        let sharing = self.devices.len().max(1);
        let epochs = epochs(config.steps)?;
        let folder = config.folder.as_deref().expect("an experiment's runs have folders");
        std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
        let checkpoints = folder.join("checkpoint");
        let done = last_checkpoint(&checkpoints);
        let rows = TaskRows {
            task: task.clone(),
            packing: config.packing,
            context_len: config.context_len,
            rows: config.steps / epochs * config.batch_size,
            seed: config.seed,
        };
        // A step takes a batch from each device.
        let batch_size = config.batch_size / sharing;
        let train = Arc::new(TaskLoader::new(rows, batch_size).from_epoch(done.unwrap_or(0)));
        let valid = DataLoaderBuilder::new(RowBatcher)
            .batch_size(batch_size)
            .build(Windows::new(&self.held_out, config.context_len));

        let optimizer = optimizer(&model, config.weight_decay)
            .with_grad_clipping(GradientClipping::Norm(self.clip_norm(config.clip_norm) as f32));
        let execution = self.execution(model.device())?;
        let learner = Learner::new(model, optimizer, schedule(config)?);
        let interrupter = Interrupter::new();
        let mut training = SupervisedTraining::new(folder, train, valid)
            .metrics((LossMetric::new(), PerplexityMetric::new(), AccuracyMetric::new()))
            .with_default_checkpointers()
            .with_application_logger(None)
            .with_interrupter(interrupter.clone())
            .with_training_strategy(execution.into())
            .num_epochs(epochs)
            .renderer(screen::renderer(self.dashboard, interrupter, progress.title()));
        if let Some(epoch) = done {
            training = training.checkpoint(epoch);
        }
        progress.goes_on_after(config.steps / epochs * done.unwrap_or(0));
        let began = Instant::now();
        // The dashboard closes with the rest of the result.
        let (model, error) = {
            let result = training.launch(learner);
            (result.model, result.error)
        };
        let seconds = add_seconds(folder, began.elapsed().as_secs_f64())?;
        if let Some(problem) = error {
            return Err(Error::File { path: folder.into(), problem: problem.to_string() });
        }
        let unfinished = Outcome {
            model: model.clone(),
            steps: 0,
            interrupted: true,
            examples: 0,
            seconds,
            curve: Vec::new(),
        };
        if last_checkpoint(&checkpoints) != Some(epochs) {
            // Ended in the dashboard: so are the runs after it.
            progress::interrupt();
            return Ok(unfinished);
        }
        let point = |epoch: usize| point_of(folder, epoch, config.steps / epochs, config.batch_size);
        let curve = (1..=epochs).map(point).collect::<Result<Vec<_>>>()?;
        if let Some(CurvePoint { step, loss, .. }) = curve.iter().find(|point| !point.loss.is_finite()) {
            let (step, loss, learning_rate) = (*step, *loss, config.learning_rate);
            return Err(Error::NonFinite { step, loss, learning_rate });
        }
        Ok(Outcome {
            steps: config.steps,
            interrupted: false,
            examples: config.steps * config.batch_size,
            curve,
            ..unfinished
        })
    }
}

/// What burn-train wrote down of the text held out, after an epoch. Each of its bytes is a question of its own: the loss is that of
/// its perplexity, for the mean that it calls loss counts a last batch of a few rows as much as a whole one.
fn point_of(folder: &Path, epoch: usize, steps: usize, batch_size: usize) -> Result<CurvePoint> {
    let read = |metric: &str| {
        let path = folder.join(format!("valid/epoch-{epoch}/{metric}.log"));
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let mean = text.lines().filter_map(|line| line.strip_suffix(",final")).next_back();
        mean.and_then(|mean| mean.parse::<f64>().ok()).ok_or_else(|| Error::File {
            path,
            problem: "burn-train has written no mean of the epoch".into(),
        })
    };
    let right = read("Accuracy")? / 100.0;
    let (step, examples) = (epoch * steps, epoch * steps * batch_size);
    Ok(CurvePoint {
        step,
        examples,
        loss: read("Perplexity")?.ln(),
        string_accuracy: right,
        char_accuracy: right,
    })
}

/// Up to the highest rate, then down to nothing, in straight lines.
fn schedule(config: &TrainingConfig) -> Result<ModuleLrScheduler> {
    let warmup = config.warmup_steps.clamp(1, config.steps);
    let rate = config.learning_rate;
    let lines = [(rate / warmup as f64, rate, warmup), (rate, 0.0, (config.steps - warmup).max(1))];
    let lines = lines.map(|(from, to, steps)| Linear(LinearLrSchedulerConfig::new(from, to, steps)));
    SequentialLrSchedulerConfig::new(lines.into(), vec![warmup]).init().map_err(Error::Config)
}

/// The last epoch of which everything is there.
fn last_checkpoint(folder: &Path) -> Option<usize> {
    let whole = |epoch: &usize| {
        ["model", "optim", "scheduler"]
            .iter()
            .all(|part| folder.join(format!("{part}-{epoch}.bpk")).is_file())
    };
    (1..=EPOCHS).rev().find(whole)
}

/// Seconds of training in all, over the calls that the run took.
fn add_seconds(folder: &Path, seconds: f64) -> Result<f64> {
    let path = folder.join("seconds");
    let earlier: f64 = std::fs::read_to_string(&path).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let seconds = earlier + seconds;
    files::write(&path, &seconds.to_string())?;
    Ok(seconds)
}
