//! Training by burn-train: [`SupervisedTraining`](burn::train::SupervisedTraining) with its checkpoints, metrics and
//! dashboard, on one device or several.
//!
//! A [`LanguageModel`] takes a [`Batch`] and gives burn-train's
//! [`ClassificationOutput`], whose classes are the tokens: loss, accuracy, perplexity
//! and others come with it. A batch is plain data on the host, which each device reads from; [`Windows`] and [`TaskRows`] are
//! datasets of rows, and [`RowBatcher`] stacks them; [`TaskLoader`] has new rows in every epoch.
//!
//! ```
//! use burn::data::dataloader::DataLoaderBuilder;
//! use burn::lr_scheduler::constant::ConstantLr;
//! use burn::tensor::Device;
//! use burn::train::metric::{LossMetric, PerplexityMetric};
//! use burn::train::{Learner, SupervisedTraining};
//! use burn_sequence::learner::{RowBatcher, Windows};
//! use burn_sequence::models::LanguageModelConfig;
//! use burn_sequence::training::optimizer;
//!
//! let config: LanguageModelConfig = LanguageModelConfig::parse("mamba2(head_dim=8), attention(n_heads=2)", 16, 256)?;
//! let model = config.init(&Device::default().autodiff());
//! let text: Vec<u32> = b"Any text, as tokens. ".repeat(20).iter().map(|&byte| byte.into()).collect();
//! let (seen, held_out) = text.split_at(300);
//!
//! let folder = tempfile::tempdir().unwrap();
//! let seen = DataLoaderBuilder::new(RowBatcher).batch_size(4).shuffle(1).build(Windows::new(seen, 32));
//! let held_out = DataLoaderBuilder::new(RowBatcher).batch_size(4).build(Windows::new(held_out, 32));
//! let optimizer = optimizer(&model, 0.1);
//! let result = SupervisedTraining::new(folder.path(), seen, held_out)
//!     .metrics((LossMetric::new(), PerplexityMetric::new()))
//!     .with_default_checkpointers()
//!     .with_application_logger(None)
//!     .num_epochs(2)
//!     .launch(Learner::new(model, optimizer, ConstantLr::new(1e-3)));
//! assert!(result.error.is_none());
//! # Ok::<(), burn_sequence::Error>(())
//! ```
//!
//! # Notes
//!
//! With several devices a step takes a batch from each, and the sum of their gradients. burn-train's `ddp`, where each device
//! has the whole model, needs collective operations, which Burn 0.22.1 has on CUDA and remote devices alone: elsewhere it
//! panics. `multi` works on any.
//!
//! burn-train clips the gradient of each parameter on its own, if asked to
//! ([`with_grad_clipping`](burn::optim::ModuleOptimizer::with_grad_clipping)); [`fit`](crate::training::fit) clips the norm
//! of all together, as the papers do.

mod loader;
mod rows;

use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};

pub use loader::TaskLoader;
pub use rows::{RowBatcher, TaskRows, Windows};

use crate::evaluation::answer_cross_entropy;
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::Batch;

/// The tokens that `model` gives at the targets of `batch`, with their mean cross entropy.
fn answers<M: SequenceMixer>(model: &LanguageModel<M>, batch: &Batch) -> ClassificationOutput {
    let (loss, logits, labels) = answer_cross_entropy(model, batch);
    ClassificationOutput::new(loss, logits, labels)
}

impl<M: SequenceMixer> TrainStep for LanguageModel<M> {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = answers(self, &batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl<M: SequenceMixer> InferenceStep for LanguageModel<M> {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        answers(self, &batch)
    }
}
