//! Rotary embeddings as `config.json` has them: in `rope_parameters`, or, before version 5 of Transformers, in keys of
//! their own and in `rope_scaling`.

use serde_json::json;

use crate::Result;
use crate::checkpoint::settings::Settings;
use crate::ops::{Rope, RopeScaling};

/// What a family has of its own.
pub(super) struct Names {
    /// The older key of the base.
    pub base: &'static str,
    /// How much of a head turns; `None`: all of it.
    pub part: Option<Part>,
}

/// The older key of the part that turns, and the part where nothing says it.
pub(super) struct Part {
    pub key: Option<&'static str>,
    pub default: f64,
}

pub(super) fn rope(settings: &Settings, names: Names) -> Result<Rope> {
    let older = settings.object("rope_scaling")?;
    let parameters = if older.values().is_empty() { settings.object("rope_parameters")? } else { older };
    // Other angles for other kinds of layers.
    for kind in ["full_attention", "sliding_attention"] {
        parameters.only(kind, &[])?;
    }
    let base = match base_is_in(&parameters, settings, names.base) {
        (of, key) if of.is_null(key) => return Err(of.wrong(key, "a number".into())),
        (of, key) => of.or(key, 10_000.0)?,
    };
    const PART: &str = "partial_rotary_factor";
    let fraction = match names.part {
        Some(Part { key, default }) => {
            let older = key.map_or(Ok(default), |key| settings.or(key, default))?;
            parameters.or(PART, older)?
        }
        // Such a key changes nothing there, or does not fit.
        None => {
            [settings, &parameters].into_iter().try_for_each(|of| of.only(PART, &[json!(1.0)]))?;
            1.0
        }
    };
    let scaling = scaling(settings, &parameters)?;
    Ok(Rope { base, fraction, scaling, ..Rope::default() })
}

/// Whether a base is given, and none.
pub(super) fn has_no_base(settings: &Settings) -> Result<bool> {
    let parameters = settings.object("rope_parameters")?;
    let (of, key) = base_is_in(&parameters, settings, "rope_theta");
    Ok(of.is_null(key))
}

/// Where the base is, with its key there.
fn base_is_in<'a>(
    parameters: &'a Settings,
    settings: &'a Settings,
    older: &'static str,
) -> (&'a Settings, &'static str) {
    match parameters.values().contains_key("rope_theta") {
        true => (parameters, "rope_theta"),
        false => (settings, older),
    }
}

fn scaling(settings: &Settings, of: &Settings) -> Result<Option<RopeScaling>> {
    let kind: String = of.or("rope_type", of.or("type", "default".into())?)?;
    let context = || {
        let key = "original_max_position_embeddings";
        match settings.optional(key)? {
            Some(context) => Ok(context),
            None => of.size_or(key, settings.size("max_position_embeddings")?),
        }
    };
    Ok(Some(match kind.as_str() {
        "default" => return Ok(None),
        "linear" => RopeScaling::Linear { factor: of.required("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: of.required("factor")?,
            low_freq_factor: of.required("low_freq_factor")?,
            high_freq_factor: of.required("high_freq_factor")?,
            original_max_position_embeddings: context()?,
        },
        "yarn" => {
            of.only("truncate", &[json!(true)])?;
            RopeScaling::Yarn {
                factor: of.required("factor")?,
                beta_fast: of.or("beta_fast", 32.0)?,
                beta_slow: of.or("beta_slow", 1.0)?,
                attention_factor: attention_factor(of)?,
                original_max_position_embeddings: context()?,
            }
        }
        _ => {
            let supported = ["default", "linear", "llama3", "yarn"].map(|kind| json!(kind));
            return Err(of.unsupported(
                if of.values().contains_key("rope_type") { "rope_type" } else { "type" },
                &supported,
            ));
        }
    }))
}

/// DeepSeek's two factors for one.
fn attention_factor(of: &Settings) -> Result<Option<f64>> {
    let (one, all) = (of.or("mscale", 0.0)?, of.or("mscale_all_dim", 0.0)?);
    let explicit: Option<f64> = of.optional("attention_factor")?;
    if explicit.is_some() || one == 0.0 || all == 0.0 {
        return Ok(explicit);
    }
    let growth = of.required::<f64>("factor")?.max(1.0).ln() / 10.0;
    Ok(Some((one * growth + 1.0) / (all * growth + 1.0)))
}
