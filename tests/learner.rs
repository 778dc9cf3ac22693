//! burn-train trains these models: it goes on from its checkpoints, and shares the work among devices.
#![cfg(feature = "learner")]
#![recursion_limit = "256"]

use std::path::Path;
use std::sync::{Arc, Mutex};

use burn::data::dataloader::{DataLoader, DataLoaderBuilder, Progress};
use burn::data::dataset::{Dataset, InMemDataset};
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use burn::train::checkpoint::KeepLastNCheckpoints;
use burn::train::logger::InMemoryMetricLogger;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::renderer::CliMetricsRenderer;
use burn::train::{ExecutionStrategy, Learner, MultiDeviceOptim, SupervisedTraining, TrainStep};
use burn_sequence::learner::{RowBatcher, TaskLoader, TaskRows, Windows};
use burn_sequence::models::{LanguageModel, LanguageModelConfig};
use burn_sequence::tasks::{Batch, Copying, Packing, Row, vocabulary};
use burn_sequence::training::{answer_loss, optimizer};

const PATTERN: &str =
    "attention(n_heads=2, position=hard_alibi) + mlp, mamba2(d_state=8, head_dim=8, chunk_size=8)";

fn model() -> LanguageModel {
    // Tests run side by side, and the device has one generator.
    static INITIALISING: Mutex<()> = Mutex::new(());
    let _alone = INITIALISING.lock().unwrap();
    let device = Device::default();
    device.seed(5);
    let config: LanguageModelConfig = LanguageModelConfig::parse(PATTERN, 16, vocabulary::SIZE).unwrap();
    config.init(&device.autodiff())
}

/// Two examples a row.
fn rows(count: usize) -> Vec<Row> {
    let task = Arc::new(Copying::new(4..=4));
    let rows = TaskRows { task, packing: Packing::Segments, context_len: 24, rows: count, seed: 3 };
    (0..count).map(|index| rows.get(index).unwrap()).collect()
}

/// Trains on 16 rows to the end of epoch `to`, from the checkpoint of epoch `from`.
fn train(folder: &Path, from: Option<usize>, to: usize) -> LanguageModel {
    train_on(folder, from, to, rows(16), 4, None)
}

fn train_on(
    folder: &Path,
    from: Option<usize>,
    to: usize,
    seen: Vec<Row>,
    batch_size: usize,
    on: Option<ExecutionStrategy>,
) -> LanguageModel {
    let model = model();
    let optimizer = optimizer(&model, 0.1);
    let schedule = LinearLrSchedulerConfig::new(1e-2, 0.0, 12).init().unwrap();
    let loader =
        |rows| DataLoaderBuilder::new(RowBatcher).batch_size(batch_size).build(InMemDataset::new(rows));
    let mut training = SupervisedTraining::new(folder, loader(seen), loader(rows(4)))
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_default_checkpointers()
        .with_checkpointing_strategy(KeepLastNCheckpoints::new(4))
        .with_metric_logger(InMemoryMetricLogger::new())
        .with_application_logger(None)
        .renderer(Box::new(CliMetricsRenderer::new()))
        .num_epochs(to);
    if let Some(epoch) = from {
        training = training.checkpoint(epoch);
    }
    if let Some(strategy) = on {
        training = training.with_training_strategy(strategy.into());
    }
    let result = training.launch(Learner::new(model, optimizer, schedule));
    assert!(result.error.is_none(), "{:?}", result.error);
    result.model
}

fn numbers(model: &LanguageModel) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut numbers = Collect(Vec::new());
    model.valid().visit(&mut numbers);
    numbers.0
}

