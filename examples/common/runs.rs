//! Trains and asks every model that the flags ask for: arm after arm, at every learning rate, and at the best once for each
//! seed.

use std::fs::DirEntry;
use std::hash::Hasher;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn_sequence::layers::StateGrowth;
use burn_sequence::models::{LanguageModel, LanguageModelConfig};
use burn_sequence::tasks::fingerprint;
use burn_sequence::training::{CurvePoint, TrainingConfig};
use burn_sequence::{Error, Result};
use fnv::FnvHasher;
use indicatif::{MultiProgress, ProgressDrawTarget};

use super::cli::Options;
use super::experiment::{Arm, Experiment};
use super::files;
use super::folder::{Files, Results, check_new, lock};
use super::models::Contender;
use super::origin::{self, Origin};
use super::progress::{Overall, Progress, interrupt, interrupted};
use super::questions::{About, ask, points, unanswered};
use super::records::{CurveRecord, Record, Run, best_rate};
use super::trainer::Trainer;

/// Runs what is not in the records of `--out` yet, and returns all of them; with `--plot` only returns them.
///
/// # Errors
///
/// Whatever flags, training or the folder say; flags before anything is written.
pub fn run(experiment: &Experiment, options: &Options, trainer: &dyn Trainer) -> Result<Results> {
    let out = options.out(experiment.name);
    if options.plot {
        let earlier = earlier(experiment, &out)?;
        if earlier.records.is_empty() {
            return Err(Error::Config(format!("{}: no records to draw", out.display())));
        }
        return Ok(earlier);
    }
    check(experiment, options)?;
    let _ours = lock(&out)?;
    // Whose the folder was may have added to it.
    let (earlier, first) = plan(experiment, options)?;
    let bars = MultiProgress::new();
    if trainer.shows_itself() {
        bars.set_draw_target(ProgressDrawTarget::hidden());
    }
    let session = Session {
        trainer,
        options,
        files: Mutex::new(Files::open(&out)?),
        overall: Arc::new(Overall::new(&bars)),
        out: &out,
        bars: &bars,
        earlier: &earlier.records,
    };
    session.work_through(&first, &later(experiment, options, &earlier)?)?;
    for round in &rounds(options)[1..] {
        let queue = queue(experiment, options, &session.results(), round)?;
        session.work_through(&queue, &[])?;
    }
    Ok(session.results())
}

/// Whether an experiment can be run so: known before anything is written.
///
/// # Errors
///
/// What flags or the folder's records say.
pub fn check(experiment: &Experiment, options: &Options) -> Result<()> {
    check_new(&options.out(experiment.name), options.resume)?;
    options.device()?;
    plan(experiment, options).map(drop)
}

/// What the folder of an experiment holds.
fn earlier(experiment: &Experiment, out: &Path) -> Result<Results> {
    let earlier = Files::read(out)?;
    for arm in &experiment.arms {
        let runs = earlier.records.iter().map(|record| &record.run).filter(|run| run.trained_on == arm.name);
        Run::check_lengths(runs, &arm.task.lengths(), out)?;
    }
    Ok(earlier)
}

/// What there is, and the runs of the first round.
fn plan<'a>(experiment: &'a Experiment, options: &Options) -> Result<(Results, Vec<(&'a Arm, Run)>)> {
    let out = options.out(experiment.name);
    let earlier = earlier(experiment, &out)?;
    let first = queue(experiment, options, &earlier, &rounds(options)[0])?;
    let recorded = earlier.records.iter().map(|record| &record.run).chain(&earlier.diverged);
    let begun = begun(&out);
    Run::check_alike(recorded.chain(&begun).chain(first.iter().map(|(_, run)| run)), &out)?;
    for arm in &experiment.arms {
        let own = earlier.records.iter().filter(|record| record.run.trained_on == arm.name);
        Record::check_task(own, &*arm.task, &out)?;
    }
    Ok((earlier, first))
}

/// Runs that have a state, finished or not.
fn begun(out: &Path) -> Vec<Run> {
    let states = std::fs::read_dir(out.join("state")).into_iter().flatten().flatten();
    let read =
        |state: DirEntry| serde_json::from_str(&std::fs::read_to_string(state.path().join(ASKED)).ok()?).ok();
    states.filter_map(read).collect()
}

/// What a state is of.
const ASKED: &str = "asked.json";

/// Runs that do not wait for one another.
struct Round {
    /// None: of every model the best so far.
    rates: Vec<f64>,
    seeds: Range<u64>,
}

/// Several rates are tried with seed 0, and the other seeds run at the best.
fn rounds(options: &Options) -> Vec<Round> {
    let rates = options.rates();
    match rates.len() {
        0 | 1 => vec![Round { rates, seeds: 0..options.seeds }],
        _ => vec![Round { rates, seeds: 0..1 }, Round { rates: Vec::new(), seeds: 1..options.seeds }],
    }
}

/// The steps of the runs after the first round, whose rates are not known yet.
fn later(experiment: &Experiment, options: &Options, earlier: &Results) -> Result<Vec<usize>> {
    let mut later = Vec::new();
    for Round { seeds, .. } in rounds(options).drain(1..) {
        let round = Round { rates: options.rates()[..1].into(), seeds };
        let is_run = |run: &Run| {
            let of = |run: &Run| (run.trained_on.clone(), run.model.clone(), run.seed);
            earlier.records.iter().any(|record| of(&record.run) == of(run))
        };
        let runs = queue(experiment, options, earlier, &round)?;
        later.extend(runs.iter().filter(|(_, run)| !is_run(run)).map(|(_, run)| run.steps));
    }
    Ok(later)
}

/// Of one run.
type Answers = (Vec<Record>, Vec<CurveRecord>);

/// What the runs of an experiment share.
struct Session<'a> {
    trainer: &'a dyn Trainer,
    options: &'a Options,
    files: Mutex<Files>,
    overall: Arc<Overall>,
    out: &'a Path,
    bars: &'a MultiProgress,
    /// What was answered before this session.
    earlier: &'a [Record],
}

