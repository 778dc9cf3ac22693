//! Models in training, in eight bits, in half precision.

use std::sync::PoisonError;

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Int, Tensor};
use burn_sequence::layers::{MixerConfig, MixerList};
use burn_sequence::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, Head, HiddenWidth, LanguageModel, LanguageModelConfig,
};

use super::models::DRAWING;
#[cfg(feature = "autodiff")]
use super::models::{greedy, hybrid, prompts};

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
    says_nearly_the_same(LanguageModel::quantize, 0.1);
}

#[test]
fn a_model_in_bf16_says_nearly_the_same_and_steps_as_it_passes() {
    if Device::default().supports_dtype(DType::BF16) {
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
        let config = LanguageModelConfig::new(WIDTH, backbone).with_head(head);
        let model = config.init(&device).valid();
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
        let folder = tempfile::tempdir().unwrap();
        config.save_model(&quantized, folder.path()).unwrap();
        let (_, again) = LanguageModelConfig::<MixerConfig>::load_model(folder.path(), &device).unwrap();
        let (again, _) = again.forward(tokens.clone(), None, None);
        let off = largest(again - whole);
        assert!(off < 1e-4 * size, "{name}: saved and loaded it is off by {off:.1e}");
    }
}
