//! Mamba and Mamba-2 in the layout of `mamba_ssm`: the folders of state-spaces, with their weights as safetensors.

use serde_json::json;

use super::{Family, mamba, mamba2};
use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::layers::{Mamba2Config, MambaConfig, MixerConfig};
use crate::models::{BackboneConfig, BlockConfig, LanguageModelConfig, LayerConfig, NormConfig};

pub(super) const FAMILY: Family = Family {
    name: "Mamba (state-spaces)",
    model_types: &[],
    config,
    table: |config| mamba::table(config, "backbone.embedding"),
    head: "lm_head.weight",
    tied: ("tie_embeddings", true),
    buffers: &[],
};

fn config(settings: &Settings) -> Result<LanguageModelConfig> {
    settings.only("d_intermediate", &[json!(0)])?;
    settings.only("attn_layer_idx", &[json!([])])?;
    let d_model = settings.size("d_model")?;
    let ssm = settings.object("ssm_cfg")?;
    ssm.only("layer", &[json!("Mamba1"), json!("Mamba2")])?;
    for (key, value) in [("bias", false), ("conv_bias", true), ("rmsnorm", true), ("norm_before_gate", false)]
    {
        ssm.only(key, &[json!(value)])?;
    }
    ssm.only("dt_limit", &mamba2::unlimited())?;
    let layers = settings.layers("n_layer")?;
    let expand = ssm.area("expand", d_model.saturating_mul(layers), 2)?;
    let rows = (expand * d_model).saturating_mul(layers);
    let mixer: MixerConfig = match ssm.or("layer", "Mamba1".to_string())?.as_str() {
        "Mamba2" => Mamba2Config::new(d_model)
            .with_d_state(ssm.area("d_state", rows, 128)?)
            .with_d_conv(ssm.area("d_conv", rows, 4)?)
            .with_expand(expand)
            .with_head_dim(ssm.size_or("headdim", 64)?)
            .with_n_groups(ssm.size_or("ngroups", 1)?)
            .into(),
        _ => MambaConfig::new(d_model)
            .with_d_state(ssm.area("d_state", rows, 16)?)
            .with_d_conv(ssm.area("d_conv", rows, 4)?)
            .with_expand(expand)
            .with_dt_rank(mamba::dt_rank(&ssm, "dt_rank")?)
            .into(),
    };
    let backbone = BackboneConfig {
        d_model,
        layers: vec![LayerConfig::Block(BlockConfig::new(mixer)); layers],
        norm: if settings.or("rms_norm", true)? { NormConfig::Rms } else { NormConfig::Layer },
        norm_epsilon: 1e-5,
    };
    let multiple = settings.size_or("pad_vocab_size_multiple", 8)?;
    let vocab_size = settings.size("vocab_size")?.next_multiple_of(multiple);
    Ok(LanguageModelConfig::new(vocab_size, backbone))
}
