//! The ops, each as a function of named inputs: one harness runs them all.
//!
//! A new op is one file, with its random inputs and its call, and a line in [`OPS`].

mod arguments;
mod attention;
mod causal_conv;
mod complex_scan;
mod delta_rule;
mod diagonal_scan;
mod linear;
mod lstm;
mod rms_norm;
mod scalar_decay;
mod selective_scan;
mod vector_decay;

pub use arguments::{Arguments, Input, uniform};

use burn::tensor::Tensor;

/// What is timed.
pub static OPS: [Op; 11] = [
    attention::OP,
    causal_conv::OP,
    complex_scan::OP,
    delta_rule::OP,
    diagonal_scan::OP,
    linear::OP,
    lstm::OP,
    rms_norm::OP,
    scalar_decay::OP,
    selective_scan::OP,
    vector_decay::OP,
];

/// An op, ready to run on random inputs or on given ones.
pub struct Op {
    /// As the function.
    pub name: &'static str,
    /// What it runs on, of this many tokens.
    pub inputs: fn(usize) -> Vec<Input>,
    /// The call; what has fewer axes than four begins with axes of length 1.
    pub call: fn(&Arguments) -> Tensor<4>,
}

impl Op {
    /// Outputs alone.
    pub fn forward(&self, arguments: &Arguments) -> Tensor<4> {
        (self.call)(arguments)
    }

    /// Outputs, and the gradients of their sum with respect to every input.
    pub fn train(&self, arguments: &Arguments) -> Vec<(String, Tensor<1>)> {
        let gradients = (self.call)(arguments).sum().backward();
        arguments.gradients(&gradients)
    }
}
