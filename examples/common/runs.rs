//! Trains and tests every model that the flags ask for, once for each seed.

use burn::module::Module;
use burn_sequence::evaluation::accuracy_by_length;
use burn_sequence::models::LanguageModelConfig;
use burn_sequence::tasks::Task;
use burn_sequence::training::{TrainingConfig, fit};
use burn_sequence::{Error, Result};

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
    let mut records = Records::<Record>::open(&options.out.join("results.jsonl"), options.resume)?;
    let mut curves = Records::<CurveRecord>::open(&options.out.join("curves.jsonl"), options.resume)?;
    for (contender, seed) in
        contenders.iter().flat_map(|contender| (0..options.seeds).map(move |seed| (contender, seed)))
    {
        let done = records.records.iter().any(|record| {
            (record.model.as_str(), record.seed, record.steps) == (&contender.name, seed, options.steps())
        });
        if done || interrupted() {
            continue;
        }
        if let Some((results, curve)) = run(experiment, task, options, contender, seed)? {
            curves.extend(curve)?;
            records.extend(results)?;
        }
    }
    Ok(records)
}

/// One run; `None` if it was interrupted, and so is not finished.
fn run(
    experiment: &str,
    task: &impl Task,
    options: &Options,
    contender: &Contender,
    seed: u64,
) -> Result<Option<(Vec<Record>, Vec<CurveRecord>)>> {
    let Contender { name, pattern, d_model } = contender;
    let config = <LanguageModelConfig>::parse(pattern, *d_model, task.vocab_size())?;
    let device = options.device()?;
    device.seed(seed);
    let model = config.init(&device.autodiff());
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
    let mut progress = Progress::new(&format!("{name} ({params}) #{seed}"), steps);
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
