//! Trains and tests every model that the flags ask for, once for each seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn_sequence::evaluation::accuracy_by_length;
use burn_sequence::models::LanguageModelConfig;
use burn_sequence::tasks::Task;
use burn_sequence::training::{TrainingConfig, fit};
use burn_sequence::{Error, Result};

use indicatif::MultiProgress;

use super::cli::Options;
use super::models::Contender;
use super::progress::{Progress, interrupted};
use super::records::{CurveRecord, Record, Records};

/// Runs `task` over models and seeds; records what is finished in `--out`.
///
/// # Errors
///
/// Whatever training or the folder says.
pub fn train_and_test(experiment: &str, task: &impl Task, options: &Options) -> Result<Records<Record>> {
    let contenders = Contender::chosen(options, task.vocab_size())?;
    options.device()?;
    let records = Records::<Record>::open(&options.out.join("results.jsonl"), options.resume)?;
    let curves = Records::<CurveRecord>::open(&options.out.join("curves.jsonl"), options.resume)?;
    let done = |name: &str, seed| {
        let steps = options.steps();
        records
            .records
            .iter()
            .any(|record| (&*record.model, record.seed, record.steps) == (name, seed, steps))
    };
    let all = contenders.iter().flat_map(|contender| (0..options.seeds).map(move |seed| (contender, seed)));
    let queue: Vec<_> = all.filter(|(contender, seed)| !done(&contender.name, *seed)).collect();

    let next = AtomicUsize::new(0);
    let results = Mutex::new((records, curves));
    let bars = MultiProgress::new();
    let work = || -> Result<()> {
        while let Some((contender, seed)) =
            queue.get(next.fetch_add(1, Ordering::SeqCst)).filter(|_| !interrupted())
        {
            if let Some((found, curve)) = run(experiment, task, options, &bars, contender, *seed)? {
                let mut results = results.lock().expect("no run panics while it writes");
                results.1.extend(curve)?;
                results.0.extend(found)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a run panicked"))
    })?;
    Ok(results.into_inner().expect("no run panics while it writes").0)
}

/// Initialisation draws from a generator that all runs share.
static INITIALISING: Mutex<()> = Mutex::new(());

/// One run; `None` if it was interrupted, and so is not finished.
fn run(
    experiment: &str,
    task: &impl Task,
    options: &Options,
    bars: &MultiProgress,
    contender: &Contender,
    seed: u64,
) -> Result<Option<(Vec<Record>, Vec<CurveRecord>)>> {
    let Contender { name, pattern, d_model } = contender;
    let config = <LanguageModelConfig>::parse(pattern, *d_model, task.vocab_size())?;
    let device = options.device()?;
    let model = {
        let _alone = INITIALISING.lock().expect("initialisation does not panic");
        device.seed(seed);
        config.init(&device.autodiff())
    };
    let params = model.num_params();

    let folder: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(60).collect();
    let folder = options.out.join("state").join(format!("{folder}-{seed}"));
    if !options.resume && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
    }
    let steps = options.steps();
    let training = TrainingConfig::new(steps)
        .with_batch_size(options.batch_size)
        .with_context_len(options.context_len)
        .with_learning_rate(options.lr)
        .with_packing(options.packing)
        .with_seed(seed)
        .with_evaluate_every((steps / 16).max(1))
        .with_folder(Some(folder));
    let mut progress = Progress::new(bars, &format!("{name} ({params}) #{seed}"), steps);
    let outcome = fit(model, task, &training, &mut progress)?;
    progress.finish();
    if outcome.steps < steps {
        return Ok(None);
    }

    let test = accuracy_by_length(&outcome.model, task, &options.test_lengths(), options.strings(), seed);
    let record = |(test_len, accuracy): (usize, burn_sequence::evaluation::Accuracy)| Record {
        experiment: experiment.into(),
        model: name.clone(),
        pattern: config.pattern(),
        d_model: *d_model,
        params,
        state_bytes: outcome.model.state_bytes(test_len + 2),
        seed,
        lr: options.lr,
        packing: options.packing.to_string(),
        steps,
        examples: outcome.examples,
        train_len: *options.train_len.end(),
        test_len,
        strings: accuracy.strings,
        string_accuracy: accuracy.string,
        char_accuracy: accuracy.char,
        seconds: outcome.seconds,
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let point = |point: &burn_sequence::training::CurvePoint| CurveRecord {
        experiment: experiment.into(),
        model: name.clone(),
        seed,
        step: point.step,
        examples: point.examples,
        loss: point.loss,
        string_accuracy: point.string_accuracy,
        char_accuracy: point.char_accuracy,
    };
    Ok(Some((test.into_iter().map(record).collect(), outcome.curve.iter().map(point).collect())))
}
