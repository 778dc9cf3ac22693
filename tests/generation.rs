//! Generation through the public API: greedy is what repeated whole passes say, rows do not see each other, and so on.
#![recursion_limit = "256"]

#[path = "ops/on_host.rs"]
mod on_host;

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use burn_sequence::generation::{Decoder, Finish, GenerateOptions, Generated, Sampler};
use burn_sequence::layers::{
    AttentionConfig, DeltaNetConfig, GatedDeltaNetConfig, LinearAttentionConfig, Mamba2Config, MambaConfig,
    MixerConfig, MixerList, RetentionConfig,
};
use burn_sequence::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, Head, HiddenWidth, LanguageModel, LanguageModelConfig,
};

const VOCAB_SIZE: usize = 23;

/// Tests run side by side, and the device has one generator.
static DRAWING: Mutex<()> = Mutex::new(());

/// A model whose logits are far apart, so that rounding decides nothing.
fn model(mixers: impl IntoIterator<Item = MixerConfig>) -> LanguageModel {
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::default();
    device.seed(7);
    let mut backbone = BackboneConfig::<MixerConfig>::new(16);
    for mixer in mixers {
        backbone = backbone.with_layer(BlockConfig::new(mixer));
    }
    let mut model = LanguageModelConfig::new(VOCAB_SIZE, backbone).init(&device);
    model.embedding.weight = model.embedding.weight.map(|weight| weight * 50.0);
    model.head = model.head.map(|mut head| {
        head.weight = head.weight.map(|weight| weight * 50.0);
        head
    });
    model
}

fn hybrid() -> LanguageModel {
    model([
        AttentionConfig::new(16).with_n_heads(2).into(),
        MambaConfig::new(16).with_d_state(4).into(),
        Mamba2Config::new(16).with_d_state(8).with_head_dim(8).into(),
    ])
}

/// Every kind of mixer, and attention under a window.
fn every_mixer() -> Vec<MixerConfig> {
    let mut mixers = MixerConfig::defaults(16);
    for mixer in &mut mixers {
        match mixer {
            MixerConfig::Attention(config) => *config = AttentionConfig::new(16).with_n_heads(2),
            MixerConfig::LinearAttention(config) => *config = LinearAttentionConfig::new(16).with_n_heads(2),
            MixerConfig::Retention(config) => *config = RetentionConfig::new(16).with_n_heads(2),
            MixerConfig::DeltaNet(config) => *config = DeltaNetConfig::new(16).with_n_heads(2),
            MixerConfig::GatedDeltaNet(config) => *config = GatedDeltaNetConfig::new(16).with_n_heads(2),
            MixerConfig::Parallel(config) => {
                let attention = AttentionConfig::new(16).with_n_heads(2);
                config.branches = vec![attention.into(), MambaConfig::new(16).into()];
            }
            MixerConfig::Mamba(_)
            | MixerConfig::Mamba2(_)
            | MixerConfig::Gla(_)
            | MixerConfig::RgLru(_)
            | MixerConfig::MinGru(_)
            | MixerConfig::S4d(_)
            | MixerConfig::Lstm(_) => {}
        }
    }
    mixers.push(AttentionConfig::new(16).with_n_heads(2).with_window(Some(4)).into());
    mixers
}

fn prompts() -> Vec<Vec<u32>> {
    vec![vec![1, 2, 3, 4, 5, 6, 7], vec![8], vec![9, 10, 11]]
}

fn hot() -> GenerateOptions {
    GenerateOptions::default().with_temperature(1.0).with_max_tokens(12)
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions::default().with_max_tokens(max_tokens)
}

fn read(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter().collect()
}

/// The logits after the last of these tokens, by one pass over all of them.
fn whole_pass(model: &LanguageModel, tokens: &[u32]) -> Vec<f32> {
    let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), &Device::default());
    let (logits, _) = model.forward(ids, None, None);
    read(logits.narrow(1, tokens.len() - 1, 1).squeeze_dim(1))
}

