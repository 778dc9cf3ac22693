//! Mamba-2 in the layout of Transformers.

use serde_json::{Value, json};

use super::{Family, mamba};
use crate::Result;
use crate::checkpoint::python_json::MARK;
use crate::checkpoint::settings::Settings;
use crate::layers::Mamba2Config;
use crate::models::{BackboneConfig, BlockConfig, LanguageModelConfig, LayerConfig, NormConfig};

pub(super) const FAMILY: Family = Family {
    name: "Mamba-2",
    model_types: &["mamba2"],
    config,
    table: |config| mamba::table(config, "backbone.embeddings"),
    head: "lm_head.weight",
    tied: ("tie_word_embeddings", false),
    buffers: &[],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("hidden_act", &[json!("silu")])?;
    settings.only("use_bias", &[json!(false)])?;
    settings.only("use_conv_bias", &[json!(true)])?;
    settings.only("time_step_limit", &unlimited())?;
    let d_model = settings.size("hidden_size")?;
    let epsilon = settings.or("layer_norm_epsilon", 1e-5)?;
    let layers = settings.layers("num_hidden_layers")?;
    let expand = settings.area("expand", d_model.saturating_mul(layers), 2)?;
    let mamba2 = Mamba2Config::new(d_model)
        .with_expand(expand)
        .with_d_state(settings.area("state_size", expand * d_model, 128)?)
        .with_d_conv(settings.area("conv_kernel", expand * d_model, 4)?)
        .with_head_dim(settings.size_or("head_dim", 64)?)
        .with_n_groups(settings.size_or("n_groups", 8)?)
        .with_norm_epsilon(epsilon);
    settings.only("num_heads", &[json!(mamba2.n_heads())])?;
    let backbone = BackboneConfig {
        d_model,
        layers: vec![LayerConfig::Block(BlockConfig::new(mamba2)); layers],
        norm: NormConfig::Rms,
        norm_epsilon: epsilon,
    };
    Ok(LanguageModelConfig::new(settings.size("vocab_size")?, backbone))
}

/// Ways to write that Δ may be anything from 0 to infinity, which JSON has no number for.
pub(super) fn unlimited() -> [Value; 3] {
    [json!([0.0, {"__float__": "Infinity"}]), json!([0.0, format!("{MARK}Infinity")]), json!([0.0, f64::MAX])]
}
