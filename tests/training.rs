//! Training: it learns, resumes bit for bit, and says what is wrong.
#![recursion_limit = "256"]

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Mutex;

use burn::module::Module;
use burn::tensor::Device;
use burn_sequence::evaluation::{accuracy, accuracy_by_length, accuracy_of_each};
use burn_sequence::generation::GenerateOptions;
use burn_sequence::models::{LanguageModel, LanguageModelConfig};
use burn_sequence::tasks::{Copying, Example, Mqar, Packing, Task, vocabulary};
use burn_sequence::training::{Observer, Silent, StepReport, TrainingConfig, fit};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

const PATTERN: &str =
    "attention(n_heads=4, position=hard_alibi) + mlp, mamba2(d_state=8, head_dim=8, chunk_size=8)";

fn model() -> LanguageModel {
    model_of_seed(3)
}

fn model_of_seed(seed: u64) -> LanguageModel {
    draw(PATTERN, 16, seed)
}

fn draw(pattern: &str, d_model: usize, seed: u64) -> LanguageModel {
    // Tests run side by side, and the device has one generator.
    static INITIALISING: Mutex<()> = Mutex::new(());
    let _alone = INITIALISING.lock().unwrap();
    let device = Device::default();
    device.seed(seed);
    let config: LanguageModelConfig = LanguageModelConfig::parse(pattern, d_model, vocabulary::SIZE).unwrap();
    config.init(&device.autodiff())
}

fn config(steps: usize) -> TrainingConfig {
    TrainingConfig::new(steps).with_batch_size(4).with_context_len(24).with_warmup_steps(2).with_save_every(3)
}

fn task() -> Copying {
    Copying::new(2..=5)
}

/// The parameters, in order.
fn weights(model: &LanguageModel) -> Vec<u8> {
    model.valid().into_record().into_bytes().unwrap().to_vec()
}

fn numbers(model: &LanguageModel) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl burn::module::ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<burn::tensor::Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut numbers = Collect(Vec::new());
    model.valid().visit(&mut numbers);
    numbers.0
}

struct StopAt(usize);

impl Observer for StopAt {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if report.step == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn the_loss_falls() {
    struct Losses(Vec<f64>);
    impl Observer for Losses {
        fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
            self.0.push(report.loss);
            ControlFlow::Continue(())
        }
    }
    for packing in [Packing::Paper, Packing::Segments] {
        let mut losses = Losses(Vec::new());
        let config = config(40).with_learning_rate(1e-2).with_packing(packing);
        let outcome = fit(model(), &task(), &config, &mut losses).unwrap();
        assert_eq!((outcome.steps, losses.0.len()), (40, 40));
        let (first, last) = (losses.0[0], losses.0[39]);
        assert!(last < first - 0.2, "{packing}: {first} to {last}");
    }
}

/// Long before it would be drawn.
#[test]
fn what_does_not_fit_is_known_at_once() {
    let refused = |task: &dyn Task, config: &TrainingConfig| {
        fit(model(), task, config, &mut Silent).unwrap_err().to_string()
    };
    let long = Copying::new(1..=60);
    let found = refused(&long, &config(1).with_context_len(96));
    assert_eq!(found, "training: an example of copying has up to 123 tokens, context_len is 96");
    let found = refused(&Mqar::new(1..=4, 16, 64), &config(1));
    assert!(found.contains("mqar has 64 tokens, the model's vocab_size is"), "{found}");
}

#[test]
fn an_observer_that_ends_the_last_step_has_ended_the_run() {
    assert!(fit(model(), &task(), &config(3), &mut StopAt(3)).unwrap().interrupted);
    assert!(!fit(model(), &task(), &config(3), &mut StopAt(4)).unwrap().interrupted);
}

#[test]
fn a_resumed_run_is_an_uninterrupted_one() {
    let whole = fit(model(), &task(), &config(8).with_evaluate_every(2), &mut Silent).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let config = config(8).with_evaluate_every(2).with_folder(Some(folder.path().into()));
    let others = folder.path().join("model-best.bpk");
    std::fs::write(&others, "not the run's").unwrap();
    let part = fit(model(), &task(), &config, &mut StopAt(5)).unwrap();
    assert_eq!(part.steps, 5);
    // A model with other weights: all that counts is in the folder.
    let other = model_of_seed(99);
    let resumed = fit(other, &task(), &config, &mut Silent).unwrap();
    assert_eq!(resumed.steps, 8);
    assert_eq!(numbers(&whole.model), numbers(&resumed.model));
    assert_eq!(whole.curve, resumed.curve);
    assert_eq!(whole.examples, resumed.examples);
    assert_ne!(weights(&part.model), weights(&resumed.model));
    assert!(others.exists());
}

