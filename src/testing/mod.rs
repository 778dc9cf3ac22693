//! The laws of a sequence mixer, as a suite that any implementation can be put through.
//!
//! A mixer is one map in three forms: over a sequence at once, in pieces, and one token at a time. What that
//! means is written down as [`Law`]s, and each law is a test. Your own mixer passes them all, or a law fails
//! by name, with the numbers:
//!
//! ```
//! use burn_sequence::layers::LinearAttentionConfig;
//! use burn_sequence::testing::{Law, check_law, check_laws};
//!
//! let config = LinearAttentionConfig::new(8).with_n_heads(2).with_chunk_size(4);
//! check_law(Law::Causality, &config); // one law
//! check_laws(&config); // all of them
//! ```
//!
//! Everything runs on `Device::default()`, so the environment variable `BURN_DEVICE` chooses the backend. The
//! draws are seeded. Parameters are moved away from where they start by a seeded amount, because zeros and ones
//! hide mistakes. Make configurations small: a width of 8 to 24, chunks of 4 to 8 tokens and windows below 10,
//! so that sequences of at most 40 tokens cross them.
//!
//! Values are compared relative to the largest entry of their array. How close they must be is in
//! [`Tolerance`].

mod gradients;
mod growth;
mod independence;
mod misuse;
mod outcome;
mod random;
mod saving;
mod segments;
mod slopes;
mod splitting;
mod subject;
mod tolerance;
mod trial;
mod values;

use std::fmt;

use crate::layers::BuildMixer;
use crate::models::BackboneConfig;
use subject::Recipe;
pub use tolerance::Tolerance;
use trial::Trial;

/// What every mixer owes its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// `forward` = as many `step`s, from the empty and from an earlier state: outputs, the state that is left
    /// behind, and the gradients of inputs, of the earlier state's inputs and of parameters.
    Stepping,
    /// Any split of a sequence into pieces = the whole, in the same sense.
    Splitting,
    /// No output, and no gradient of one, knows what comes later.
    Causality,
    /// Rows of a batch do not affect each other.
    Rows,
    /// Documents packed into one row = documents apart; the last one's state goes on.
    Documents,
    /// Padding on the left = on the right = none; padding leaves no trace in the state.
    Padding,
    /// The state grows as `state_growth` says, and `bytes` is what it holds.
    Growth,
    /// A state is a plain value: it can be forked, rewound, cut off from its graph, saved, loaded and moved.
    Values,
    /// Parameters saved, loaded and moved, and a configuration that went through JSON, give the same outputs
    /// bit for bit.
    Saving,
    /// Every parameter gets a gradient that is not zero, and gradients are slopes: along random directions, finite
    /// differences of the outputs say the same within a tenth of their norm.
    Gradients,
    /// Nothing becomes NaN or infinite on extreme inputs, forward or backward.
    Extremes,
    /// A state or segments of another batch panic instead of being broadcast.
    Misuse,
}

impl Law {
    /// Every law.
    pub const ALL: [Self; 12] = [
        Self::Stepping,
        Self::Splitting,
        Self::Causality,
        Self::Rows,
        Self::Documents,
        Self::Padding,
        Self::Growth,
        Self::Values,
        Self::Saving,
        Self::Gradients,
        Self::Extremes,
        Self::Misuse,
    ];

    fn check<R: Recipe>(self, recipe: &R) {
        let trial = &mut Trial::new(self, recipe);
        match self {
            Self::Stepping => splitting::stepping(trial),
            Self::Splitting => splitting::splitting(trial),
            Self::Causality => independence::causality(trial),
            Self::Rows => independence::rows(trial),
            Self::Documents => segments::documents(trial),
            Self::Padding => segments::padding(trial),
            Self::Growth => growth::growth(trial),
            Self::Values => values::values(trial),
            Self::Saving => saving::saving(trial, recipe),
            Self::Gradients => gradients::gradients(trial),
            Self::Extremes => gradients::extremes(trial),
            Self::Misuse => misuse::misuse(trial),
        }
    }
}

/// The name of the law, in lower case.
impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// Runs every [`Law`] on the mixer that `config` builds.
///
/// # Panics
///
/// At the first violation, with the law and the numbers.
pub fn check_laws<C: BuildMixer>(config: &C) {
    Law::ALL.into_iter().for_each(|law| check_law(law, config));
}

/// Runs one law on the mixer that `config` builds.
///
/// # Panics
///
/// At a violation, with the law and the numbers.
pub fn check_law<C: BuildMixer>(law: Law, config: &C) {
    law.check(config);
}

/// Runs every [`Law`] on the hybrid that `config` builds.
///
/// # Panics
///
/// At the first violation, with the law and the numbers.
pub fn check_hybrid_laws<C: BuildMixer>(config: &BackboneConfig<C>) {
    Law::ALL.into_iter().for_each(|law| check_hybrid_law(law, config));
}

/// Runs one law on the hybrid that `config` builds.
///
/// # Panics
///
/// At a violation, with the law and the numbers.
pub fn check_hybrid_law<C: BuildMixer>(law: Law, config: &BackboneConfig<C>) {
    law.check(config);
}
