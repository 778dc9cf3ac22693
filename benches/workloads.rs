//! Our side of `benches/pytorch/compare.py`: it is asked for one round at a time, so that both sides take turns.
//!
//! ```text
//! cargo bench --bench workloads -- --serve    # requests on stdin, replies on stdout, a JSON object a line
//! cargo bench --bench workloads -- --test     # do the ops of the list run?
//! ```
#![recursion_limit = "256"]

#[path = "../examples/common/allocator.rs"]
mod allocator;
#[path = "common/drain.rs"]
mod drain;
#[path = "ops/mod.rs"]
mod ops;

#[path = "workloads/arrays.rs"]
mod arrays;
#[path = "workloads/decoding.rs"]
mod decoding;
#[path = "workloads/limits.rs"]
mod limits;
#[path = "workloads/model.rs"]
mod model;
#[path = "workloads/op.rs"]
mod op;
#[path = "workloads/parameters.rs"]
mod parameters;
#[path = "workloads/server.rs"]
mod server;
#[path = "workloads/training.rs"]
mod training;

use std::time::Duration;

use arrays::Arrays;
use serde::Deserialize;

fn main() {
    allocator::keep_large_buffers();
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    if asked("--serve") {
        server::serve();
    } else if asked("--test") {
        op::check_all();
    } else {
        println!("workloads: run by `python3 benches/pytorch/compare.py`");
    }
}

/// What is timed.
trait Workload {
    /// What must agree with the other side: outputs and gradients, by name.
    fn results(&mut self) -> Arrays;

    /// Once. The device is done when this returns.
    fn run(&mut self, variant: Variant) -> Duration;
}

/// A way to run a workload.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Variant {
    /// Without gradients.
    Forward,
    /// With gradients; of a model, a whole step of training.
    Train,
    /// One token after another.
    Decode,
    /// The same with weights of 16 bits.
    DecodeBf16,
    /// The same with weights of 8 bits.
    DecodeInt8,
}