#[test]
fn a_run_folder_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |lr| config(2).with_learning_rate(lr).with_folder(Some(folder.path().into()));
    fit(model(), &task(), &settings(1e-3), &mut Silent).unwrap();
    let refused = |task: &dyn Task, lr| {
        let error = fit(model(), task, &settings(lr), &mut Silent).unwrap_err().to_string();
        assert!(error.contains("run.json") && error.contains("started with other settings"), "{error}");
    };
    refused(&task(), 2e-3);
    // Of the same name and lengths, but with other letters.
    refused(&task().with_alphabet(2), 1e-3);
    // Of the same parameters, which mean something else there.
    let other = draw(&PATTERN.replace("hard_alibi", "alibi"), 16, 3);
    let error = fit(other, &task(), &settings(1e-3), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("run.json") && error.contains("another architecture"), "{error}");
}

#[test]
fn a_folder_is_one_runs_at_a_time() {
    struct Second<'a>(&'a TrainingConfig);
    impl Observer for Second<'_> {
        fn on_step(&mut self, _: &StepReport) -> ControlFlow<()> {
            let error = fit(model(), &task(), self.0, &mut Silent).unwrap_err().to_string();
            assert!(error.contains("another run is training in this folder"), "{error}");
            ControlFlow::Continue(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(2).with_folder(Some(folder.path().into()));
    assert_eq!(fit(model(), &task(), &config, &mut Second(&config)).unwrap().steps, 2);
    fit(model(), &task(), &config, &mut Silent).unwrap();
}

/// What a folder asks of a model is about the task's first example that has an answer.
#[test]
fn a_folder_holds_runs_of_a_task_whose_first_example_asks_nothing() {
    struct Quiet(Copying, usize);
    impl Task for Quiet {
        fn name(&self) -> &str {
            "quiet"
        }
        fn vocab_size(&self) -> usize {
            self.0.vocab_size()
        }
        fn padding(&self) -> u32 {
            self.0.padding()
        }
        fn lengths(&self) -> RangeInclusive<usize> {
            self.0.lengths()
        }
        fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
            let mut example = self.0.example(length, rng);
            if example.tokens.len() == self.1 {
                example.targets.clear();
            }
            example
        }
    }
    let first = task().training_example(&mut ChaCha8Rng::seed_from_u64(0)).tokens.len();
    let quiet = Quiet(task(), first);
    assert!(quiet.training_example(&mut ChaCha8Rng::seed_from_u64(0)).targets.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let config = config(4).with_folder(Some(folder.path().into()));
    assert_eq!(fit(model(), &quiet, &config, &mut StopAt(2)).unwrap().steps, 2);
    let other = draw(&PATTERN.replace("hard_alibi", "alibi"), 16, 3);
    let error = fit(other, &quiet, &config, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("another architecture"), "{error}");
    assert_eq!(fit(model(), &quiet, &config, &mut Silent).unwrap().steps, 4);
}

/// Numbers with all their digits are read back as they were written.
#[test]
fn a_run_with_any_learning_rate_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        config(2).with_learning_rate(10_f64.powf(-10.0 / 3.0)).with_folder(Some(folder.path().into()));
    fit(model(), &task(), &settings, &mut Silent).unwrap();
    assert_eq!(fit(model(), &task(), &settings, &mut Silent).unwrap().steps, 2);
}

#[test]
fn damaged_run_files_are_errors_that_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(2).with_folder(Some(folder.path().into()));
    fit(model(), &task(), &config, &mut Silent).unwrap();
    for name in ["model-2.bpk", "optimizer-2.bpk", "run.json"] {
        let path = folder.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        for damaged in [&bytes[..bytes.len() / 2], &[]] {
            std::fs::write(&path, damaged).unwrap();
            let error = fit(model(), &task(), &config, &mut Silent).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        std::fs::write(&path, bytes).unwrap();
    }
    fit(model(), &task(), &config, &mut Silent).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_known_before_training() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = config(2).with_folder(Some(file.path().join("run")));
    let error = fit(model(), &task(), &config, &mut StopAt(1)).unwrap_err().to_string();
    assert!(error.contains(file.path().to_str().unwrap()), "{error}");
}

