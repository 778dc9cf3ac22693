//! Bamba: Mamba-2 layers, and attention in a few of them.

use serde_json::json;

use super::rope::{Names, Part, rope};
use super::{Family, llama, mamba, mamba2};
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::checkpoint::table::{Form, Table};
use crate::layers::{AttentionConfig, Mamba2Config, MixerConfig};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LanguageModelConfig, LayerConfig, NormConfig,
};
use crate::ops::Position;

pub(super) const FAMILY: Family = Family {
    name: "Bamba",
    model_types: &["bamba"],
    config,
    table,
    head: "lm_head.weight",
    tied: ("tie_word_embeddings", false),
    buffers: &[".rotary_emb.inv_freq"],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_act", &[json!("silu")])?;
    for (key, value) in [("mlp_bias", false), ("mamba_proj_bias", false), ("mamba_conv_bias", true)] {
        settings.only(key, &[json!(value)])?;
    }
    settings.only("time_step_limit", &mamba2::unlimited())?;
    let d_model = settings.size("hidden_size")?;
    let epsilon = settings.or("rms_norm_eps", 1e-5)?;

    let n_heads = settings.size("num_attention_heads")?;
    let names = Names { base: "rope_theta", part: Some(Part { key: None, default: 0.5 }) };
    let attention = AttentionConfig::new(d_model)
        .with_n_heads(n_heads)
        .with_n_kv_heads(Some(settings.size("num_key_value_heads")?))
        .with_position(Position::Rope(rope(settings, names)?))
        .with_bias(settings.or("attention_bias", false)?);

    let layers = settings.layers("num_hidden_layers")?;
    let expand = settings.area("mamba_expand", d_model.saturating_mul(layers), 2)?;
    let d_inner = expand * d_model;
    let heads = settings.size("mamba_n_heads")?;
    let head_dim = match settings.values().get("mamba_d_head") {
        Some(head_dim) if head_dim == "auto" => d_inner / heads,
        _ => settings.size_or("mamba_d_head", d_inner / heads)?,
    };
    let mamba2 = Mamba2Config::new(d_model)
        .with_expand(expand)
        .with_head_dim(head_dim)
        .with_d_state(settings.area("mamba_d_state", d_inner, 256)?)
        .with_d_conv(settings.area("mamba_d_conv", d_inner, 4)?)
        .with_n_groups(settings.size_or("mamba_n_groups", 1)?)
        .with_norm_epsilon(epsilon);
    settings.only("mamba_n_heads", &[json!(mamba2.n_heads())])?;

    let attends: Vec<usize> = settings.optional("attn_layer_indices")?.unwrap_or_default();
    let feed_forward =
        FeedForwardConfig::Swiglu(HiddenWidth { d_hidden: Some(settings.size("intermediate_size")?) });
    let layer = |layer: usize| {
        let mixer: MixerConfig =
            if attends.contains(&layer) { attention.clone().into() } else { mamba2.clone().into() };
        LayerConfig::Block(BlockConfig::new(mixer).with_feed_forward(feed_forward.clone()))
    };
    let backbone = BackboneConfig {
        d_model,
        layers: (0..layers).map(layer).collect(),
        norm: NormConfig::Rms,
        norm_epsilon: epsilon,
    };
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone))
}

fn table(config: &LanguageModelConfig) -> Table {
    let mut table = Table::default();
    table.whole("embedding.weight".into(), "model.embed_tokens.weight".into(), Form::Same);
    table.norm("backbone.norm.Rms", "model.final_layernorm");
    table.linear("head", "lm_head");
    for layer in 0..config.backbone.layers.len() {
        let ours = |name: &str| format!("backbone.blocks.{layer}.{name}");
        let theirs = |name: &str| format!("model.layers.{layer}.{name}");
        table.norm(&ours("mixer_norm.Rms"), &theirs("input_layernorm"));
        table.norm(&ours("feed_forward_norm.Rms"), &theirs("pre_ff_layernorm"));
        llama::attention_rows(&mut table, &ours("mixer.Attention"), &theirs("self_attn"));
        mamba::mixer_rows(&mut table, &ours("mixer.Mamba2"), &theirs("mamba"));
        llama::feed_forward_rows(&mut table, &ours("feed_forward.Swiglu"), &theirs("feed_forward"));
    }
    table
}
