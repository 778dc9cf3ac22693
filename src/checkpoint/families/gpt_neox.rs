//! GPT-NeoX: Pythia.

use serde_json::json;

use super::Family;
use super::rope::{Names, Part, rope};
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::checkpoint::table::{Form, Rows, Table};
use crate::layers::{AttentionConfig, MixerConfig};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LanguageModelConfig, LayerConfig,
    NormConfig, Residual,
};
use crate::ops::Position;

pub(super) const FAMILY: Family = Family {
    name: "GPT-NeoX",
    model_types: &["gpt_neox"],
    config,
    table,
    head: "embed_out.weight",
    tied: ("tie_word_embeddings", false),
    buffers: &[".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_act", &[json!("gelu")])?;
    let d_model = settings.size("hidden_size")?;
    let names =
        Names { base: "rotary_emb_base", part: Some(Part { key: Some("rotary_pct"), default: 0.25 }) };
    let attention = AttentionConfig::new(d_model)
        .with_n_heads(settings.size("num_attention_heads")?)
        .with_position(Position::Rope(rope(settings, names)?))
        .with_bias(settings.or("attention_bias", true)?);
    let parallel = settings.or("use_parallel_residual", true)?;
    let block = BlockConfig::new(attention)
        .with_feed_forward(FeedForwardConfig::Mlp(HiddenWidth {
            d_hidden: Some(settings.size("intermediate_size")?),
        }))
        .with_residual(if parallel { Residual::Parallel } else { Residual::Sequential });
    let backbone = BackboneConfig {
        d_model,
        layers: vec![LayerConfig::Block(block); settings.layers("num_hidden_layers")?],
        norm: NormConfig::Layer,
        norm_epsilon: settings.or("layer_norm_eps", 1e-5)?,
    };
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone))
}

fn table(config: &LanguageModelConfig) -> Table {
    let mut table = Table::default();
    table.whole("embedding.weight".into(), "gpt_neox.embed_in.weight".into(), Form::Same);
    table.norm("backbone.norm.Layer", "gpt_neox.final_layer_norm");
    table.linear("head", "embed_out");
    for (layer, block) in config.backbone.layers.iter().enumerate() {
        let ours = |name: &str| format!("backbone.blocks.{layer}.{name}");
        let theirs = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
        table.norm(&ours("mixer_norm.Layer"), &theirs("input_layernorm"));
        table.norm(&ours("feed_forward_norm.Layer"), &theirs("post_attention_layernorm"));
        // The rows of every head: its query, its key, its value.
        if let LayerConfig::Block(BlockConfig { mixer: MixerConfig::Attention(attention), .. }) = block {
            let (len, groups) = (attention.head_dim(), attention.n_heads);
            for (place, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
                let rows = Rows { group: 3 * len, from: place * len, len, groups };
                table.linear_rows(
                    &ours(&format!("mixer.Attention.{name}")),
                    &[(theirs("attention.query_key_value"), rows)],
                );
            }
        }
        table.linear(&ours("mixer.Attention.o_proj"), &theirs("attention.dense"));
        table.linear(&ours("feed_forward.Mlp.up_proj"), &theirs("mlp.dense_h_to_4h"));
        table.linear(&ours("feed_forward.Mlp.down_proj"), &theirs("mlp.dense_4h_to_h"));
    }
    table
}
