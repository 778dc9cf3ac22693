//! RecurrentGemma: Griffin's recurrent blocks, and attention within a window after every second.

use burn::tensor::bf16;
use serde_json::json;

use super::rope::{Names, Part, rope};
use super::{Family, llama};
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::checkpoint::table::{Form, Table};
use crate::layers::{AttentionConfig, MixerConfig, RgLruConfig};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LanguageModelConfig, LayerConfig, NormConfig,
};
use crate::ops::Position;

pub(super) const FAMILY: Family = Family {
    name: "RecurrentGemma",
    model_types: &["recurrent_gemma"],
    config,
    table,
    head: "lm_head.weight",
    tied: ("tie_word_embeddings", true),
    buffers: &[".rotary_emb.inv_freq", "model.normalizer"],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_activation", &[json!("gelu_pytorch_tanh")])?;
    let d_model = settings.size("hidden_size")?;
    let layers = settings.layers("num_hidden_layers")?;
    let epsilon = settings.or("rms_norm_eps", 1e-6)?;
    let n_heads = settings.size("num_attention_heads")?;
    let names =
        Names { base: "rope_theta", part: Some(Part { key: Some("partial_rotary_factor"), default: 0.5 }) };
    let attention = AttentionConfig::new(d_model)
        .with_n_heads(n_heads)
        .with_n_kv_heads(Some(settings.size_or("num_key_value_heads", n_heads)?))
        .with_position(Position::Rope(rope(settings, names)?))
        .with_window(Some(settings.size_or("attention_window_size", 2048)?))
        .with_bias(settings.or("attention_bias", false)?)
        .with_out_bias(Some(true));
    let d_rnn = settings.area("lru_width", d_model.saturating_mul(layers), d_model)?;
    let recurrent = RgLruConfig::new(d_model)
        .with_d_rnn(Some(d_rnn))
        .with_n_heads(n_heads)
        .with_d_conv(settings.area("conv1d_width", d_rnn, 4)?)
        .with_gelu_tanh(true);
    // Of the gate and what it gates, together.
    let d_hidden = settings.size("intermediate_size")? / 2;
    let feed_forward = FeedForwardConfig::Geglu(HiddenWidth { d_hidden: Some(d_hidden) });
    let kinds: Vec<String> = (settings.optional("block_types")?)
        .unwrap_or_else(|| ["recurrent", "recurrent", "attention"].map(String::from).into());
    let layer = |kind: &String| {
        let mixer: MixerConfig = match kind.as_str() {
            "recurrent" => recurrent.clone().into(),
            "attention" => attention.clone().into(),
            _ => return Err(settings.wrong("block_types", "\"recurrent\" or \"attention\"".into())),
        };
        Ok(LayerConfig::Block(BlockConfig::new(mixer).with_feed_forward(feed_forward.clone())))
    };
    if kinds.is_empty() {
        return Err(settings.wrong("block_types", "at least one".into()));
    }
    let backbone = BackboneConfig {
        d_model,
        layers: kinds.iter().cycle().take(layers).map(layer).collect::<Result<_>>()?,
        norm: NormConfig::Rms,
        norm_epsilon: epsilon,
    };
    // Transformers keeps it in bf16.
    let scale = bf16::from_f64((d_model as f64).sqrt()).to_f64();
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone)
        .with_embedding_scale(scale)
        .with_logits_soft_cap(Some(settings.or("logits_soft_cap", 30.0)?)))
}

fn table(config: &LanguageModelConfig) -> Table {
    let mut table = Table::default();
    table.whole("embedding.weight".into(), "model.embed_tokens.weight".into(), Form::Same);
    table.whole("backbone.norm.Rms.gamma".into(), "model.final_norm.weight".into(), Form::LessOne);
    table.linear("head", "lm_head");
    for (index, layer) in config.backbone.layers.iter().enumerate() {
        let ours = |name: &str| format!("backbone.blocks.{index}.{name}");
        let theirs = |name: &str| format!("model.layers.{index}.{name}");
        for (norm, name) in [("mixer_norm", "temporal_pre_norm"), ("feed_forward_norm", "channel_pre_norm")] {
            table.whole(ours(&format!("{norm}.Rms.gamma")), theirs(&format!("{name}.weight")), Form::LessOne);
        }
        llama::attention_rows(&mut table, &ours("mixer.Attention"), &theirs("temporal_block"));
        llama::feed_forward_rows(&mut table, &ours("feed_forward.Geglu"), &theirs("mlp_block"));
        if let LayerConfig::Block(BlockConfig { mixer: MixerConfig::RgLru(recurrent), .. }) = layer {
            recurrent_rows(&mut table, &ours("mixer.RgLru"), &theirs("temporal_block"), recurrent.n_heads);
        }
    }
    table
}

fn recurrent_rows(table: &mut Table, ours: &str, theirs: &str, n_heads: usize) {
    for (name, linear) in [("x_proj", "linear_x"), ("y_proj", "linear_y"), ("out_proj", "linear_out")] {
        table.linear(&format!("{ours}.{name}"), &format!("{theirs}.{linear}"));
    }
    let heads = Form::Heads(n_heads);
    for (name, tensor, form) in [
        ("conv_weight", "conv_1d.weight", Form::Conv),
        ("conv_bias", "conv_1d.bias", Form::Same),
        ("recurrent_gate_weight", "rg_lru.recurrent_gate_weight", Form::Same),
        ("recurrent_gate_bias", "rg_lru.recurrent_gate_bias", heads),
        ("input_gate_weight", "rg_lru.input_gate_weight", Form::Same),
        ("input_gate_bias", "rg_lru.input_gate_bias", heads),
        ("lambda", "rg_lru.recurrent_param", Form::Same),
    ] {
        table.whole(format!("{ours}.{name}"), format!("{theirs}.{tensor}"), form);
    }
}
