//! Several mixers side by side on the same input.

use burn::module::Module;
use burn::nn::{RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use super::state::{MixerState, StateMapper};
use crate::check::expect_valid;
use crate::ops::{Segments, divided, rms_norm};
use crate::{Error, Result};

/// Configuration of [`Parallel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParallelConfig<C> {
    /// Width of the model.
    pub d_model: usize,
    /// The mixers.
    pub branches: Vec<C>,
}

/// Mixers side by side, each normalised, averaged.
///
/// ```text
/// y = 1/n Σ_i rms_norm_i(branch_i(x))
/// ```
///
/// In the hybrid notation `attention | mamba2`. The state is that of all branches.
///
/// # Source
///
/// Hymba, arXiv 2411.13676, equation 3; here every branch has projections of its own.
#[derive(Module, Debug)]
pub struct Parallel<M: SequenceMixer> {
    /// The mixers.
    pub branches: Vec<M>,
    /// Of every branch's output.
    pub norms: Vec<RmsNorm>,
}

/// The state of [`Parallel`].
#[derive(Clone, Debug)]
pub struct ParallelState<S> {
    /// Of every branch.
    pub branches: Vec<S>,
}

impl<S: MixerState> MixerState for ParallelState<S> {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        Self { branches: map_each("branch", self.branches, mapper) }
    }
}

/// Maps states under the names `prefix.0`, `prefix.1` …
pub(crate) fn map_each<S: MixerState, M: StateMapper>(
    prefix: &str,
    states: Vec<S>,
    mapper: &mut M,
) -> Vec<S> {
    let map = |(index, state): (usize, S)| {
        mapper.enter(&format!("{prefix}.{index}"));
        let state = state.map(mapper);
        mapper.exit();
        state
    };
    states.into_iter().enumerate().map(map).collect()
}

impl<C: BuildMixer> ParallelConfig<C> {
    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Parallel<C::Mixer> {
        expect_valid(self.check());
        Parallel {
            branches: self.branches.iter().map(|branch| branch.build(device)).collect(),
            norms: self.branches.iter().map(|_| RmsNormConfig::new(self.d_model).init(device)).collect(),
        }
    }
}

impl<C: BuildMixer> BuildMixer for ParallelConfig<C> {
    type Mixer = Parallel<C::Mixer>;

    fn for_width(d_model: usize) -> Self {
        Self { d_model, branches: Vec::new() }
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        if self.branches.is_empty() {
            return Err(Error::Config("parallel: at least one branch is needed".into()));
        }
        for branch in &self.branches {
            let (d_model, width) = (self.d_model, branch.d_model());
            if width != d_model {
                return Err(Error::Config(format!(
                    "parallel: a branch has d_model {width}, expected {d_model}"
                )));
            }
            branch.check()?;
        }
        Ok(())
    }

    fn build(&self, device: &Device) -> Self::Mixer {
        self.init(device)
    }
}

impl<M: SequenceMixer> Parallel<M> {
    fn average<const D: usize>(&self, outputs: Vec<Tensor<D>>) -> Tensor<D> {
        let count = outputs.len() as f64;
        let normed = |(y, norm): (_, &RmsNorm)| rms_norm(y, norm.gamma.val(), norm.epsilon);
        let normed = outputs.into_iter().zip(&self.norms).map(normed);
        divided(normed.reduce(|sum, y| sum + y).expect("at least one branch"), count)
    }

    fn states(&self, state: Option<ParallelState<M::State>>) -> Vec<Option<M::State>> {
        match state {
            None => self.branches.iter().map(|_| None).collect(),
            Some(state) => {
                let (found, expected) = (state.branches.len(), self.branches.len());
                assert!(found == expected, "parallel: the state has {found} branches, expected {expected}");
                state.branches.into_iter().map(Some).collect()
            }
        }
    }
}

impl<M: SequenceMixer> SequenceMixer for Parallel<M> {
    type State = ParallelState<M::State>;

    fn init_state(&self, batch: usize, device: &Device) -> Self::State {
        ParallelState {
            branches: self.branches.iter().map(|branch| branch.init_state(batch, device)).collect(),
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Self::State>,
    ) -> (Tensor<3>, Self::State) {
        let branches = self.branches.iter().zip(self.states(state));
        let (outputs, branches) =
            branches.map(|(branch, state)| branch.forward(x.clone(), segments, state)).unzip();
        (self.average(outputs), ParallelState { branches })
    }

    fn step(&self, x: Tensor<2>, state: Self::State) -> (Tensor<2>, Self::State) {
        let branches = self.branches.iter().zip(self.states(Some(state)));
        let step = |(branch, state): (&M, Option<M::State>)| {
            branch.step(x.clone(), state.expect("a state a branch"))
        };
        let (outputs, branches) = branches.map(step).unzip();
        (self.average(outputs), ParallelState { branches })
    }

    fn state_growth(&self) -> StateGrowth {
        self.branches.iter().map(SequenceMixer::state_growth).max().unwrap_or(StateGrowth::Constant)
    }
}
