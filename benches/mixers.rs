//! Every mixer of the list with its options at their defaults: forward, with gradients, and one token at a time,
//! as the sequence grows.
//!
//! ```text
//! cargo bench --bench mixers                  # all of them
//! cargo bench --bench mixers -- step::mamba   # those whose path matches
//! cargo bench --bench mixers -- --test        # each once, briefly: do they run?
//! ```
#![recursion_limit = "256"]

#[path = "../examples/common/allocator.rs"]
mod allocator;
#[path = "common/cases.rs"]
mod cases;
#[path = "common/drain.rs"]
mod drain;
#[path = "common/harness.rs"]
mod harness;
#[path = "common/lengths.rs"]
mod lengths;

use std::fmt;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use burn_sequence::layers::{BuildMixer, MixerConfig, SequenceMixer};
use cases::{D_MODEL, mixers};
use divan::Bencher;
use drain::drain;
use lengths::lengths;

fn main() {
    harness::run();
}

/// A mixer, and the length it runs on: for a step, the tokens it has seen before.
struct Case {
    name: String,
    config: MixerConfig,
    seq: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.seq)
    }
}

impl Case {
    fn tokens(&self, device: &Device) -> Tensor<3> {
        Tensor::random([1, self.seq, D_MODEL], Distribution::Normal(0.0, 1.0), device)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let at = |(name, config): (String, MixerConfig)| {
        lengths().map(move |seq| Case { name: name.clone(), config: config.clone(), seq })
    };
    mixers().flat_map(at)
}

#[divan::bench(args = cases())]
fn forward(bencher: Bencher, case: &Case) {
    let device = Device::default();
    let (mixer, x) = (case.config.build(&device), case.tokens(&device));
    bencher.bench_local(|| drain(&mixer.forward(x.clone(), None, None).0));
}

/// The gradients of the outputs' sum, with respect to parameters and inputs.
#[divan::bench(args = cases())]
fn train(bencher: Bencher, case: &Case) {
    let device = Device::default().autodiff();
    let mixer = case.config.build(&device).train();
    let x = case.tokens(&device).require_grad();
    bencher.bench_local(|| {
        let mut gradients = mixer.forward(x.clone(), None, None).0.sum().backward();
        drain(&x.grad_remove(&mut gradients).expect("a gradient of the inputs"));
        GradientsParams::from_grads(gradients, &mixer)
    });
}

#[divan::bench(args = cases())]
fn step(bencher: Bencher, case: &Case) {
    let device = Device::default();
    let (mixer, x) = (case.config.build(&device), case.tokens(&device));
    let token = x.clone().narrow(1, case.seq - 1, 1).squeeze_dim::<2>(1);
    // Each step goes on from the last, as in decoding: a state that nobody else holds is written in place.
    let mut state = Some(mixer.forward(x, None, None).1);
    bencher.bench_local(|| {
        let earlier = state.take().expect("the last step left one");
        let (y, later) = mixer.step(token.clone(), earlier);
        state = Some(later);
        drain(&y);
    });
}
