//! Trains and asks every model that the flags ask for: arm after arm, at every learning rate, once for each seed.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn_sequence::evaluation::{accuracy, accuracy_through};
use burn_sequence::layers::StateGrowth;
use burn_sequence::models::{LanguageModel, LanguageModelConfig};
use burn_sequence::theory::{Quantised, quantise};
use burn_sequence::training::{CurvePoint, Outcome, TrainingConfig, fit};
use burn_sequence::{Error, Result};
use indicatif::MultiProgress;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::cli::Options;
use super::experiment::{Arm, Experiment, Point};
use super::models::Contender;
use super::progress::{Overall, Progress, interrupted};
use super::records::{CurveRecord, Record, Records, Run};

/// The records of an experiment.
pub struct Results {
    pub records: Vec<Record>,
    pub curves: Vec<CurveRecord>,
}

/// Tokens that one point of a probe reads, at most: of long strings there are fewer.
const TOKENS_OF_A_POINT: usize = 1 << 22;

/// Runs what is not in the records of `--out` yet, and returns all of them.
///
/// # Errors
///
/// Whatever training or the folder says.
pub fn run(experiment: &Experiment, options: &Options) -> Result<Results> {
    let out = options.out(experiment.name);
    let keep = options.resume || options.plot;
    let records = Records::<Record>::open(&out.join("results.jsonl"), keep)?;
    let curves = Records::<CurveRecord>::open(&out.join("curves.jsonl"), keep)?;
    if options.plot {
        return Ok(Results { records: records.records, curves: curves.records });
    }
    options.device()?;
    let mut queue = Vec::new();
    for arm in options.arms(&experiment.arms)? {
        let vocab_size = arm.task.vocab_size();
        for contender in Contender::chosen(&experiment.contenders, experiment.quick, options, vocab_size)? {
            for &lr in &options.lr {
                for seed in 0..options.seeds {
                    let run = describe(experiment, arm, &contender, options, lr, seed);
                    if !records.records.iter().any(|record| record.run == run) {
                        queue.push((arm, run));
                    }
                }
            }
        }
    }

    let next = AtomicUsize::new(0);
    let results = Mutex::new((records, curves));
    let bars = MultiProgress::new();
    let overall = Overall::new(&bars, queue.len());
    let work = || -> Result<()> {
        while let Some((arm, run)) = queue.get(next.fetch_add(1, Ordering::SeqCst)).filter(|_| !interrupted())
        {
            if let Some((found, curve)) = train_and_ask(arm, run, &out, options, &bars)? {
                let mut results = results.lock().expect("no run panics while it writes");
                results.1.extend(curve)?;
                results.0.extend(found)?;
                overall.finished();
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a run panicked"))
    })?;
    let (records, curves) = results.into_inner().expect("no run panics while it writes");
    Ok(Results { records: records.records, curves: curves.records })
}

fn describe(
    experiment: &Experiment,
    arm: &Arm,
    contender: &Contender,
    options: &Options,
    lr: f64,
    seed: u64,
) -> Run {
    let Contender { name, pattern, d_model } = contender.clone();
    Run {
        experiment: experiment.name.into(),
        trained_on: arm.name.into(),
        model: name,
        pattern,
        d_model,
        seed,
        lr,
        packing: options.packing.to_string(),
        batch_size: options.batch_size,
        context_len: options.context_len.unwrap_or(arm.context_len),
        steps: options.steps.unwrap_or(options.either(arm.steps)),
        train_len: *arm.task.lengths().end(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// Initialisation draws from a generator that all runs share.
static INITIALISING: Mutex<()> = Mutex::new(());

/// One run; `None` if it was interrupted, and so is not finished.
fn train_and_ask(
    arm: &Arm,
    run: &Run,
    out: &std::path::Path,
    options: &Options,
    bars: &MultiProgress,
) -> Result<Option<(Vec<Record>, Vec<CurveRecord>)>> {
    let config = <LanguageModelConfig>::parse(&run.pattern, run.d_model, arm.task.vocab_size())?;
    let device = options.device()?;
    let model = {
        let _alone = INITIALISING.lock().expect("initialisation does not panic");
        device.seed(run.seed);
        config.init(&device.autodiff())
    };
    let params = model.num_params();
    let folder = out.join("state").join(state_folder(run));
    if !options.resume && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
    }
    let training = TrainingConfig::new(run.steps)
        .with_batch_size(run.batch_size)
        .with_context_len(run.context_len)
        .with_learning_rate(run.lr)
        .with_packing(options.packing)
        .with_seed(run.seed)
        .with_evaluate_every((run.steps / 16).max(1))
        .with_folder(Some(folder));
    let mut progress = Progress::new(bars, &title(run, params), run.steps);
    let outcome = fit(model, &*arm.task, &training, &mut progress)?;
    progress.finish();
    if outcome.steps < run.steps {
        return Ok(None);
    }
    let point = |point: &CurvePoint| CurveRecord {
        run: run.clone(),
        step: point.step,
        examples: point.examples,
        loss: point.loss,
        string_accuracy: point.string_accuracy,
        char_accuracy: point.char_accuracy,
    };
    let curve: Vec<CurveRecord> = outcome.curve.iter().map(point).collect();
    Ok(Some((ask(arm, run, &outcome, options.strings(), params), curve)))
}

/// The answers to every question of the arm.
fn ask(
    arm: &Arm,
    run: &Run,
    outcome: &Outcome<burn_sequence::layers::Mixer>,
    strings: usize,
    params: usize,
) -> Vec<Record> {
    let last = outcome.curve.last().expect("a run ends with an evaluation");
    let questions = arm.probes.iter().flat_map(|probe| probe.points.iter().map(move |point| (probe, point)));
    let answer = |(probe, point): (&super::experiment::Probe, &Point)| {
        let (tokens, before_answer) = extent(point, run.seed);
        let strings = strings.min(TOKENS_OF_A_POINT / tokens).max(1);
        let (model, task, length) = (&outcome.model, &*point.task, point.length);
        let mut state_bits = 8 * state_bytes(model, before_answer);
        let found = match point.bits {
            None => accuracy(model, task, length, strings, run.seed),
            Some(bits) => accuracy_through(model, task, length, strings, run.seed, |state| {
                let Quantised { state, row_bits } = quantise(state, bits);
                state_bits = row_bits;
                state
            }),
        };
        Record {
            run: run.clone(),
            params,
            examples: outcome.examples,
            tokens: run.steps * run.batch_size * run.context_len,
            valid_string_accuracy: last.string_accuracy,
            valid_char_accuracy: last.char_accuracy,
            seconds: outcome.seconds,
            probe: probe.name.into(),
            x: point.x,
            test_len: point.length,
            state_bytes: state_bits.div_ceil(8),
            strings: found.strings,
            string_accuracy: found.string,
            char_accuracy: found.char,
        }
    };
    questions.map(answer).collect()
}

/// Tokens of a string, and those read when its first answer is due.
fn extent(point: &Point, seed: u64) -> (usize, usize) {
    let example = point.task.example(point.length, &mut ChaCha8Rng::seed_from_u64(seed));
    (example.tokens.len(), example.targets[0].position + 1)
}

fn state_bytes(model: &LanguageModel, len: usize) -> usize {
    // Where the state does not grow, a token is enough.
    model.state_bytes(if model.backbone.state_growth() == StateGrowth::Constant { 1 } else { len })
}

fn title(run: &Run, params: usize) -> String {
    format!("{} {} ({params}) {:e} #{}", run.trained_on, run.model, run.lr, run.seed)
}

/// Of the run's name, as far as file names go.
fn state_folder(run: &Run) -> PathBuf {
    let name = format!("{}-{}-{}-{:e}-{}", run.trained_on, run.model, run.d_model, run.lr, run.seed);
    name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(120).collect::<String>().into()
}
