//! Slower rotary embeddings, for contexts longer than those of the first training.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::check::check_positive;

/// How the frequencies of [`Rope`](super::Rope) change so that a model reads further.
///
/// With `f` a pair's frequency in radians a token, and `λ = 2π / f` its wavelength in tokens:
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// `f / factor` (arXiv 2306.15595).
    Linear {
        /// How many times longer.
        factor: f64,
    },
    /// `f` where `λ < context / high_freq_factor`, `f / factor` where `λ > context / low_freq_factor`, and between the
    /// two by a straight line in `context / λ` (Llama 3.1, arXiv 2407.21783).
    Llama3 {
        /// How many times longer.
        factor: f64,
        /// Longer wavelengths than `context` by this are slowed whole.
        low_freq_factor: f64,
        /// Shorter wavelengths than `context` by this are left.
        high_freq_factor: f64,
        /// Tokens of a row in the first training: `context`.
        original_max_position_embeddings: usize,
    },
    /// `f` for pairs that turn `beta_fast` times and more in `context`, `f / factor` for those that turn `beta_slow` times
    /// and less, by a straight line in the pair's number between; and all turned vectors longer by `attention_factor`
    /// (arXiv 2309.00071, section 3.2).
    Yarn {
        /// How many times longer.
        factor: f64,
        /// Turns in `context` from which a pair is left; 32.
        #[serde(default = "beta_fast")]
        beta_fast: f64,
        /// Turns in `context` up to which a pair is slowed whole; 1.
        #[serde(default = "beta_slow")]
        beta_slow: f64,
        /// By how much turned queries and keys are longer; `None`: `0.1 ln(factor) + 1`, and 1 where `factor` is at most 1.
        #[serde(default)]
        attention_factor: Option<f64>,
        /// Tokens of a row in the first training: `context`.
        original_max_position_embeddings: usize,
    },
}

fn beta_fast() -> f64 {
    32.0
}

fn beta_slow() -> f64 {
    1.0
}

impl RopeScaling {
    pub(super) fn check(&self) -> Result<()> {
        let positive: &[(&str, f64)] = match self {
            Self::Linear { factor } => &[("factor", *factor)],
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                &[
                    ("factor", *factor),
                    ("low_freq_factor", *low_freq_factor),
                    ("high_freq_factor - low_freq_factor", high_freq_factor - low_freq_factor),
                    ("original_max_position_embeddings", *original_max_position_embeddings as f64),
                ]
            }
            Self::Yarn {
                factor,
                beta_fast,
                beta_slow,
                attention_factor,
                original_max_position_embeddings,
            } => &[
                ("factor", *factor),
                ("beta_slow", *beta_slow),
                ("beta_fast - beta_slow", beta_fast - beta_slow),
                ("attention_factor", attention_factor.unwrap_or(1.0)),
                ("original_max_position_embeddings", *original_max_position_embeddings as f64),
            ],
        };
        positive.iter().try_for_each(|(name, value)| check_positive("rope: scaling", name, *value))
    }

    /// `frequencies` of the pairs of `turned` dimensions over this base, changed.
    pub(super) fn apply(&self, frequencies: &mut [f64], base: f64) {
        let turned = 2 * frequencies.len();
        match *self {
            Self::Linear { factor } => frequencies.iter_mut().for_each(|frequency| *frequency /= factor),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                for frequency in frequencies {
                    let waves = original_max_position_embeddings as f64 * *frequency / std::f64::consts::TAU;
                    let kept = (waves - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    *frequency = between(*frequency, factor, kept.clamp(0.0, 1.0));
                }
            }
            Self::Yarn { factor, beta_fast, beta_slow, original_max_position_embeddings, .. } => {
                // The pair, as a fraction, that turns so many times.
                let context = original_max_position_embeddings as f64;
                let pair = |turns: f64| {
                    turned as f64 * (context / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln())
                };
                let first = pair(beta_fast).floor().max(0.0);
                let last = pair(beta_slow).ceil().min(turned as f64 - 1.0);
                let width = if first == last { 1e-3 } else { last - first };
                for (pair, frequency) in frequencies.iter_mut().enumerate() {
                    let slowed = ((pair as f64 - first) / width).clamp(0.0, 1.0);
                    *frequency = between(*frequency, factor, 1.0 - slowed);
                }
            }
        }
    }

    /// By how much turned vectors are longer.
    pub(super) fn length(&self) -> f64 {
        match *self {
            Self::Yarn { attention_factor: Some(length), .. } => length,
            Self::Yarn { factor, .. } if factor > 1.0 => 0.1 * factor.ln() + 1.0,
            _ => 1.0,
        }
    }
}

/// The frequency, `kept` of it as it is and the rest slowed.
fn between(frequency: f64, factor: f64, kept: f64) -> f64 {
    frequency * kept + frequency / factor * (1.0 - kept)
}
