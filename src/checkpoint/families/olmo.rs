//! OLMo 2: attention whose queries, keys and outputs are normalised; and OLMo Hybrid, which has Gated DeltaNet in most of
//! its layers.

use serde_json::json;

use super::rope::{Names, has_no_base, rope};
use super::{Family, llama};
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::checkpoint::table::{Form, Rows, Table};
use crate::layers::{AttentionConfig, GatedDeltaNetConfig, MixerConfig, QkNorm};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LanguageModelConfig, LayerConfig,
    NormConfig, NormPlacement,
};
use crate::ops::Position;

pub(super) const FAMILY: Family = Family {
    name: "OLMo",
    model_types: &["olmo2", "olmo_hybrid"],
    config,
    table,
    head: "lm_head.weight",
    tied: ("tie_word_embeddings", false),
    buffers: &[".rotary_emb.inv_freq"],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_act", &[json!("silu")])?;
    let hybrid = settings.required::<String>("model_type")? == "olmo_hybrid";
    let d_model = settings.size("hidden_size")?;
    let layers = settings.layers("num_hidden_layers")?;
    let epsilon = settings.or("rms_norm_eps", if hybrid { 1e-6 } else { 1e-5 })?;
    let n_heads = settings.size("num_attention_heads")?;
    let attention = AttentionConfig::new(d_model)
        .with_n_heads(n_heads)
        .with_n_kv_heads(Some(settings.size_or("num_key_value_heads", n_heads)?))
        .with_position(position(settings, hybrid)?)
        .with_qk_norm(Some(QkNorm::Whole))
        .with_norm_epsilon(epsilon)
        .with_bias(settings.or("attention_bias", false)?);
    let feed_forward =
        FeedForwardConfig::Swiglu(HiddenWidth { d_hidden: Some(settings.size("intermediate_size")?) });
    let attends = attends(settings, layers, hybrid)?;
    let delta_net =
        attends.contains(&false).then(|| gated_delta_net(settings, d_model, n_heads)).transpose()?;
    let layer = |attends: bool| {
        let block = match (attends, &delta_net) {
            (false, Some(delta_net)) => BlockConfig::new(delta_net.clone()),
            _ => BlockConfig::new(attention.clone()).with_norm_placement(NormPlacement::After),
        };
        LayerConfig::Block(block.with_feed_forward(feed_forward.clone()))
    };
    let backbone = BackboneConfig {
        d_model,
        layers: attends.into_iter().map(layer).collect(),
        norm: NormConfig::Rms,
        norm_epsilon: epsilon,
    };
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone))
}

/// A base that is null says that hybrids turn nothing; without the key there is a default.
fn position(settings: &Settings, hybrid: bool) -> Result<Position> {
    if hybrid && has_no_base(settings)? {
        return Ok(Position::Nope);
    }
    Ok(Position::Rope(rope(settings, Names { base: "rope_theta", part: None })?))
}

/// Which layers attend.
fn attends(settings: &Settings, layers: usize, hybrid: bool) -> Result<Vec<bool>> {
    if !hybrid {
        return Ok(vec![true; layers]);
    }
    let Some(types) = settings.optional::<Vec<String>>("layer_types")? else {
        return Ok((0..layers).map(|layer| layer % 4 == 3 || layers < 4 && layer + 1 == layers).collect());
    };
    if types.len() != layers {
        return Err(settings.wrong("layer_types", format!("{layers} names, one a layer")));
    }
    let attends = |name: String| match name.as_str() {
        "full_attention" => Ok(true),
        "linear_attention" => Ok(false),
        _ => Err(settings.wrong("layer_types", "\"full_attention\" or \"linear_attention\"".into())),
    };
    types.into_iter().map(attends).collect()
}

