//! The contract that every mixer keeps, and the macro that makes one mixer out of many.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use serde::{Serialize, de::DeserializeOwned};

use super::state::MixerState;
use crate::Result;
use crate::ops::Segments;

/// A causal map over a sequence: in parallel, in pieces, or one token at a time.
///
/// The three ways agree, in values and gradients; [`testing`](crate::testing) holds any implementation to it.
pub trait SequenceMixer: Module + ModuleDisplay + Sync {
    /// All that the past leaves behind for the next token.
    type State: MixerState;

    /// The state before the first token.
    fn init_state(&self, batch: usize, device: &Device) -> Self::State;

    /// `[batch, seq, d_model]` to the same, continuing from `state` (`None`: the start of the sequence).
    ///
    /// # Panics
    ///
    /// If `x`, `segments` and `state` do not agree in batch, sequence or width.
    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Self::State>,
    ) -> (Tensor<3>, Self::State);

    /// `[batch, d_model]` to the same: one token, in the recurrent form. That is [`forward`](Self::forward) of a sequence
    /// of one, unless this is overridden.
    ///
    /// # Panics
    ///
    /// If `x` and `state` do not agree in batch or width.
    fn step(&self, x: Tensor<2>, state: Self::State) -> (Tensor<2>, Self::State) {
        let (y, state) = self.forward(x.unsqueeze_dim(1), None, Some(state));
        (y.squeeze_dim(1), state)
    }

    /// How the state grows with the sequence.
    fn state_growth(&self) -> StateGrowth;
}

/// How the bytes of a state grow with the tokens it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateGrowth {
    /// Not at all: a recurrence.
    Constant,
    /// Up to this many tokens: attention under a sliding window.
    Window(usize),
    /// Linearly, for ever: full attention.
    Linear,
}

/// A serialisable description that builds a mixer.
///
/// What makes a mixer available to configurations, checkpoints and the hybrid notation.
pub trait BuildMixer:
    Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
    /// What is built.
    type Mixer: SequenceMixer;

    /// Every option at its default, for a model of width `d_model`.
    fn for_width(d_model: usize) -> Self;

    /// The width of the model this was made for.
    fn d_model(&self) -> usize;

    /// Whether such a mixer can be built; every one, unless this is overridden.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config), naming the option, what it is and what it must be.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Builds the mixer, with freshly initialised parameters.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](Self::check).
    fn build(&self, device: &Device) -> Self::Mixer;
}

/// A list of kinds of mixer, as [`mixers!`](crate::mixers) makes it: what the hybrid notation chooses from.
pub trait MixerList: BuildMixer {
    /// One of each kind, every option at its default.
    fn defaults(d_model: usize) -> Vec<Self>;
}

