//! Mamba in the layout of Transformers.

use serde_json::json;

use super::Family;
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::checkpoint::table::{Form, Table};
use crate::layers::MambaConfig;
use crate::models::{BackboneConfig, BlockConfig, LanguageModelConfig, LayerConfig, NormConfig};

pub(super) const FAMILY: Family = Family {
    name: "Mamba",
    model_types: &["mamba"],
    config,
    table: |config| table(config, "backbone.embeddings"),
    head: "lm_head.weight",
    tied: ("tie_word_embeddings", true),
    buffers: &[],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_act", &[json!("silu")])?;
    settings.only("use_bias", &[json!(false)])?;
    settings.only("use_conv_bias", &[json!(true)])?;
    let d_model = settings.size("hidden_size")?;
    let layers = settings.layers("num_hidden_layers")?;
    let expand = settings.area("expand", d_model.saturating_mul(layers), 2)?;
    let rows = (expand * d_model).saturating_mul(layers);
    let mamba = MambaConfig::new(d_model)
        .with_expand(expand)
        .with_d_state(settings.area("state_size", rows, 16)?)
        .with_d_conv(settings.area("conv_kernel", rows, 4)?)
        .with_dt_rank(dt_rank(settings, "time_step_rank")?);
    settings.only("intermediate_size", &[json!(mamba.d_inner())])?;
    let backbone = BackboneConfig {
        d_model,
        layers: vec![LayerConfig::Block(BlockConfig::new(mamba)); layers],
        norm: NormConfig::Rms,
        norm_epsilon: settings.or("layer_norm_epsilon", 1e-5)?,
    };
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone))
}

/// The rank of the projection to Δ; `None`: the default, which files call "auto".
pub(super) fn dt_rank(settings: &Settings, key: &str) -> Result<Option<usize>> {
    match settings.values().get(key) {
        Some(rank) if rank == "auto" => Ok(None),
        _ => settings.optional(key),
    }
}

/// Mamba and Mamba-2 call their tensors alike, and so do Transformers and `mamba_ssm`, all but the embedding.
pub(super) fn table(config: &LanguageModelConfig, embedding: &str) -> Table {
    let mut table = Table::default();
    table.whole("embedding.weight".into(), format!("{embedding}.weight"), Form::Same);
    for norm in ["Rms", "Layer"] {
        table.norm(&format!("backbone.norm.{norm}"), "backbone.norm_f");
    }
    table.linear("head", "lm_head");
    for layer in 0..config.backbone.layers.len() {
        let theirs = |name: &str| format!("backbone.layers.{layer}.{name}");
        for norm in ["Rms", "Layer"] {
            table.norm(&format!("backbone.blocks.{layer}.mixer_norm.{norm}"), &theirs("norm"));
        }
        for mixer in ["Mamba", "Mamba2"] {
            mixer_rows(&mut table, &format!("backbone.blocks.{layer}.mixer.{mixer}"), &theirs("mixer"));
        }
    }
    table
}

/// The parameters of a Mamba or a Mamba-2 between these names.
pub(super) fn mixer_rows(table: &mut Table, ours: &str, theirs: &str) {
    for name in ["in_proj", "x_proj", "dt_proj", "out_proj"] {
        table.linear(&format!("{ours}.{name}"), &format!("{theirs}.{name}"));
    }
    for (name, key, form) in [
        ("conv_weight", "conv1d.weight", Form::Conv),
        ("conv_bias", "conv1d.bias", Form::Same),
        ("a_log", "A_log", Form::Same),
        ("d", "D", Form::Same),
        ("dt_bias", "dt_bias", Form::Same),
        ("norm_weight", "norm.weight", Form::Same),
    ] {
        table.whole(format!("{ours}.{name}"), format!("{theirs}.{key}"), form);
    }
}
