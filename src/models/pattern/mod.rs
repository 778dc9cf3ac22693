//! The hybrid notation: the layers of a model as one line of text.
//!
//! For command lines, configuration files and titles of plots. A pattern says what the layers are; width,
//! vocabulary, normalisation and head are said in code.
//!
//! | notation | meaning |
//! |---|---|
//! | `mamba, attention` | one layer, then another; white space is free |
//! | `attention(n_heads=4, window=128)` | with options; the others keep their defaults |
//! | `3*mamba` | three layers, each with weights of its own |
//! | `2*(3*mamba2, attention)` | a group, repeated |
//! | `attention + mlp` | with a feed-forward [after](super::Residual::Sequential) the mixer |
//! | `attention & mlp` | with a feed-forward [beside](super::Residual::Parallel) the mixer |
//! | `mlp(d_hidden=512)`, `relu_mlp`, `swiglu`, `geglu` | the [feed-forwards](super::FeedForwardConfig) |
//! | `attention \| mamba2` | mixers side by side, [averaged](crate::layers::Parallel) |
//! | `~attention + mlp` | with the normalisations [after](super::NormPlacement::After) mixer and feed-forward |
//! | `@2` | the weights of the second layer again, with a state of its own |
//!
//! `|` binds tighter than `+` and `&`, these tighter than `~`, and that tighter than `*`:
//! `2*attention | mamba2 + mlp` is `2*((attention | mamba2) + mlp)`. `@` counts layers from 1, all repeats written out.
//!
//! A value is a number (`8`, `1e-5`), `true` or `false`, a name (`rope`), a name with options
//! (`rope(base=500000)`), a list (`[1, 2, 3]`), text in double quotes, or fields (`(key=value)`). `none` is the
//! absence of an optional value, or the name where an option has one so called. A mixer's options, their defaults
//! and their meaning are the fields of its configuration, such as
//! [`AttentionConfig`](crate::layers::AttentionConfig), all but `d_model`.
//!
//! ```
//! use burn_sequence::layers::{AttentionConfig, Mamba2Config};
//! use burn_sequence::models::{BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth};
//!
//! let config: BackboneConfig = BackboneConfig::parse("2*(mamba2, attention(window=128) + swiglu)", 64)?;
//! let mamba2 = || BlockConfig::new(Mamba2Config::new(64));
//! let attention = || {
//!     BlockConfig::new(AttentionConfig::new(64).with_window(Some(128)))
//!         .with_feed_forward(FeedForwardConfig::Swiglu(HiddenWidth::default()))
//! };
//! let by_hand = BackboneConfig::new(64)
//!     .with_layer(mamba2())
//!     .with_layer(attention())
//!     .with_layer(mamba2())
//!     .with_layer(attention());
//! assert_eq!(config, by_hand);
//! assert_eq!(config.pattern(), "2*(mamba2, attention(window=128) + swiglu)");
//! # Ok::<(), burn_sequence::Error>(())
//! ```
//!
//! A mixer of your own needs nothing more than its place in [`mixers!`](crate::mixers). Its configuration must be
//! a struct that writes all its fields, whatever their values, since that is where their names come from; and
//! `a | b` needs the line `Parallel(ParallelConfig<MyMixerConfig>, …)` in the list.
//!
//! ```
//! use burn_sequence::layers::{Attention, AttentionConfig, KvCache, Lstm, LstmConfig, LstmState};
//! use burn_sequence::models::LanguageModelConfig;
//!
//! burn_sequence::mixers! {
//!     /// Two mixers.
//!     pub enum MyMixer, MyMixerConfig, MyMixerState {
//!         FullAttention(AttentionConfig, Attention, KvCache),
//!         Recurrent(LstmConfig, Lstm, LstmState),
//!     }
//! }
//! let config = LanguageModelConfig::<MyMixerConfig>::parse("recurrent, full_attention(bias=true)", 32, 256)?;
//! assert_eq!(config.backbone.layers.len(), 2);
//! let error = LanguageModelConfig::<MyMixerConfig>::parse("recurrent, mamba", 32, 256).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "pattern, character 12: unknown mixer \"mamba\"; known: full_attention, recurrent"
//! );
//! # Ok::<(), burn_sequence::Error>(())
//! ```
//!
//! Patterns may come from anywhere: at most 10 000 layers, 64 levels of nesting and a million bytes, counted with
//! the repeats written out.

mod build;
mod cursor;
mod fold;
mod grammar;
mod kinds;
mod print;
mod values;

#[cfg(test)]
mod errors;
#[cfg(test)]
mod own_kinds;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

use super::{BackboneConfig, LanguageModelConfig};
use crate::Result;
use crate::layers::MixerList;

impl<C: MixerList> BackboneConfig<C> {
    /// The layers that a [pattern](crate::models::pattern) describes, in a model of width `d_model`.
    ///
    /// `BackboneConfig` alone leaves the list of mixers open: annotate the variable, or write
    /// `<BackboneConfig>::parse` for the crate's own list.
    ///
    /// # Errors
    ///
    /// [`Error::Pattern`](crate::Error::Pattern), pointing at the character: where the text does not follow the
    /// notation, or at a mixer that cannot be built; [`Error::Config`](crate::Error::Config) if `d_model` is 0 or too large.
    pub fn parse(pattern: &str, d_model: usize) -> Result<Self> {
        build::backbone(pattern, d_model)
    }

    /// The shortest pattern that reads back as these layers.
    ///
    /// Options at their defaults are left out and repeats are folded: of more than 256 layers, only whole periods
    /// and runs. Parentheses that spare the reader the precedence stay. Normalisation, and the residual form of a
    /// block without a feed-forward, are no part of it.
    pub fn pattern(&self) -> String {
        print::backbone(self)
    }
}

impl<C: MixerList> LanguageModelConfig<C> {
    /// A model of width `d_model` whose layers a [pattern](crate::models::pattern) describes.
    ///
    /// `LanguageModelConfig` alone leaves the list of mixers open: annotate the variable, or write
    /// `<LanguageModelConfig>::parse` for the crate's own list.
    ///
    /// # Errors
    ///
    /// As [`BackboneConfig::parse`]; [`Error::Config`](crate::Error::Config) if `vocab_size` is 0 or too large.
    pub fn parse(pattern: &str, d_model: usize, vocab_size: usize) -> Result<Self> {
        let config = Self::new(vocab_size, BackboneConfig::parse(pattern, d_model)?);
        config.check()?;
        Ok(config)
    }

    /// The shortest pattern that reads back as these layers; as [`BackboneConfig::pattern`].
    pub fn pattern(&self) -> String {
        self.backbone.pattern()
    }
}