impl Session<'_> {
    /// All records so far.
    fn results(&self) -> Results {
        let Files { records, curves, diverged } = &*self.files.lock().expect("no run panics while it writes");
        Results {
            records: records.records.clone(),
            curves: curves.records.clone(),
            diverged: diverged.records.clone(),
        }
    }

    /// Trains and asks all of `queue`, several at once; `later` are the steps of the runs after it.
    fn work_through(&self, queue: &[(&Arm, Run)], later: &[usize]) -> Result<()> {
        self.overall.expect(queue.iter().map(|(_, run)| run.steps).chain(later.iter().copied()));
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some((arm, run)) =
                queue.get(next.fetch_add(1, Ordering::SeqCst)).filter(|_| !interrupted())
            {
                self.one(arm, run)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.options.jobs()).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a run panicked"))
        })
    }

    fn one(&self, arm: &Arm, run: &Run) -> Result<()> {
        let kept = self.keep(run, self.train_and_ask(arm, run));
        if kept.is_err() {
            // Those beside it save and end.
            interrupt();
        }
        kept
    }

    /// Writes down what a run came to.
    fn keep(&self, run: &Run, outcome: Result<Option<Answers>>) -> Result<()> {
        let mut files = self.files.lock().expect("no run panics while it writes");
        match outcome {
            Ok(None) => return Ok(()),
            Ok(Some((found, curve))) => {
                if !files.hold(run, &curve) {
                    // In this order, so that records and curve are never of two models.
                    files.records.replace(|record| record.run == *run, [])?;
                    files.curves.replace(|point| point.run == *run, curve)?;
                }
                files.records.extend(found)?;
            }
            // Too high a rate for this model: the others go on.
            Err(error @ Error::NonFinite { .. }) => {
                eprintln!("{} at {:e}, seed {}: {error}", run.model, run.lr, run.seed);
                files.diverged.extend([run.clone()])?;
            }
            Err(error) => return Err(error),
        }
        self.overall.finished();
        Ok(())
    }

    /// One run; `None` if it was interrupted in training, and so is not finished.
    fn train_and_ask(&self, arm: &Arm, run: &Run) -> Result<Option<Answers>> {
        let (config, model) = model(run, arm.task.vocab_size(), self.options)?;
        let params = model.num_params();
        let own = origin::called(&self.options.device()?);
        let origin = Origin::here(self.trainer.devices().unwrap_or(own));
        let state = self.out.join("state").join(folder_name(run));
        let training = TrainingConfig::new(run.steps)
            .with_batch_size(run.batch_size)
            .with_context_len(run.context_len)
            .with_learning_rate(run.lr)
            .with_packing(self.options.packing.unwrap_or(arm.packing))
            .with_seed(run.seed)
            .with_evaluate_every((run.steps / self.options.either([16, 8])).max(1))
            .with_folder(Some(state.clone()));
        std::fs::create_dir_all(&state).map_err(|source| Error::Io { path: state.clone(), source })?;
        files::write(&state.join(ASKED), &serde_json::to_string(run).expect("plain data"))?;
        let mut progress = Progress::new(self.bars, Some(&self.overall), &title(run, params), run.steps);
        let outcome = self.trainer.train(model, &arm.task, &training, &mut progress)?;
        if outcome.steps < run.steps {
            return Ok(None);
        }
        config.save_model(&outcome.model, self.out.join("models").join(folder_name(run)))?;
        let point = |point: &CurvePoint| CurveRecord {
            run: run.clone(),
            step: point.step,
            examples: point.examples,
            loss: point.loss,
            strings: self.trainer.evaluation_strings(&training),
            string_accuracy: point.string_accuracy,
            char_accuracy: point.char_accuracy,
        };
        let curve: Vec<CurveRecord> = outcome.curve.iter().map(point).collect();
        let about =
            About { run, params, origin, task: fingerprint(&*arm.task), strings: self.options.strings() };
        let is_known = self.files.lock().expect("no run panics while it writes").hold(run, &curve);
        let earlier = if is_known { self.earlier } else { &[] };
        let found = ask(arm, &about, &outcome, earlier, &mut progress);
        progress.finish();
        Ok(Some((found, curve)))
    }
}

