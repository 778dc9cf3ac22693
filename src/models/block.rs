//! A residual block: a mixer, and perhaps a feed-forward, each behind a normalisation.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::feed_forward::{FeedForward, FeedForwardConfig};
use super::norm::{Norm, NormConfig};
use crate::Result;
use crate::layers::{BuildMixer, Mixer, MixerConfig, SequenceMixer};
use crate::ops::Segments;

/// How a feed-forward stands to the mixer of its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// After it: `x ← x + mixer(norm(x))`, then `x ← x + ff(norm(x))`. In the notation `mixer + mlp`.
    #[default]
    Sequential,
    /// Beside it: `x ← x + mixer(norm_1(x)) + ff(norm_2(x))` (GPT-NeoX, arXiv 2204.06745, section 2.1). In the
    /// notation `mixer & mlp`.
    Parallel,
}

/// Configuration of a [`Block`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockConfig<C = MixerConfig> {
    /// The mixer.
    pub mixer: C,
    /// The feed-forward, if any.
    pub feed_forward: Option<FeedForwardConfig>,
    /// How the two stand to each other.
    pub residual: Residual,
}

/// A residual block.
#[derive(Module, Debug)]
pub struct Block<M: SequenceMixer = Mixer> {
    /// Before the mixer.
    pub mixer_norm: Norm,
    /// The mixer.
    pub mixer: M,
    /// Before the feed-forward.
    pub feed_forward_norm: Option<Norm>,
    /// The feed-forward, if any.
    pub feed_forward: Option<FeedForward>,
    #[module(skip)]
    residual: Residual,
}

impl<C: BuildMixer> BlockConfig<C> {
    /// A block of a mixer alone.
    pub fn new(mixer: impl Into<C>) -> Self {
        Self { mixer: mixer.into(), feed_forward: None, residual: Residual::Sequential }
    }

    /// With a feed-forward after the mixer.
    pub fn with_feed_forward(mut self, feed_forward: FeedForwardConfig) -> Self {
        self.feed_forward = Some(feed_forward);
        self
    }

    /// With the feed-forward after or beside the mixer.
    pub fn with_residual(mut self, residual: Residual) -> Self {
        self.residual = residual;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.mixer.check()?;
        self.feed_forward.as_ref().map_or(Ok(()), FeedForwardConfig::check)
    }

    /// Builds the block, its normalisations with this ε.
    ///
    /// # Panics
    ///
    /// If the mixer cannot be built.
    pub fn init(&self, norm: NormConfig, epsilon: f64, device: &Device) -> Block<C::Mixer> {
        let d_model = self.mixer.d_model();
        let norm = || norm.init(d_model, epsilon, device);
        Block {
            mixer_norm: norm(),
            mixer: self.mixer.build(device),
            feed_forward_norm: self.feed_forward.as_ref().map(|_| norm()),
            feed_forward: self.feed_forward.as_ref().map(|feed_forward| feed_forward.init(d_model, device)),
            residual: self.residual,
        }
    }
}

impl<M: SequenceMixer> Block<M> {
    /// `[batch, seq, d_model]` to the same; as [`SequenceMixer::forward`].
    pub fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<M::State>,
    ) -> (Tensor<3>, M::State) {
        let (mixed, state) = self.mixer.forward(self.mixer_norm.forward(x.clone()), segments, state);
        (self.join(x, mixed), state)
    }

    /// `[batch, d_model]` to the same; as [`SequenceMixer::step`].
    pub fn step(&self, x: Tensor<2>, state: M::State) -> (Tensor<2>, M::State) {
        let (mixed, state) = self.mixer.step(self.mixer_norm.forward(x.clone()), state);
        (self.join(x, mixed), state)
    }

    fn join<const D: usize>(&self, x: Tensor<D>, mixed: Tensor<D>) -> Tensor<D> {
        let (Some(norm), Some(feed_forward)) = (&self.feed_forward_norm, &self.feed_forward) else {
            return x + mixed;
        };
        match self.residual {
            Residual::Sequential => {
                let x = x + mixed;
                x.clone() + feed_forward.forward(norm.forward(x))
            }
            Residual::Parallel => x.clone() + mixed + feed_forward.forward(norm.forward(x)),
        }
    }
}