/// Makes one mixer out of many: an enum of modules, of their configurations, and of their states.
///
/// Each line is `Variant(Config, Mixer, State)`; the variant's name in `snake_case` is the mixer's name in the
/// hybrid notation and in JSON. The enums implement [`SequenceMixer`](crate::layers::SequenceMixer),
/// [`MixerList`](crate::layers::MixerList) and [`MixerState`](crate::layers::MixerState), so that everything
/// generic over a mixer (blocks, models, the notation, training, generation, the conformance suite) takes
/// them. Your own mixers stand beside the crate's:
///
/// ```
/// use burn_sequence::layers::{Attention, AttentionConfig, ConvState, KvCache, Mamba2, Mamba2Config};
///
/// burn_sequence::mixers! {
///     /// The mixers of my model.
///     pub enum MyMixer, MyMixerConfig, MyMixerState {
///         Attention(AttentionConfig, Attention, KvCache),
///         Mamba2(Mamba2Config, Mamba2, ConvState<4>),
///     }
/// }
/// ```
///
/// The crate that calls this macro needs `burn` among its dependencies.
#[macro_export]
macro_rules! mixers {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Mixer:ident, $Config:ident, $State:ident {
            $( $(#[$note:meta])* $Variant:ident($VariantConfig:ty, $VariantMixer:ty, $VariantState:ty) ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(burn::module::Module, Debug)]
        #[allow(clippy::large_enum_variant)]
        $vis enum $Mixer {
            $( $(#[$note])* #[doc = concat!("A [`", stringify!($VariantMixer), "`].")] $Variant($VariantMixer), )+
        }

        #[doc = concat!("The configuration of a [`", stringify!($Mixer), "`].")]
        #[derive(Clone, Debug, PartialEq, burn::serde::Serialize, burn::serde::Deserialize)]
        #[serde(crate = "burn::serde", rename_all = "snake_case")]
        $vis enum $Config {
            $( #[doc = concat!("Builds [`", stringify!($VariantMixer), "`].")] $Variant($VariantConfig), )+
        }

        #[doc = concat!("The state of a [`", stringify!($Mixer), "`].")]
        #[derive(Clone, Debug)]
        #[allow(clippy::large_enum_variant)]
        $vis enum $State {
            $( #[doc = concat!("Left behind by [`", stringify!($VariantMixer), "`].")] $Variant($VariantState), )+
        }

        const _: () = {
            use burn::tensor::{Device, Tensor};
            use $crate::layers::{BuildMixer, MixerList, MixerState, SequenceMixer, StateGrowth, StateMapper};

            impl $State {
                fn kind(&self) -> &'static str {
                    match self { $( Self::$Variant(_) => stringify!($Variant), )+ }
                }
            }

            impl MixerState for $State {
                fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
                    match self { $( Self::$Variant(state) => Self::$Variant(MixerState::map(state, mapper)), )+ }
                }
            }

            impl SequenceMixer for $Mixer {
                type State = $State;

                fn init_state(&self, batch: usize, device: &Device) -> $State {
                    match self { $( Self::$Variant(mixer) => $State::$Variant(mixer.init_state(batch, device)), )+ }
                }

                #[allow(unreachable_patterns)]
                fn forward(
                    &self,
                    x: Tensor<3>,
                    segments: Option<&$crate::ops::Segments>,
                    state: Option<$State>,
                ) -> (Tensor<3>, $State) {
                    match self {
                        $( Self::$Variant(mixer) => {
                            let state = state.map(|state| match state {
                                $State::$Variant(state) => state,
                                other => panic!(
                                    concat!(stringify!($Variant), ": expected its own state, got that of {}"),
                                    other.kind()
                                ),
                            });
                            let (y, state) = mixer.forward(x, segments, state);
                            (y, $State::$Variant(state))
                        } )+
                    }
                }

                #[allow(unreachable_patterns)]
                fn step(&self, x: Tensor<2>, state: $State) -> (Tensor<2>, $State) {
                    match (self, state) {
                        $( (Self::$Variant(mixer), $State::$Variant(state)) => {
                            let (y, state) = mixer.step(x, state);
                            (y, $State::$Variant(state))
                        } )+
                        (mixer, state) => panic!(
                            "{}: expected its own state, got that of {}",
                            match mixer { $( Self::$Variant(_) => stringify!($Variant), )+ },
                            state.kind()
                        ),
                    }
                }

                fn state_growth(&self) -> StateGrowth {
                    match self { $( Self::$Variant(mixer) => mixer.state_growth(), )+ }
                }
            }

            impl BuildMixer for $Config {
                type Mixer = $Mixer;

                fn for_width(d_model: usize) -> Self {
                    Self::defaults(d_model).swap_remove(0)
                }

                fn d_model(&self) -> usize {
                    match self { $( Self::$Variant(config) => BuildMixer::d_model(config), )+ }
                }

                fn check(&self) -> $crate::Result<()> {
                    match self { $( Self::$Variant(config) => BuildMixer::check(config), )+ }
                }

                fn build(&self, device: &Device) -> $Mixer {
                    match self { $( Self::$Variant(config) => $Mixer::$Variant(config.build(device)), )+ }
                }
            }

            impl MixerList for $Config {
                fn defaults(d_model: usize) -> Vec<Self> {
                    vec![ $( Self::$Variant(<$VariantConfig as BuildMixer>::for_width(d_model)), )+ ]
                }
            }

            $(
                impl From<$VariantConfig> for $Config {
                    fn from(config: $VariantConfig) -> Self {
                        Self::$Variant(config)
                    }
                }

                impl From<$VariantMixer> for $Mixer {
                    fn from(mixer: $VariantMixer) -> Self {
                        Self::$Variant(mixer)
                    }
                }
            )+
        };
    };
}
