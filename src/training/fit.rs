//! The loop.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::clipping::clip_gradients;
use super::config::TrainingConfig;
use super::loss::answer_loss;
use super::observer::{CurvePoint, Observer, StepReport};
use super::optimizer::optimizer;
use super::run_state::{Progress, RunFolder};
use crate::evaluation::accuracy;
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::{Batch, Task};
use crate::{Error, Result};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome<M: SequenceMixer> {
    /// The model after the last step.
    pub model: LanguageModel<M>,
    /// Steps done; fewer than asked for where the observer ended the run.
    pub steps: usize,
    /// Whether the observer ended the run, be it at its last step.
    pub interrupted: bool,
    /// Examples seen.
    pub examples: usize,
    /// Seconds of training, over all calls that the run took.
    pub seconds: f64,
    /// The learning curve.
    pub curve: Vec<CurvePoint>,
}

/// Trains `model` on fresh examples of `task`.
///
/// With a [`folder`](TrainingConfig::folder), the state of the run is saved there after the first step, on the way and at the
/// end, and a run that is called again goes on where it was; on a deterministic backend it ends as if it had never stopped.
///
/// # Errors
///
/// [`Error::Config`] for settings or a task that no run can have: examples that do not fit in `context_len`, tokens that are not
/// below the model's `vocab_size`; [`Error::NonFinite`] where the loss or its
/// gradient stops being finite (the last saved state stays), [`Error::Io`] and [`Error::File`] where the run's folder cannot be used, or
/// another run is training in it.
///
/// # Panics
///
/// If an example of `task` is longer than its [`longest`](Task::longest), and than `context_len`.
pub fn fit<M: SequenceMixer>(
    model: LanguageModel<M>,
    task: &(impl Task + ?Sized),
    config: &TrainingConfig,
    observer: &mut impl Observer,
) -> Result<Outcome<M>> {
    config.check()?;
    task.check_lengths()?;
    check_fits(&model, task, config.context_len)?;
    let folder = config
        .folder
        .as_deref()
        .map(|path| RunFolder::open(path, config, task, model.num_params()))
        .transpose()?;
    let fresh = |model: &LanguageModel<M>| optimizer(model, config.weight_decay);
    let model = model.train();
    let (mut model, mut optimizer, found) = match &folder {
        Some(folder) => folder.load(model, fresh)?,
        None => {
            let optimizer = fresh(&model);
            (model, optimizer, None)
        }
    };
    let mut progress = found.unwrap_or(Progress { step: 0, examples: 0, seconds: 0.0, curve: Vec::new() });

    let mut interrupted = false;
    let began = Instant::now();
    let earlier = progress.seconds;
    while progress.step < config.steps {
        let step = progress.step;
        let batch = training_batch(task, config, step);
        let learning_rate = config.learning_rate_at(step);
        let (loss, said) = answer_loss(&model, &batch);
        let value = loss.clone().inner().into_scalar::<f64>();
        if !value.is_finite() {
            return Err(Error::NonFinite { step, loss: value, learning_rate });
        }
        let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
        let gradient_norm = clip_gradients(&model, &mut gradients, config.clip_norm);
        if !gradient_norm.is_finite() {
            return Err(Error::NonFinite { step, loss: value, learning_rate });
        }
        model = optimizer.step(learning_rate, model, gradients);

        progress.step += 1;
        progress.examples += batch.examples;
        progress.seconds = earlier + began.elapsed().as_secs_f64();
        let report = StepReport {
            step: progress.step,
            steps: config.steps,
            loss: value,
            accuracy: share_right(&batch, &said),
            learning_rate,
            gradient_norm,
            examples: progress.examples,
            elapsed: began.elapsed(),
        };
        let flow = observer.on_step(&report);
        let last = progress.step == config.steps;
        if config.evaluate_every > 0 && (progress.step.is_multiple_of(config.evaluate_every) || last) {
            let point = evaluate(&model, task, config, &progress, value);
            observer.on_evaluation(&point);
            progress.curve.push(point);
        }
        let stop = flow == ControlFlow::Break(());
        // After the first step too: a disk without room is known before hours are spent.
        let due = stop || last || progress.step == 1 || progress.step.is_multiple_of(config.save_every);
        if let Some(folder) = folder.as_ref().filter(|_| due) {
            folder.save(&model, &optimizer, &progress)?;
        }
        if stop {
            interrupted = true;
            break;
        }
    }
    let Progress { step, examples, seconds, curve } = progress;
    Ok(Outcome { model, steps: step, interrupted, examples, seconds, curve })
}

/// Known before anything is trained.
fn check_fits<M: SequenceMixer>(
    model: &LanguageModel<M>,
    task: &(impl Task + ?Sized),
    context_len: usize,
) -> Result<()> {
    let (name, longest, tokens, vocab_size) =
        (task.name(), task.longest(), task.vocab_size(), model.vocab_size());
    if longest > context_len {
        return Err(Error::Config(format!(
            "training: an example of {name} has up to {longest} tokens, context_len is {context_len}"
        )));
    }
    if tokens > vocab_size {
        return Err(Error::Config(format!(
            "training: {name} has {tokens} tokens, the model's vocab_size is {vocab_size}"
        )));
    }
    Ok(())
}

/// The batch of a step: of its own stream of the seed's generator, so that a run resumes without its history.
fn training_batch(task: &(impl Task + ?Sized), config: &TrainingConfig, step: usize) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(step as u64);
    Batch::training(task, config.packing, config.batch_size, config.context_len, &mut rng)
}

fn share_right(batch: &Batch, said: &[u32]) -> f64 {
    let scored =
        batch.target_tokens().into_iter().zip(said).zip(batch.scored()).filter(|(_, scored)| *scored);
    let (right, all) = scored
        .fold((0, 0), |(right, all), ((token, said), _)| (right + usize::from(token == *said), all + 1));
    right as f64 / f64::from(all.max(1))
}

fn evaluate<M: SequenceMixer>(
    model: &LanguageModel<M>,
    task: &(impl Task + ?Sized),
    config: &TrainingConfig,
    progress: &Progress,
    loss: f64,
) -> CurvePoint {
    let length = *task.lengths().end();
    // Other strings than those of training, and other ones at every evaluation.
    let seed = !config.seed ^ progress.step as u64;
    let found = accuracy(&model.valid(), task, length, config.evaluation_strings, seed);
    CurvePoint {
        step: progress.step,
        examples: progress.examples,
        loss,
        string_accuracy: found.string,
        char_accuracy: found.char,
    }
}
