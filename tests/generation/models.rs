//! What the tests generate with and from.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_sequence::generation::{GenerateOptions, Generated};
use burn_sequence::layers::{
    AttentionConfig, DeltaNetConfig, GatedDeltaNetConfig, LinearAttentionConfig, Mamba2Config, MambaConfig,
    MixerConfig, MixerList, RetentionConfig,
};
use burn_sequence::models::{BackboneConfig, BlockConfig, LanguageModel, LanguageModelConfig};

const VOCAB_SIZE: usize = 23;

/// Tests run side by side, and the device has one generator.
pub static DRAWING: Mutex<()> = Mutex::new(());

/// A model whose logits are far apart, so that rounding decides nothing.
pub fn model(mixers: impl IntoIterator<Item = MixerConfig>) -> LanguageModel {
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

pub fn hybrid() -> LanguageModel {
    model([
        AttentionConfig::new(16).with_n_heads(2).into(),
        MambaConfig::new(16).with_d_state(4).into(),
        Mamba2Config::new(16).with_d_state(8).with_head_dim(8).into(),
    ])
}

/// Every kind of mixer, and attention under a window.
pub fn every_mixer() -> Vec<MixerConfig> {
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

pub fn prompts() -> Vec<Vec<u32>> {
    vec![vec![1, 2, 3, 4, 5, 6, 7], vec![8], vec![9, 10, 11]]
}

pub fn hot() -> GenerateOptions {
    GenerateOptions::default().with_temperature(1.0).with_max_tokens(12)
}

pub fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions::default().with_max_tokens(max_tokens)
}

pub fn read(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter().collect()
}

/// The logits after the last of these tokens, by one pass over all of them.
pub fn whole_pass(model: &LanguageModel, tokens: &[u32]) -> Vec<f32> {
    let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), &Device::default());
    let (logits, _) = model.forward(ids, None, None);
    read(logits.narrow(1, tokens.len() - 1, 1).squeeze_dim(1))
}

pub fn tokens(generated: &[Generated]) -> Vec<Vec<u32>> {
    generated.iter().map(|row| row.tokens.clone()).collect()
}