#[test]
fn a_folder_without_room_is_known_after_the_first_step() {
    struct Fill<'a>(&'a std::path::Path);
    impl Observer for Fill<'_> {
        fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
            // Where the parameters of the first step would go; a stand-in for a full disk.
            assert_eq!(report.step, 1);
            std::fs::create_dir(self.0.join("model-1.bpk")).unwrap();
            ControlFlow::Continue(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(2).with_folder(Some(folder.path().into()));
    let error = fit(model(), &task(), &config, &mut Fill(folder.path())).unwrap_err().to_string();
    assert!(error.contains("model-1.bpk"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_names_its_step() {
    let error =
        fit(model(), &task(), &config(50).with_learning_rate(1e30), &mut Silent).unwrap_err().to_string();
    assert!(error.starts_with("step ") && error.contains("with a lower learning rate"), "{error}");
}

#[test]
fn accuracy_is_that_of_greedy_decoding() {
    let trained = config(150).with_learning_rate(1e-2).with_batch_size(16);
    let model = fit(model(), &task(), &trained, &mut Silent).unwrap().model;
    let (strings, seed) = (1000, 11);
    let mut in_between = 0;
    for length in [2, 3, 5] {
        let mut examples = Vec::new();
        let keep = |example: &Example, _| examples.push(example.clone());
        let measured = accuracy_of_each(&model, &task(), length, strings, seed, keep);
        let prompts: Vec<Vec<u32>> =
            examples.iter().map(|example| example.tokens[..length + 2].to_vec()).collect();
        let said = model.generate(&prompts, &GenerateOptions::default().with_max_tokens(length)).unwrap();
        let said = examples.iter().zip(&said);
        let right = said.filter(|(e, said)| said.tokens == e.tokens[length + 2..2 * length + 2]).count();
        assert_eq!(measured.string, right as f64 / strings as f64, "{length} letters");
        assert!(measured.char >= measured.string);
        assert_eq!(accuracy_by_length(&model, &task(), &[length], strings, seed), [(length, measured)]);
        println!("{length} letters: {right} of {strings}");
        in_between += usize::from(right > 0 && right < strings);
    }
    assert!(in_between > 0, "a model in between tells more");
}

/// What narrower weights cost; with `--nocapture` the figures are printed.
#[test]
fn a_copier_of_narrow_weights_copies_as_well() {
    let pattern =
        "2*(attention(n_heads=4, position=hard_alibi(windows=[1, 2, 3])) + mlp), mamba2(head_dim=16)";
    let training = TrainingConfig::new(400).with_batch_size(16).with_context_len(48).with_learning_rate(3e-3);
    let task = Copying::new(2..=8);
    let model = fit(draw(pattern, 64, 0), &task, &training, &mut Silent).unwrap().model.valid();
    let mut narrow = vec![("8 bits", model.clone().quantize())];
    if model.device().supports_dtype(burn::tensor::DType::BF16) {
        narrow.push(("bf16", model.clone().to_bf16()));
    }
    for length in [4, 8] {
        let exact = accuracy(&model, &task, length, 512, 1);
        println!("length {length}, 32 bits: strings {:.3}, letters {:.3}", exact.string, exact.char);
        assert!(exact.char > 0.5, "{exact:?} has learned nothing to lose");
        for (name, model) in &narrow {
            let rounded = accuracy(model, &task, length, 512, 1);
            println!("length {length}, {name}: strings {:.3}, letters {:.3}", rounded.string, rounded.char);
            assert!((exact.char - rounded.char).abs() < 0.02, "{name}: {exact:?} became {rounded:?}");
        }
    }
}

#[test]
fn adamw_is_burns() {
    use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
    use burn_sequence::training::{AdamW, answer_loss};
    let batch = burn_sequence::tasks::Batch::training(
        &task(),
        Packing::Paper,
        4,
        24,
        &mut ChaCha8Rng::seed_from_u64(5),
    );
    let mut burns: ModuleOptimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.1).init();
    let mut ours: ModuleOptimizer = AdamW::new(0.1).into();
    // Both are given the gradients of one model: where an optimizer divides by a small number, it makes much of what gradients differ in by
    // rounding.
    let mut expected = model();
    let mut found = expected.clone();
    for step in 0..6 {
        let gradients =
            || GradientsParams::from_grads(answer_loss(&expected, &batch).0.backward(), &expected);
        let (rate, of_burns, of_ours) = (1e-2 / f64::from(step + 1), gradients(), gradients());
        expected = burns.step(rate, expected, of_burns);
        found = ours.step(rate, found, of_ours);
    }
    let (expected, found) = (numbers(&expected), numbers(&found));
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert!((expected - found).abs() < 1e-6, "number {index}: expected {expected}, got {found}");
    }
    assert_ne!(numbers(&model()), found);
}
