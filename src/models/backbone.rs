//! Blocks one after another.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::block::{Block, BlockConfig};
use super::norm::{Norm, NormConfig};
use crate::check::{check_part, check_positive, expect_valid};
use crate::layers::{
    BuildMixer, Mixer, MixerConfig, MixerState, SequenceMixer, StateGrowth, StateMapper, map_each,
};
use crate::ops::Segments;
use crate::{Error, Result};

/// One layer of a [`Backbone`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerConfig<C = MixerConfig> {
    /// A block with weights of its own.
    Block(BlockConfig<C>),
    /// The weights of an earlier layer, counted from 0, again, with a state of its own (Zamba, arXiv 2405.16712).
    /// In the notation `@1` for the first layer.
    Shared(usize),
}

/// Configuration of a [`Backbone`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig<C = MixerConfig> {
    /// Width of the model.
    pub d_model: usize,
    /// The layers, the first first.
    pub layers: Vec<LayerConfig<C>>,
    /// The normalisation in and after the blocks.
    #[serde(default)]
    pub norm: NormConfig,
    /// ε of the normalisations.
    #[serde(default = "default_epsilon")]
    pub norm_epsilon: f64,
}

fn default_epsilon() -> f64 {
    1e-5
}

/// Blocks one after another, and a normalisation after the last.
#[derive(Module, Debug)]
pub struct Backbone<M: SequenceMixer = Mixer> {
    /// The blocks, each once.
    pub blocks: Vec<Block<M>>,
    /// After the last block.
    pub norm: Norm,
    /// The block of every layer.
    #[module(skip)]
    schedule: Vec<usize>,
}

/// The state of a [`Backbone`]: one for each layer.
#[derive(Clone, Debug)]
pub struct BackboneState<S> {
    /// The states, the first layer's first.
    pub layers: Vec<S>,
}

impl<S: MixerState> MixerState for BackboneState<S> {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        Self { layers: map_each("layer", self.layers, mapper) }
    }
}

impl<C: BuildMixer> BackboneConfig<C> {
    /// A backbone without layers yet.
    pub fn new(d_model: usize) -> Self {
        Self { d_model, layers: Vec::new(), norm: NormConfig::default(), norm_epsilon: default_epsilon() }
    }

    /// With one more layer.
    pub fn with_layer(mut self, block: BlockConfig<C>) -> Self {
        self.layers.push(LayerConfig::Block(block));
        self
    }

    /// With one more layer that has the weights of layer `earlier`, counted from 0.
    pub fn with_shared_layer(mut self, earlier: usize) -> Self {
        self.layers.push(LayerConfig::Shared(earlier));
        self
    }

    /// With this normalisation.
    pub fn with_norm(mut self, norm: NormConfig) -> Self {
        self.norm = norm;
        self
    }

    /// With this ε in the normalisations.
    pub fn with_norm_epsilon(mut self, epsilon: f64) -> Self {
        self.norm_epsilon = epsilon;
        self
    }

    /// Whether such a backbone can be built.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the layer and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::Config("backbone: at least one layer is needed".into()));
        }
        check_positive("backbone", "norm_epsilon", self.norm_epsilon)?;
        for (index, layer) in self.layers.iter().enumerate() {
            match layer {
                LayerConfig::Block(block) => {
                    let (width, d_model) = (block.mixer.d_model(), self.d_model);
                    if width != d_model {
                        let problem = format!("layer {}: d_model is {width}, expected {d_model}", index + 1);
                        return Err(Error::Config(problem));
                    }
                    check_part(&format!("layer {}", index + 1), block.check())?;
                }
                LayerConfig::Shared(earlier) if *earlier < index => {}
                LayerConfig::Shared(earlier) => {
                    let (layer, shared) = (index + 1, earlier.saturating_add(1));
                    let problem =
                        format!("layer {layer}: shares the weights of layer {shared}, which is not earlier");
                    return Err(Error::Config(problem));
                }
            }
        }
        Ok(())
    }

    /// Builds the backbone.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](Self::check).
    pub fn init(&self, device: &Device) -> Backbone<C::Mixer> {
        expect_valid(self.check());
        let mut blocks = Vec::new();
        let mut schedule: Vec<usize> = Vec::new();
        for layer in &self.layers {
            match layer {
                LayerConfig::Block(block) => {
                    schedule.push(blocks.len());
                    blocks.push(block.init(self.norm, self.norm_epsilon, device));
                }
                LayerConfig::Shared(earlier) => schedule.push(schedule[*earlier]),
            }
        }
        Backbone { blocks, norm: self.norm.init(self.d_model, self.norm_epsilon, device), schedule }
    }
}

impl<M: SequenceMixer> Backbone<M> {
    /// The blocks in the order they run.
    pub fn layers(&self) -> impl Iterator<Item = &Block<M>> {
        self.schedule.iter().map(|&block| &self.blocks[block])
    }

    /// The state before the first token.
    pub fn init_state(&self, batch: usize, device: &Device) -> BackboneState<M::State> {
        BackboneState { layers: self.layers().map(|block| block.mixer.init_state(batch, device)).collect() }
    }

    /// How the state grows: as the fastest of its layers.
    pub fn state_growth(&self) -> StateGrowth {
        self.layers().map(|block| block.mixer.state_growth()).max().unwrap_or(StateGrowth::Constant)
    }

    /// `[batch, seq, d_model]` to the same; as [`SequenceMixer::forward`].
    ///
    /// # Panics
    ///
    /// If `x`, `segments` and `state` do not agree.
    pub fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<BackboneState<M::State>>,
    ) -> (Tensor<3>, BackboneState<M::State>) {
        let states = self.states(state);
        Segments::aligned(x, segments, |mut x, segments| {
            let mut layers = Vec::with_capacity(states.len());
            for (block, state) in self.layers().zip(states) {
                let (y, state) = block.forward(x, segments, state);
                x = y;
                layers.push(state);
            }
            (self.norm.forward(x), BackboneState { layers })
        })
    }

    /// `[batch, d_model]` to the same; as [`SequenceMixer::step`].
    ///
    /// # Panics
    ///
    /// If `x` and `state` do not agree.
    pub fn step(
        &self,
        mut x: Tensor<2>,
        state: BackboneState<M::State>,
    ) -> (Tensor<2>, BackboneState<M::State>) {
        let mut layers = Vec::with_capacity(state.layers.len());
        for (block, state) in self.layers().zip(self.states(Some(state))) {
            let (y, state) = block.step(x, state.expect("a state was given"));
            x = y;
            layers.push(state);
        }
        (self.norm.forward(x), BackboneState { layers })
    }

    fn states(&self, state: Option<BackboneState<M::State>>) -> Vec<Option<M::State>> {
        let Some(state) = state else { return self.schedule.iter().map(|_| None).collect() };
        let (found, expected) = (state.layers.len(), self.schedule.len());
        assert!(found == expected, "backbone: the state has {found} layers, expected {expected}");
        state.layers.into_iter().map(Some).collect()
    }
}
