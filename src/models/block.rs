//! A residual block: a mixer, and perhaps a feed-forward, each with a normalisation.

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

/// Where the normalisations of a block stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlacement {
    /// On what goes into the mixer and the feed-forward: `x ← x + mixer(norm(x))`.
    #[default]
    Before,
    /// On what comes out of them: `x ← x + norm(mixer(x))` (OLMo 2, arXiv 2501.00656, equations 1 and 2). In the notation
    /// `~mixer + mlp`.
    After,
}

/// Configuration of a [`Block`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig<C = MixerConfig> {
    /// The mixer.
    pub mixer: C,
    /// The feed-forward, if any.
    pub feed_forward: Option<FeedForwardConfig>,
    /// How the two stand to each other.
    pub residual: Residual,
    /// Where their normalisations stand.
    #[serde(default)]
    pub norm_placement: NormPlacement,
}

/// A residual block.
#[derive(Module, Debug)]
pub struct Block<M: SequenceMixer = Mixer> {
    /// Before or after the mixer.
    pub mixer_norm: Norm,
    /// The mixer.
    pub mixer: M,
    /// Before or after the feed-forward.
    pub feed_forward_norm: Option<Norm>,
    /// The feed-forward, if any.
    pub feed_forward: Option<FeedForward>,
    #[module(skip)]
    residual: Residual,
    #[module(skip)]
    norm_placement: NormPlacement,
}

impl<C: BuildMixer> BlockConfig<C> {
    /// A block of a mixer alone.
    pub fn new(mixer: impl Into<C>) -> Self {
        Self {
            mixer: mixer.into(),
            feed_forward: None,
            residual: Residual::Sequential,
            norm_placement: NormPlacement::Before,
        }
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

    /// With the normalisations before or after mixer and feed-forward.
    pub fn with_norm_placement(mut self, norm_placement: NormPlacement) -> Self {
        self.norm_placement = norm_placement;
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
            norm_placement: self.norm_placement,
        }
    }
}

impl NormPlacement {
    /// What `within` makes of `x`, normalised before it or after; and what else comes of it.
    fn around<const D: usize, S>(
        self,
        norm: &Norm,
        x: Tensor<D>,
        within: impl FnOnce(Tensor<D>) -> (Tensor<D>, S),
    ) -> (Tensor<D>, S) {
        match self {
            Self::Before => within(norm.forward(x)),
            Self::After => {
                let (y, rest) = within(x);
                (norm.forward(y), rest)
            }
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
        let mix = |x| self.mixer.forward(x, segments, state);
        let (mixed, state) = self.norm_placement.around(&self.mixer_norm, x.clone(), mix);
        (self.join(x, mixed), state)
    }

    /// `[batch, d_model]` to the same; as [`SequenceMixer::step`].
    pub fn step(&self, x: Tensor<2>, state: M::State) -> (Tensor<2>, M::State) {
        let mix = |x| self.mixer.step(x, state);
        let (mixed, state) = self.norm_placement.around(&self.mixer_norm, x.clone(), mix);
        (self.join(x, mixed), state)
    }

    fn join<const D: usize>(&self, x: Tensor<D>, mixed: Tensor<D>) -> Tensor<D> {
        let (Some(norm), Some(feed_forward)) = (&self.feed_forward_norm, &self.feed_forward) else {
            return x + mixed;
        };
        let feed = |x| self.norm_placement.around(norm, x, |x| (feed_forward.forward(x), ())).0;
        match self.residual {
            Residual::Sequential => {
                let x = x + mixed;
                x.clone() + feed(x)
            }
            Residual::Parallel => x.clone() + mixed + feed(x),
        }
    }
}
