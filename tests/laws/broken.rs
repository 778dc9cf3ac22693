//! Mixers that break a law on purpose: the law must say so.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU8, Ordering};

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, assert_shape};
use burn_sequence::Result;
use burn_sequence::layers::{BuildMixer, MixerState, SequenceMixer, StateGrowth, StateMapper};
use burn_sequence::ops::Segments;
use burn_sequence::testing::{Law, check_law};
use serde::{Deserialize, Serialize};

/// How a mixer is broken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Fault {
    None,
    /// `forward` adds the next token.
    SeesTheFuture,
    /// `step` leaves the state as it was.
    ForgetsTheStep,
    /// Rows are mixed.
    MixesRows,
    /// Documents and padding are summed as if they were one.
    IgnoresSegments,
    /// The state counts more than it keeps.
    OverstatesGrowth,
    /// A parameter has no part in the output.
    IdleParameter,
    /// Outputs grow exponentially with inputs.
    Overflows,
    /// The state's history is cut off.
    CutsGradients,
    /// Half of the gradient is lost.
    HalvesGradients,
    /// A state of one row serves any batch.
    Broadcasts,
    /// What scales the output is in no file.
    SavesNotAll,
    /// Of the state nobody sees anything.
    HidesState,
}

/// The sum of all tokens so far, projected.
#[derive(Config, Debug, PartialEq)]
struct SumConfig {
    d_model: usize,
    fault: Fault,
}

#[derive(Module, Debug)]
struct Sum {
    proj: Linear,
    idle: Option<Linear>,
    #[module(skip)]
    fault: Fault,
    #[module(skip)]
    scale: f32,
}

/// Mixers built so far.
static BUILT: AtomicU8 = AtomicU8::new(0);

#[derive(Clone, Debug)]
struct SumState {
    sum: Tensor<2>,
    hidden: bool,
}

impl MixerState for SumState {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        let Self { sum, hidden } = self;
        Self { sum: if hidden { sum } else { mapper.tensor("sum", sum) }, hidden }
    }
}

impl BuildMixer for SumConfig {
    type Mixer = Sum;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model, Fault::None)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn build(&self, device: &Device) -> Sum {
        let Self { d_model, fault } = *self;
        let linear = || LinearConfig::new(d_model, d_model).init(device);
        let scale = match fault {
            Fault::SavesNotAll => 1.0 + f32::from(BUILT.fetch_add(1, Ordering::Relaxed)) / 64.0,
            _ => 1.0,
        };
        Sum { proj: linear(), idle: (fault == Fault::IdleParameter).then(linear), fault, scale }
    }
}

impl Sum {
    fn run(&self, x: Tensor<3>, segments: Option<&Segments>, state: SumState) -> (Tensor<3>, SumState) {
        let [batch, seq, width] = x.dims();
        let SumState { mut sum, hidden } = state;
        if self.fault != Fault::Broadcasts {
            assert_shape!(sum, [batch, width]);
        }
        let table = |table: Tensor<2>| table.into_data().iter::<f32>().collect::<Vec<_>>();
        let layout = segments
            .map(|segments| (table(segments.survival(&x.device())), table(segments.mask(&x.device()))));
        let mut outputs = Vec::new();
        for t in 0..seq {
            let token = x.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
            match &layout {
                Some((survival, mask)) if self.fault != Fault::IgnoresSegments => {
                    let column = |values: Vec<f32>| {
                        Tensor::<1>::from_floats(values.as_slice(), &x.device()).unsqueeze_dim::<2>(1)
                    };
                    let at = |row: usize, t: usize| row * seq + t;
                    sum = sum * column((0..batch).map(|row| survival[at(row, t)]).collect());
                    sum = sum + token * column((0..batch).map(|row| mask[at(row, t)]).collect());
                }
                _ => sum = sum + token,
            }
            outputs.push(sum.clone().unsqueeze_dim(1));
        }
        let mut y = Tensor::cat(outputs, 1);
        match self.fault {
            Fault::SeesTheFuture if seq > 1 => {
                let next = Tensor::cat(vec![x.clone().narrow(1, 1, seq - 1), x.narrow(1, 0, 1) * 0.0], 1);
                y = y + next * 1e-3;
            }
            Fault::MixesRows => y = y.clone() + y.mean_dim(0) * 1e-3,
            Fault::Overflows => y = y.exp(),
            Fault::HalvesGradients => y = y.clone().detach() * 0.5 + y * 0.5,
            _ => {}
        }
        let sum = if self.fault == Fault::CutsGradients { sum.detach() } else { sum };
        (self.proj.forward(y) * self.scale, SumState { sum, hidden })
    }
}

impl SequenceMixer for Sum {
    type State = SumState;

    fn init_state(&self, batch: usize, device: &Device) -> SumState {
        let sum = Tensor::zeros([batch, self.proj.weight.dims()[0]], device);
        SumState { sum, hidden: self.fault == Fault::HidesState }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<SumState>,
    ) -> (Tensor<3>, SumState) {
        let state = state.unwrap_or_else(|| self.init_state(x.dims()[0], &x.device()));
        segments.inspect(|segments| segments.check(x.dims()[0], x.dims()[1]));
        self.run(x, segments, state)
    }

    fn step(&self, x: Tensor<2>, state: SumState) -> (Tensor<2>, SumState) {
        let (y, after) = self.run(x.unsqueeze_dim(1), None, state.clone());
        (y.squeeze_dim(1), if self.fault == Fault::ForgetsTheStep { state } else { after })
    }

    fn state_growth(&self) -> StateGrowth {
        if self.fault == Fault::OverstatesGrowth { StateGrowth::Linear } else { StateGrowth::Constant }
    }
}

/// The laws that a fault breaks.
fn broken(fault: Fault) -> Vec<Law> {
    let fails = |law: &Law| {
        let panic = catch_unwind(|| check_law(*law, &SumConfig::new(8, fault))).err()?;
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(message.contains(&format!("law {law}: ")), "{fault:?} under {law}: {message}");
        Some(*law)
    };
    Law::ALL.iter().filter_map(fails).collect()
}

#[test]
fn a_mixer_without_fault_keeps_every_law() {
    assert_eq!(broken(Fault::None), []);
}

#[test]
fn faults_are_found() {
    for (fault, law) in [
        (Fault::SeesTheFuture, Law::Causality),
        (Fault::SeesTheFuture, Law::Stepping),
        (Fault::SeesTheFuture, Law::Splitting),
        (Fault::ForgetsTheStep, Law::Stepping),
        (Fault::MixesRows, Law::Rows),
        (Fault::IgnoresSegments, Law::Documents),
        (Fault::IgnoresSegments, Law::Padding),
        (Fault::OverstatesGrowth, Law::Growth),
        (Fault::IdleParameter, Law::Gradients),
        (Fault::Overflows, Law::Extremes),
        (Fault::CutsGradients, Law::Stepping),
        (Fault::CutsGradients, Law::Splitting),
        (Fault::HalvesGradients, Law::Gradients),
        (Fault::Broadcasts, Law::Misuse),
        (Fault::SavesNotAll, Law::Saving),
        (Fault::HidesState, Law::Values),
    ] {
        let laws = broken(fault);
        assert!(laws.contains(&law), "{fault:?} breaks {laws:?} and not {law:?}");
    }
}

#[test]
#[should_panic(expected = "law causality: inputs from 1 of 19 on changed")]
fn a_leak_of_the_future_is_named() {
    check_law(Law::Causality, &SumConfig::new(8, Fault::SeesTheFuture));
}
