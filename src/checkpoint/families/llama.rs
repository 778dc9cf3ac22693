//! Llama, and what is built like it: SmolLM2, Mistral, dense Qwen2 and Qwen3.

use serde_json::json;

use super::Family;
use super::rope::{Names, rope};
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::checkpoint::table::{Form, Table};
use crate::layers::{AttentionConfig, QkNorm};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LanguageModelConfig, LayerConfig, NormConfig,
};
use crate::ops::Position;

pub(super) const FAMILY: Family = Family {
    name: "Llama",
    model_types: &["llama", "mistral", "qwen2", "qwen3"],
    config,
    table,
    head: "lm_head.weight",
    tied: ("tie_word_embeddings", false),
    buffers: &[".rotary_emb.inv_freq"],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_act", &[json!("silu")])?;
    settings.only("mlp_bias", &[json!(false)])?;
    let model_type: String = settings.required("model_type")?;
    let d_model = settings.size("hidden_size")?;
    let n_heads = settings.size("num_attention_heads")?;
    let n_kv_heads = match model_type.as_str() {
        "llama" => settings.size_or("num_key_value_heads", n_heads)?,
        _ => settings.size("num_key_value_heads")?,
    };
    let head_dim = match settings.optional::<usize>("head_dim")? {
        None if model_type == "qwen3" => Some(128),
        None => None,
        Some(head_dim) => Some(settings.area("head_dim", n_heads, head_dim)?),
    };
    let epsilon = settings.or("rms_norm_eps", 1e-6)?;
    let attention = AttentionConfig::new(d_model)
        .with_n_heads(n_heads)
        .with_n_kv_heads(Some(n_kv_heads))
        .with_head_dim(head_dim)
        .with_position(Position::Rope(rope(settings, Names { base: "rope_theta", part: None })?))
        .with_qk_norm((model_type == "qwen3").then_some(QkNorm::Head))
        .with_norm_epsilon(epsilon)
        .with_bias(settings.or("attention_bias", model_type == "qwen2")?)
        .with_out_bias((model_type == "qwen2").then_some(false));
    let feed_forward =
        FeedForwardConfig::Swiglu(HiddenWidth { d_hidden: Some(settings.size("intermediate_size")?) });
    let layer = |window: Option<usize>| {
        let block = BlockConfig::new(attention.clone().with_window(window));
        LayerConfig::Block(block.with_feed_forward(feed_forward.clone()))
    };
    let backbone = BackboneConfig {
        d_model,
        layers: windows(settings, &model_type)?.into_iter().map(layer).collect(),
        norm: NormConfig::Rms,
        norm_epsilon: epsilon,
    };
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone))
}

/// The window of every layer.
fn windows(settings: &Settings, model_type: &str) -> Result<Vec<Option<usize>>> {
    let layers = settings.layers("num_hidden_layers")?;
    let window: Option<usize> = match model_type {
        "qwen2" | "qwen3" if !settings.or("use_sliding_window", false)? => None,
        // Missing is the usual one, `null` is none.
        "mistral" | "qwen2" | "qwen3" if !settings.values().contains_key("sliding_window") => Some(4096),
        "mistral" | "qwen2" | "qwen3" => settings.optional("sliding_window")?,
        _ => None,
    };
    let types: Option<Vec<String>> = match model_type {
        "mistral" | "llama" => None,
        _ => settings.optional("layer_types")?,
    };
    let Some(types) = types else {
        let first = if model_type == "mistral" { 0 } else { settings.or("max_window_layers", 28)? };
        return Ok((0..layers).map(|layer| window.filter(|_| layer >= first)).collect());
    };
    if types.len() != layers {
        return Err(settings.wrong("layer_types", format!("{layers} names, one a layer")));
    }
    let slides = |name: String| match name.as_str() {
        "full_attention" => Ok(None),
        "sliding_attention" if window.is_some() => Ok(window),
        _ => Err(settings.wrong(
            "layer_types",
            "\"full_attention\", or \"sliding_attention\" with a \"sliding_window\" in use".into(),
        )),
    };
    types.into_iter().map(slides).collect()
}

fn table(config: &LanguageModelConfig) -> Table {
    let mut table = Table::default();
    table.whole("embedding.weight".into(), "model.embed_tokens.weight".into(), Form::Same);
    table.norm("backbone.norm.Rms", "model.norm");
    table.linear("head", "lm_head");
    for layer in 0..config.backbone.layers.len() {
        let ours = |name: &str| format!("backbone.blocks.{layer}.{name}");
        let theirs = |name: &str| format!("model.layers.{layer}.{name}");
        table.norm(&ours("mixer_norm.Rms"), &theirs("input_layernorm"));
        table.norm(&ours("feed_forward_norm.Rms"), &theirs("post_attention_layernorm"));
        attention_rows(&mut table, &ours("mixer.Attention"), &theirs("self_attn"));
        feed_forward_rows(&mut table, &ours("feed_forward.Swiglu"), &theirs("mlp"));
    }
    table
}

/// The parameters of attention between these names.
pub(super) fn attention_rows(table: &mut Table, ours: &str, theirs: &str) {
    for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        table.linear(&format!("{ours}.{name}"), &format!("{theirs}.{name}"));
    }
    for name in ["q_norm", "k_norm"] {
        table.norm(&format!("{ours}.{name}"), &format!("{theirs}.{name}"));
    }
}

/// The parameters of a SwiGLU between these names.
pub(super) fn feed_forward_rows(table: &mut Table, ours: &str, theirs: &str) {
    for name in ["gate_proj", "up_proj", "down_proj"] {
        table.linear(&format!("{ours}.{name}"), &format!("{theirs}.{name}"));
    }
}
