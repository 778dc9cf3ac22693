//! A custom hybrid: a mixer of your own beside the crate's, trained, saved, loaded and decoded.
//! `cargo run --release --example hybrid`
#![recursion_limit = "256"]

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, activation::sigmoid};
use burn_sequence::generation::GenerateOptions;
use burn_sequence::layers::*;
use burn_sequence::models::{LanguageModel, LanguageModelConfig};
use burn_sequence::ops::Segments;
use burn_sequence::tasks::{Copying, vocabulary};
use burn_sequence::training::{Silent, TrainingConfig, fit};

/// An exponential moving average of each channel: `h ← a ⊙ h + (1 − a) ⊙ x`, `a = σ(logit)`, `y = h`.
#[derive(Module, Debug)]
pub struct Ema {
    logit: Param<Tensor<1>>,
}

#[derive(Config, Debug, PartialEq)]
pub struct EmaConfig {
    d_model: usize,
}

impl SequenceMixer for Ema {
    type State = Tensor<2>;

    fn init_state(&self, batch: usize, device: &Device) -> Tensor<2> {
        Tensor::zeros([batch, self.logit.dims()[0]], device)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Tensor<2>>,
    ) -> (Tensor<3>, Tensor<2>) {
        forward_by_steps(self, x, segments, state)
    }

    fn step(&self, x: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        assert_eq!(x.dims(), state.dims(), "ema: the state is of another batch or width");
        let a = sigmoid(self.logit.val()).unsqueeze();
        let h = a.clone() * state + (-a + 1.0) * x;
        (h.clone(), h)
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}

impl BuildMixer for EmaConfig {
    type Mixer = Ema;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn build(&self, device: &Device) -> Ema {
        Ema { logit: Initializer::Uniform { min: -2.0, max: 2.0 }.init([self.d_model], device) }
    }
}

burn_sequence::mixers! {
    /// Mine, next to the crate's.
    pub enum MyMixer, MyMixerConfig, MyMixerState {
        Ema(EmaConfig, Ema, Tensor<2>),
        Attention(AttentionConfig, Attention, KvCache),
    }
}

fn main() -> burn_sequence::Result<()> {
    let device = Device::default();
    device.seed(0);
    let pattern = "attention(position=hard_alibi) + mlp, ema + mlp, attention(position=hard_alibi)";
    let config = LanguageModelConfig::<MyMixerConfig>::parse(pattern, 64, vocabulary::SIZE)?;

    let task = Copying::new(3..=6);
    let training = TrainingConfig::new(300).with_context_len(48).with_learning_rate(3e-3);
    let model: LanguageModel<MyMixer> = config.init(&device.clone().autodiff());
    let outcome = fit(model, &task, &training, &mut Silent)?;

    let folder = std::env::temp_dir().join("burn-sequence-hybrid");
    config.save_model(&outcome.model, &folder)?;
    let (_, model) = LanguageModelConfig::<MyMixerConfig>::load_model(&folder, &device)?;
    let prompts =
        ["$abc|", "$hybrid|"].map(|prompt| vocabulary::encode(prompt).expect("letters and markers"));
    let options = GenerateOptions::default().with_max_tokens(12).with_stop_tokens([vocabulary::EOS]);
    for (prompt, copy) in prompts.iter().zip(model.generate(&prompts, &options)?) {
        println!("{}{}", vocabulary::decode(prompt)?, vocabulary::decode(&copy.tokens)?);
    }
    Ok(())
}
