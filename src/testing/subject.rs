//! What the laws are about: a mixer, or a stack of them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Serialize, de::DeserializeOwned};

use crate::layers::{BuildMixer, MixerState, SequenceMixer, StateGrowth};
use crate::models::{Backbone, BackboneConfig, BackboneState};
use crate::ops::Segments;

/// A module with the three forms of a [`SequenceMixer`].
pub(super) trait Subject: Module {
    type State: MixerState;

    fn init_state(&self, batch: usize, device: &Device) -> Self::State;

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Self::State>,
    ) -> (Tensor<3>, Self::State);

    fn step(&self, x: Tensor<2>, state: Self::State) -> (Tensor<2>, Self::State);

    fn state_growth(&self) -> StateGrowth;
}

/// A configuration that builds a [`Subject`].
pub(super) trait Recipe: Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq {
    type Subject: Subject;

    fn d_model(&self) -> usize;

    fn build(&self, device: &Device) -> Self::Subject;
}

impl<M: SequenceMixer> Subject for M {
    type State = M::State;

    fn init_state(&self, batch: usize, device: &Device) -> M::State {
        SequenceMixer::init_state(self, batch, device)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<M::State>,
    ) -> (Tensor<3>, M::State) {
        SequenceMixer::forward(self, x, segments, state)
    }

    fn step(&self, x: Tensor<2>, state: M::State) -> (Tensor<2>, M::State) {
        SequenceMixer::step(self, x, state)
    }

    fn state_growth(&self) -> StateGrowth {
        SequenceMixer::state_growth(self)
    }
}

impl<M: SequenceMixer> Subject for Backbone<M> {
    type State = BackboneState<M::State>;

    fn init_state(&self, batch: usize, device: &Device) -> Self::State {
        Self::init_state(self, batch, device)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Self::State>,
    ) -> (Tensor<3>, Self::State) {
        Self::forward(self, x, segments, state)
    }

    fn step(&self, x: Tensor<2>, state: Self::State) -> (Tensor<2>, Self::State) {
        Self::step(self, x, state)
    }

    fn state_growth(&self) -> StateGrowth {
        Self::state_growth(self)
    }
}

impl<C: BuildMixer> Recipe for C {
    type Subject = C::Mixer;

    fn d_model(&self) -> usize {
        BuildMixer::d_model(self)
    }

    fn build(&self, device: &Device) -> C::Mixer {
        BuildMixer::build(self, device)
    }
}

impl<C: BuildMixer> Recipe for BackboneConfig<C> {
    type Subject = Backbone<C::Mixer>;

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn build(&self, device: &Device) -> Backbone<C::Mixer> {
        self.init(device)
    }
}