fn distance(a: &LanguageModel, b: &LanguageModel) -> f32 {
    let (a, b) = (numbers(a), numbers(b));
    assert!(a.iter().chain(&b).all(|number| number.is_finite()));
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_step_is_the_loss_of_this_crates_own_loop() {
    let model = model();
    let batch = Batch::from_rows(rows(4));
    let (loss, said) = answer_loss(&model, &batch);
    let output = TrainStep::step(&model, batch).item;
    let [ours, theirs] = [loss, output.loss].map(|loss| loss.inner().into_scalar::<f32>());
    assert_eq!(ours, theirs);
    let classes = output.output.inner().argmax(1).into_data().iter::<u32>().collect::<Vec<_>>();
    assert_eq!(said, classes);
}

#[test]
fn it_learns_and_goes_on_from_a_checkpoint_as_if_it_had_never_stopped() {
    let [whole, halves] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let loss = |model: &LanguageModel| {
        let batch = Batch::from_rows(rows(16));
        answer_loss(&model.valid(), &batch).0.into_scalar::<f32>()
    };
    let before = loss(&model());
    let uninterrupted = train(whole.path(), None, 3);
    assert!(loss(&uninterrupted) < 0.95 * before, "{before} to {}", loss(&uninterrupted));
    train(halves.path(), None, 1);
    let resumed = train(halves.path(), Some(1), 3);
    assert_eq!(numbers(&uninterrupted), numbers(&resumed));
}

/// Two devices have half of the rows each and add their gradients; one has the same rows in batches of twice the size. AdamW
/// does not mind the factor, but for rounding where gradients are next to nothing.
#[test]
fn devices_share_the_work() {
    let folder = || tempfile::tempdir().unwrap();
    let seen = rows(16);
    let halves = [&seen[..4], &seen[8..12], &seen[4..8], &seen[12..]].concat();
    let alone = train_on(folder().path(), None, 2, halves, 8, None);
    let moved = distance(&model(), &alone);
    let without_the_other = train_on(folder().path(), None, 2, seen[..8].to_vec(), 4, None);
    let apart = distance(&alone, &without_the_other);
    assert!(apart > 0.3 * moved, "one device's rows alone: {apart} of {moved}");
    for optimizer in [MultiDeviceOptim::OptimMainDevice, MultiDeviceOptim::OptimSharded] {
        let strategy = ExecutionStrategy::multi(vec![Device::default(), Device::default()], optimizer);
        let shared = train_on(folder().path(), None, 2, seen.clone(), 4, Some(strategy));
        let apart = distance(&alone, &shared);
        assert!(apart < 0.1 * moved, "{optimizer:?}: {apart} of {moved}");
    }
}

#[test]
fn every_epoch_of_a_task_has_rows_of_its_own() {
    let rows = TaskRows {
        task: Arc::new(Copying::new(4..=4)),
        packing: Packing::Segments,
        context_len: 24,
        rows: 5,
        seed: 3,
    };
    let stream = self::rows(15);
    let expected =
        |epoch: usize, from, to| Batch::from_rows(stream[5 * epoch + from..5 * epoch + to].to_vec());
    let batches = |loader: &dyn DataLoader<Batch>| loader.iter().map(Result::unwrap).collect::<Vec<_>>();

    let loader = TaskLoader::new(rows.clone(), 2);
    assert_eq!(loader.num_items(), 5);
    for epoch in 0..3 {
        let whole = [(0, 2), (2, 4), (4, 5)].map(|(from, to)| expected(epoch, from, to));
        assert_eq!(batches(&loader), whole, "epoch {epoch}");
    }
    let resumed = TaskLoader::new(rows, 2).from_epoch(2);
    let parts = [resumed.slice(0, 2), resumed.slice(2, 5).to_device(&Device::default())];
    assert_eq!(parts.each_ref().map(|part| part.num_items()), [2, 3]);
    assert_eq!(batches(&*parts[0]), [expected(2, 0, 2)]);
    assert_eq!(batches(&*parts[1]), [expected(2, 2, 4), expected(2, 4, 5)]);

    let mut items = resumed.iter();
    let read = |progress: Progress| (progress.items_processed, progress.items_total);
    assert_eq!(read(items.progress()), (0, 5));
    items.next();
    assert_eq!(read(items.progress()), (2, 5));
}

#[test]
fn windows_cut_a_text_without_gaps() {
    let text: Vec<u32> = (0..10).collect();
    let windows = Windows::new(&text, 3);
    let rows: Vec<_> = (0..windows.len()).map(|index| windows.get(index).unwrap()).collect();
    let tokens: Vec<&[u32]> = rows.iter().map(|row| &row.tokens[..]).collect();
    assert_eq!(tokens, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
    let due: Vec<u32> = rows.iter().flat_map(|row| row.targets.iter().map(|target| target.token)).collect();
    assert_eq!(due, text[1..]);
    assert_eq!(Windows::new(&text[..3], 3).len(), 0);
}
