//! Every op, forward and with gradients, as the sequence grows.
//!
//! ```text
//! cargo bench --bench ops                        # all of them
//! cargo bench --bench ops -- train::attention    # those whose path matches
//! cargo bench --bench ops -- --test              # each once, briefly: do they run?
//! ```
#![recursion_limit = "256"]

#[path = "../examples/common/allocator.rs"]
mod allocator;
#[path = "common/drain.rs"]
mod drain;
#[path = "common/harness.rs"]
mod harness;
#[path = "common/lengths.rs"]
mod lengths;
#[path = "ops/mod.rs"]
mod ops;

use std::fmt;

use burn::tensor::Device;
use divan::Bencher;
use drain::drain;
use lengths::lengths;
use ops::{Arguments, Input, OPS, Op};

fn main() {
    harness::run();
}

/// An op, and the length it runs on.
struct Case {
    op: &'static Op,
    seq: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.op.name, self.seq)
    }
}

impl Case {
    fn arguments(&self, device: &Device) -> Arguments {
        Arguments::new((self.op.inputs)(self.seq).iter().map(Input::draw), device)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    OPS.iter().flat_map(|op| lengths().map(move |seq| Case { op, seq }))
}

#[divan::bench(args = cases())]
fn forward(bencher: Bencher, case: &Case) {
    let arguments = case.arguments(&Device::default());
    bencher.bench_local(|| drain(&case.op.forward(&arguments)));
}

#[divan::bench(args = cases())]
fn train(bencher: Bencher, case: &Case) {
    let arguments = case.arguments(&Device::default().autodiff());
    bencher.bench_local(|| case.op.train(&arguments).iter().for_each(|(_, gradient)| drain(gradient)));
}
