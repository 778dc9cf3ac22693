//! What a computation gave, and whether another gave the same.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use super::random::Random;
use super::tolerance::Tolerance;

/// Named outputs of one way to compute something.
#[derive(Default)]
pub(super) struct Outputs(Vec<(String, Tensor<3>)>);

impl Outputs {
    pub(super) fn push(&mut self, name: impl Into<String>, output: Tensor<3>) {
        self.0.push((name.into(), output));
    }

    /// The values, in order.
    pub(super) fn into_values(self) -> Vec<Vec<f32>> {
        self.0.into_iter().map(|(_, output)| read(output)).collect()
    }

    /// A fixed random functional of the outputs, `[1]`.
    fn functional(&self) -> Tensor<1> {
        let cotangent = |(index, (_, output)): (usize, &(String, Tensor<3>))| {
            (output.clone() * cotangent(index, output)).sum()
        };
        let terms = self.0.iter().enumerate().map(cotangent);
        terms.reduce(|sum, term| sum + term).expect("at least one output")
    }

    /// The same, added up in f64.
    pub(super) fn value(self) -> f64 {
        let dot = |(index, (_, output)): (usize, (String, Tensor<3>))| {
            let cotangent = read(cotangent(index, &output));
            read(output).iter().zip(cotangent).map(|(y, c)| f64::from(*y) * f64::from(c)).sum::<f64>()
        };
        self.0.into_iter().enumerate().map(dot).sum()
    }

    /// Adds one row of every output of `others`.
    pub(super) fn extend(&mut self, prefix: &str, others: &Self, row: usize) {
        for (name, output) in &others.0 {
            self.push(format!("{prefix}{name}"), output.clone().narrow(0, row, 1));
        }
    }
}

fn cotangent(index: usize, output: &Tensor<3>) -> Tensor<3> {
    Random::new(index as u64).tensor(output.dims(), 1.0, &output.device())
}

/// The values of outputs, and the gradients of their functional.
pub(super) struct Outcome {
    pub(super) outputs: Vec<(String, Vec<f32>)>,
    pub(super) gradients: Vec<(String, Vec<f32>)>,
}

impl Outcome {
    /// The values alone.
    pub(super) fn values(outputs: Outputs) -> Self {
        let outputs = outputs.0.into_iter().map(|(name, output)| (name, read(output))).collect();
        Self { outputs, gradients: Vec::new() }
    }

    /// Values and the gradients of `inputs` and of the parameters of `module`; an input without a gradient
    /// counts as one of gradient 0.
    pub(super) fn new<M: Module>(module: &M, inputs: &[(&str, &Tensor<3>)], outputs: Outputs) -> Self {
        let gradients = outputs.functional().backward();
        let mut found: Vec<(String, Vec<f32>)> = Vec::new();
        for (name, input) in inputs {
            let gradient = input.grad(&gradients).map(read);
            let zeros = || vec![0.0; input.shape().num_elements()];
            found.push((format!("gradient of {name}"), gradient.unwrap_or_else(zeros)));
        }
        let mut parameters = Parameters { gradients: &gradients, path: Vec::new(), found };
        module.visit(&mut parameters);
        Self { gradients: parameters.found, ..Self::values(outputs) }
    }

    /// Panics unless `other` is the same; each array relative to its largest entry, or to a thousandth of the
    /// largest of all where that is more: what vanishes but for rounding has no digits to compare.
    pub(super) fn assert_same(&self, other: &Self, tolerance: Tolerance, context: &str) {
        same(&self.outputs, &other.outputs, tolerance.forward, context);
        same(&self.gradients, &other.gradients, tolerance.gradient, context);
    }
}

fn same(expected: &[(String, Vec<f32>)], actual: &[(String, Vec<f32>)], tolerance: f32, context: &str) {
    assert_eq!(expected.len(), actual.len(), "{context}: another number of arrays");
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let overall = expected.iter().fold(0.0_f32, |overall, (_, values)| overall.max(largest(values)));
    for ((name, expected), (other, actual)) in expected.iter().zip(actual) {
        assert_eq!((name, expected.len()), (other, actual.len()), "{context}: other arrays");
        let scale = largest(expected).max(1e-3 * overall);
        for (index, (e, a)) in expected.iter().zip(actual).enumerate() {
            // Written so that NaN fails.
            let near = (e - a).abs() <= tolerance * scale;
            assert!(
                near,
                "{context}: {name}, entry {index}: expected {e}, got {a}; they may differ by {tolerance} × {scale}",
            );
        }
    }
}

pub(super) fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Collects the gradients of parameters by name.
struct Parameters<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Parameters<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let values = param.val();
        let zeros = || vec![0.0; values.shape().num_elements()];
        let gradient = values.grad(self.gradients).map(read).unwrap_or_else(zeros);
        self.found.push((format!("gradient of parameter {}", self.path.join(".")), gradient));
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}