fn gated_delta_net(settings: &Settings, d_model: usize, n_heads: usize) -> Result<GatedDeltaNetConfig> {
    let n_keys = settings.size_or("linear_num_key_heads", n_heads)?;
    let n_values = settings.size_or("linear_num_value_heads", n_heads)?;
    let rows = |heads: usize| heads.saturating_mul(d_model);
    let head_dim = settings.area("linear_key_head_dim", rows(n_keys), 3 * d_model / (4 * n_keys))?;
    let head_v_dim = settings.area("linear_value_head_dim", rows(n_values), 2 * head_dim)?;
    if !head_v_dim.is_multiple_of(head_dim) {
        let expected = format!("a multiple of linear_key_head_dim, {head_dim}");
        return Err(settings.wrong("linear_value_head_dim", expected));
    }
    let channels = 2 * n_keys * head_dim + n_values * head_v_dim;
    Ok(GatedDeltaNetConfig::new(d_model)
        .with_n_heads(n_keys)
        .with_n_v_heads(Some(n_values))
        .with_head_dim(Some(head_dim))
        .with_expand_v(head_v_dim / head_dim)
        .with_d_conv(settings.area("linear_conv_kernel_dim", channels, 4)?)
        .with_allow_negative_eigenvalues(settings.or("linear_allow_neg_eigval", true)?))
}

fn table(config: &LanguageModelConfig) -> Table {
    let mut table = Table::default();
    table.whole("embedding.weight".into(), "model.embed_tokens.weight".into(), Form::Same);
    table.norm("backbone.norm.Rms", "model.norm");
    table.linear("head", "lm_head");
    for (index, layer) in config.backbone.layers.iter().enumerate() {
        let ours = |name: &str| format!("backbone.blocks.{index}.{name}");
        let theirs = |name: &str| format!("model.layers.{index}.{name}");
        let LayerConfig::Block(block) = layer else { continue };
        let norms = [ours("mixer_norm.Rms"), ours("feed_forward_norm.Rms")];
        match &block.mixer {
            MixerConfig::GatedDeltaNet(delta_net) => {
                let (ours, theirs_here) = (ours("mixer.GatedDeltaNet"), theirs("linear_attn"));
                delta_net_rows(&mut table, &ours, &theirs_here, delta_net);
                table.norm(&norms[0], &theirs("attention_layer_norm"));
                table.norm(&norms[1], &theirs("feedforward_layer_norm"));
            }
            _ => {
                llama::attention_rows(&mut table, &ours("mixer.Attention"), &theirs("self_attn"));
                table.norm(&norms[0], &theirs("post_attention_layernorm"));
                table.norm(&norms[1], &theirs("post_feedforward_layernorm"));
                // What Transformers 5.23 writes of hybrids.
                table.or_norm(&norms[0], &theirs("feedforward_layer_norm"));
            }
        }
        llama::feed_forward_rows(&mut table, &ours("feed_forward.Swiglu"), &theirs("mlp"));
    }
    table
}

fn delta_net_rows(table: &mut Table, ours: &str, theirs: &str, config: &GatedDeltaNetConfig) {
    let head_dim = config.head_dim.unwrap_or_default();
    let keys = config.n_heads * head_dim;
    let values = config.n_v_heads.unwrap_or_default() * config.expand_v * head_dim;
    let named = |end: &str, rows: [usize; 3]| {
        let name = |(name, rows): (&str, usize)| (format!("{theirs}.{name}_{end}"), Rows::all(rows));
        ["q", "k", "v"].into_iter().zip(rows).map(name).collect::<Vec<_>>()
    };
    table.linear_rows(&format!("{ours}.delta_net.qkv_proj"), &named("proj", [keys, keys, values]));
    let conv = format!("{ours}.delta_net.conv_weight");
    table.rows(conv.clone(), Form::Conv, named("conv1d.weight", [keys, keys, values]));
    // Transformers 5.23 cuts q, k and v of hybrids into thirds when it writes them.
    let channels = 2 * keys + values;
    let third = channels.div_ceil(3);
    let thirds = [third, third, channels.saturating_sub(2 * third)];
    table.or_rows(conv, Form::Conv, named("conv1d.weight", thirds));
    for name in ["b_proj", "g_proj", "o_proj"] {
        table.linear(&format!("{ours}.delta_net.{name}"), &format!("{theirs}.{name}"));
    }
    table.linear(&format!("{ours}.a_proj"), &format!("{theirs}.a_proj"));
    for (name, tensor) in
        [("delta_net.norm_weight", "o_norm.weight"), ("a_log", "A_log"), ("dt_bias", "dt_bias")]
    {
        table.whole(format!("{ours}.{name}"), format!("{theirs}.{tensor}"), Form::Same);
    }
}