fn argmax(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

fn tokens(generated: &[Generated]) -> Vec<Vec<u32>> {
    generated.iter().map(|row| row.tokens.clone()).collect()
}

#[test]
fn greedy_is_the_argmax_of_whole_passes() {
    let model = hybrid();
    for (prompt, generated) in prompts().into_iter().zip(model.generate(&prompts(), &greedy(12)).unwrap()) {
        let mut text = prompt;
        for &token in &generated.tokens {
            assert_eq!(token, argmax(&whole_pass(&model, &text)), "after {text:?}");
            text.push(token);
        }
        assert_eq!((generated.tokens.len(), generated.finish), (12, Finish::Length));
    }
}

#[test]
fn the_test_model_says_different_things() {
    let generated = hybrid().generate(&prompts(), &greedy(12)).unwrap();
    let kinds: std::collections::BTreeSet<u32> = tokens(&generated).concat().into_iter().collect();
    assert!(kinds.len() >= 4, "{generated:?}");
}

#[test]
fn rows_of_a_batch_are_as_alone() {
    for mixer in every_mixer() {
        let model = model([mixer.clone(), mixer.clone()]);
        let together = model.generate(&prompts(), &greedy(10)).unwrap();
        for (prompt, row) in prompts().into_iter().zip(&together) {
            let alone = model.generate(std::slice::from_ref(&prompt), &greedy(10)).unwrap();
            assert_eq!(alone[0], *row, "{mixer:?}, prompt {prompt:?}");
        }
    }
}

#[test]
fn chance_of_a_row_does_not_depend_on_the_others() {
    let model = hybrid();
    let others = |other: Vec<u32>| {
        let prompts = vec![vec![1, 2, 3], other, vec![5, 6]];
        model.generate(&prompts, &hot()).unwrap()
    };
    let (one, two) = (others(vec![4; 9]), others(vec![12]));
    assert_eq!((&one[0], &one[2]), (&two[0], &two[2]));
    assert_ne!(one[1], two[1]);
}

#[test]
fn equal_prompts_in_other_rows_go_other_ways() {
    let generated = hybrid().generate(&[vec![1, 2], vec![1, 2]], &hot().with_temperature(3.0)).unwrap();
    assert_ne!(generated[0], generated[1]);
}

#[test]
fn the_seed_decides() {
    let model = hybrid();
    let with_seed = |seed: u64| tokens(&model.generate(&prompts(), &hot().with_seed(seed)).unwrap());
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn top_k_of_one_is_greedy() {
    let model = hybrid();
    let one = model.generate(&prompts(), &hot().with_top_k(1)).unwrap();
    assert_eq!(one, model.generate(&prompts(), &greedy(12)).unwrap());
    assert_ne!(one, model.generate(&prompts(), &hot()).unwrap());
}

#[test]
fn stop_tokens_end_a_row_and_are_left_out() {
    let model = hybrid();
    let free = model.generate(&prompts(), &greedy(12)).unwrap();
    // The first token of row 0 from its third on that it has not said before.
    let (place, stop) = (2..12)
        .map(|place| (place, free[0].tokens[place]))
        .find(|(place, token)| !free[0].tokens[..*place].contains(token))
        .expect("the model does not repeat one token");
    let stopped = model.generate(&prompts(), &greedy(12).with_stop_tokens([stop])).unwrap();
    assert_eq!(stopped[0].tokens, free[0].tokens[..place]);
    assert_eq!(stopped[0].finish, Finish::Stop(stop));
    // The rows that go on are not disturbed by the one that has ended.
    for (stopped, free) in stopped.iter().zip(&free) {
        let len = free.tokens.iter().position(|&token| token == stop).unwrap_or(12);
        assert_eq!(stopped.tokens, free.tokens[..len]);
    }
}

#[test]
fn repetition_penalty_counts_prompt_and_output() {
    // So strong that nothing comes twice while anything new is left.
    let options = greedy(15).with_repetition_penalty(1e9);
    let model = hybrid();
    let prompt = vec![1, 2, 3, 4, 5];
    let penalised = &model.generate(std::slice::from_ref(&prompt), &options).unwrap()[0].tokens;
    let mut all = [prompt.clone(), penalised.clone()].concat();
    let len = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), len, "{penalised:?}");
    let free = &model.generate(&[prompt], &greedy(15)).unwrap()[0].tokens;
    assert_ne!(free, penalised);
}