/// The runs of a round that have something left to answer.
fn queue<'a>(
    experiment: &'a Experiment,
    options: &Options,
    earlier: &Results,
    round: &Round,
) -> Result<Vec<(&'a Arm, Run)>> {
    let mut queue = Vec::new();
    for arm in options.arms(&experiment.arms)? {
        check_lengths(arm, options)?;
        let vocab_size = arm.task.vocab_size();
        for contender in Contender::chosen(&experiment.contenders, experiment.quick, options, vocab_size)? {
            let rates = match &round.rates[..] {
                [] => {
                    let is_own = |run: &Run| run.trained_on == arm.name && run.model == contender.name;
                    let own = earlier.records.iter().filter(|record| is_own(&record.run));
                    best_rate(own, arm.probes[0].metric).into_iter().collect()
                }
                rates => rates.to_vec(),
            };
            for lr in rates {
                for seed in round.seeds.clone() {
                    let run = describe(experiment, arm, &contender, options, lr, seed);
                    let left = unanswered(arm, &run, &earlier.records, || grows(&run, vocab_size, options))?;
                    if left && !earlier.diverged.contains(&run) {
                        queue.push((arm, run));
                    }
                }
            }
        }
    }
    Ok(queue)
}

/// Whether everything that will be asked can be, and everything trained on fits a row: known before anything is trained.
fn check_lengths(arm: &Arm, options: &Options) -> Result<()> {
    arm.task.check_lengths()?;
    points(arm).try_for_each(|(_, point)| point.task.check(point.length))?;
    let longest = arm.task.longest();
    match options.context_len.unwrap_or(arm.context_len) {
        context_len if context_len < longest => Err(Error::Config(format!(
            "{}: --context-len {context_len} is too short: strings have up to {longest} tokens",
            arm.name
        ))),
        _ => Ok(()),
    }
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
        packing: options.packing.unwrap_or(arm.packing).to_string(),
        batch_size: options.batch_size.unwrap_or(arm.batch_size),
        context_len: options.context_len.unwrap_or(arm.context_len),
        steps: options.steps.unwrap_or(options.either(arm.steps)),
        shortest_train_len: *arm.task.lengths().start(),
        train_len: *arm.task.lengths().end(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// Initialisation draws from a generator that all runs share.
static INITIALISING: Mutex<()> = Mutex::new(());

/// The model of a run, with weights of its seed.
fn model(run: &Run, vocab_size: usize, options: &Options) -> Result<(LanguageModelConfig, LanguageModel)> {
    let config = <LanguageModelConfig>::parse(&run.pattern, run.d_model, vocab_size)?;
    let device = options.device()?;
    let _alone = INITIALISING.lock().expect("initialisation does not panic");
    device.seed(run.seed);
    let model = config.init(&device.autodiff());
    Ok((config, model))
}

/// Whether the state of a run's model grows with what it reads.
fn grows(run: &Run, vocab_size: usize, options: &Options) -> Result<bool> {
    let (_, model) = model(run, vocab_size, options)?;
    Ok(model.backbone.state_growth() == StateGrowth::Linear)
}

fn title(run: &Run, params: usize) -> String {
    format!("{} {} ({params}) {:e} #{}", run.trained_on, run.model, run.lr, run.seed)
}

/// A name to read, and a number that tells runs of one name apart.
fn folder_name(run: &Run) -> PathBuf {
    let name = format!("{}-{:.40}-{:e}-{}", run.trained_on, run.model, run.lr, run.seed);
    let name = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect::<String>();
    let mut hasher = FnvHasher::default();
    hasher.write(serde_json::to_string(run).expect("plain data").as_bytes());
    format!("{name}-{:016x}", hasher.finish()).into()
}