#[test]
fn every_token_is_reported_in_order_and_a_break_ends_its_row() {
    let model = hybrid();
    let free = model.generate(&prompts(), &greedy(6)).unwrap();
    let mut reported = vec![Vec::new(); 3];
    let broken = model.generate_with(&prompts(), &greedy(6), |row, token| {
        reported[row].push(token);
        if row == 1 && reported[1].len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let broken = broken.unwrap();
    assert_eq!(reported, tokens(&broken));
    assert_eq!((&broken[0], &broken[2]), (&free[0], &free[2]));
    assert_eq!(broken[1], Generated { tokens: free[1].tokens[..2].to_vec(), finish: Finish::Interrupted });
}

#[test]
fn breaking_everywhere_ends_at_once() {
    let mut calls = 0;
    let generated = hybrid().generate_with(&prompts(), &greedy(1_000_000), |_, _| {
        calls += 1;
        ControlFlow::Break(())
    });
    assert!(generated.unwrap().iter().all(|row| row.tokens.len() == 1 && row.finish == Finish::Interrupted));
    assert_eq!(calls, 3);
}

#[test]
fn nothing_to_do() {
    let model = hybrid();
    assert_eq!(model.generate(&[], &greedy(5)).unwrap(), []);
    let nothing = Generated { tokens: vec![], finish: Finish::Length };
    assert_eq!(model.generate(&prompts(), &greedy(0)).unwrap(), vec![nothing; 3]);
}

#[test]
fn errors_say_where() {
    let model = hybrid();
    let problem = |prompts: &[Vec<u32>], options: GenerateOptions| {
        model.generate(prompts, &options).unwrap_err().to_string()
    };
    assert_eq!(
        problem(&[vec![1], vec![]], greedy(5)),
        "row 1: the prompt is empty, expected at least one token"
    );
    assert_eq!(
        problem(&[vec![1], vec![2], vec![3, 23]], greedy(0)),
        "row 2: token 23 at position 1 is out of range: vocab_size is 23"
    );
    assert_eq!(
        problem(&[vec![1]], hot().with_temperature(-1.0)),
        "generation: temperature must be at least 0 and finite, got -1"
    );
    assert_eq!(
        problem(&[vec![1]], greedy(5).with_stop_tokens([3, 99])),
        "generation: stop_tokens: token 99 at position 1 is out of range: vocab_size is 23"
    );
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut model = hybrid();
    model.embedding.weight = model.embedding.weight.map(|weight| weight * f32::NAN);
    let problem = model.generate(&[vec![1]], &greedy(5)).unwrap_err().to_string();
    assert_eq!(problem, "row 0: the logit of token 0 is NaN, expected a number");
}

#[test]
fn a_decoder_gives_the_logits_of_whole_passes() {
    let model = hybrid();
    let mut decoder = Decoder::new(&model);
    let close = |actual: Tensor<2>, text: &[u32]| {
        for (actual, expected) in read(actual).into_iter().zip(whole_pass(&model, text)) {
            assert!((actual - expected).abs() < 1e-3, "after {text:?}: {actual}, expected {expected}");
        }
    };
    close(decoder.prefill(&[vec![1, 2, 3]]).unwrap(), &[1, 2, 3]);
    close(decoder.next(&[4]).unwrap(), &[1, 2, 3, 4]);
    close(decoder.prefill(&[vec![5, 6]]).unwrap(), &[1, 2, 3, 4, 5, 6]);
    close(decoder.next(&[7]).unwrap(), &[1, 2, 3, 4, 5, 6, 7]);
    // Without a prompt, and from a state that someone kept.
    let mut fresh = Decoder::new(&model);
    close(fresh.next(&[9]).unwrap(), &[9]);
    let mut resumed = Decoder::from_state(&model, fresh.state.unwrap());
    close(resumed.next(&[8]).unwrap(), &[9, 8]);
}

#[test]
fn forks_do_not_see_each_other() {
    for mixer in every_mixer() {
        let model = model([mixer.clone()]);
        let mut trunk = Decoder::new(&model);
        trunk.prefill(&[vec![1, 2, 3, 4, 5]]).unwrap();
        trunk.next(&[6]).unwrap();
        let go_on = |decoder: &mut Decoder, tokens: &[u32]| -> Vec<Vec<f32>> {
            tokens.iter().map(|&token| read(decoder.next(&[token]).unwrap())).collect()
        };
        let expected = go_on(&mut trunk.clone(), &[7, 8, 9]);
        // In turns, so that a shared buffer would show.
        let (mut left, mut right) = (trunk.clone(), trunk.clone());
        let mut found = Vec::new();
        for token in [7, 8, 9] {
            found.extend(go_on(&mut left, &[token]));
            go_on(&mut right, &[token + 10]);
        }
        assert_eq!(found, expected, "{mixer:?}");
        assert_ne!(go_on(&mut right, &[10]), go_on(&mut left, &[10]), "{mixer:?}");
    }
}

#[test]
fn a_loop_of_ones_own_is_generate() {
    let model = hybrid().valid();
    let options = hot().with_seed(3);
    let mut text = vec![1, 2, 3];
    let mut decoder = Decoder::new(&model);
    let mut sampler = Sampler::new(&options, 0).unwrap();
    let mut logits = decoder.prefill(std::slice::from_ref(&text)).unwrap();
    for _ in 0..options.max_tokens {
        let token = sampler.sample(&read(logits), &text).unwrap();
        text.push(token);
        logits = decoder.next(&[token]).unwrap();
    }
    assert_eq!(model.generate(&[vec![1, 2, 3]], &options).unwrap()[0].tokens, text[3..]);
}

#[test]
fn errors_of_a_decoder_name_the_row() {
    let model = hybrid();
    let mut decoder = Decoder::new(&model);
    let problem = decoder.next(&[1, 40]).unwrap_err().to_string();
    assert_eq!(problem, "row 1: token 40 is out of range: vocab_size is 23");
    let problem = decoder.prefill(&[vec![]]).unwrap_err().to_string();
    assert_eq!(problem, "row 0: the prompt is empty, expected at least one token");
}

/// Generation from a model in training keeps no graph and changes nothing.
#[cfg(feature = "autodiff")]
#[test]
fn a_model_in_training_generates_the_same() {
    let model = hybrid();
    let expected = model.generate(&prompts(), &greedy(5)).unwrap();
    assert_eq!(model.train().generate(&prompts(), &greedy(5)).unwrap(), expected);
}

#[test]
fn a_quantized_model_says_nearly_the_same_and_steps_as_it_passes() {
    if on_host::on_host() {
        says_nearly_the_same(LanguageModel::quantize, 0.1);
    }
}

#[test]
fn a_model_in_bf16_says_nearly_the_same_and_steps_as_it_passes() {
    if on_host::on_host() && Device::default().supports_dtype(DType::BF16) {
        says_nearly_the_same(LanguageModel::to_bf16, 0.02);
    }
}

fn says_nearly_the_same(narrow: impl Fn(LanguageModel) -> LanguageModel, tolerance: f64) {
    const WIDTH: usize = 64;
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::default();
    device.seed(3);
    let tokens = Tensor::<2, Int>::random([2, 12], Distribution::Uniform(0.0, WIDTH as f64), &device);
    let with_branches = |mixer: &MixerConfig| !matches!(mixer, MixerConfig::Parallel(_));
    let mixers = MixerConfig::defaults(WIDTH).into_iter().filter(with_branches);
    for (index, mixer) in mixers.enumerate() {
        let name = format!("{mixer:?}");
        let feed_forward = FeedForwardConfig::Mlp(HiddenWidth::default());
        let backbone = BackboneConfig::<MixerConfig>::new(WIDTH)
            .with_layer(BlockConfig::new(mixer).with_feed_forward(feed_forward));
        let head = [Head::Untied, Head::Tied][index % 2];
        let model = LanguageModelConfig::new(WIDTH, backbone).with_head(head).init(&device).valid();
        let (exact, _) = model.forward(tokens.clone(), None, None);
        let quantized = narrow(model);
        let (whole, _) = quantized.forward(tokens.clone(), None, None);
        let largest = |x: Tensor<3>| x.abs().max().into_scalar::<f64>();
        let (size, error) = (largest(exact.clone()), largest(exact - whole.clone()));
        assert!(error > 0.0 && error < tolerance * size, "{name}: off by {error:.1e} of {size:.1e}");
        let mut state = quantized.init_state(2, &device);
        for t in 0..12 {
            let (logits, next) = quantized.step(tokens.clone().narrow(1, t, 1).squeeze_dim(1), state);
            state = next;
            let off = largest(whole.clone().narrow(1, t, 1) - logits.unsqueeze_dim(1));
            assert!(off < 1e-4 * size, "{name}: token {t} is off by {off:.1e}");
        }
    }
}

#[test]
fn guessing_ahead_changes_nothing() {
    // Texts that repeat themselves, so that some guesses are right, and others wrong in the middle.
    let text = |period: usize| (0..24).map(|place| (place % period) as u32 + 3).collect::<Vec<u32>>();
    let prompts: Vec<Vec<u32>> = vec![text(3), text(7), vec![5], text(19)];
    for mixer in every_mixer() {
        let name = format!("{mixer:?}");
        let model = model([mixer.clone(), mixer]);
        let len = if on_host::on_host() { 20 } else { 6 };
        for options in [greedy(len), hot().with_max_tokens(len), greedy(len).with_stop_tokens([4, 9])] {
            let one_by_one = model.generate(&prompts, &options).unwrap();
            // A GPU in software takes minutes for all.
            let aheads: &[usize] = if on_host::on_host() { &[1, 3, 8, 100] } else { &[3] };
            for &ahead in aheads {
                let options = options.clone().with_speculate(ahead);
                assert_eq!(model.generate(&prompts, &options).unwrap(), one_by_one, "{name}, {ahead} ahead");
            }
        }
    }
}
