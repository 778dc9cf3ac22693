//! Random inputs, and comparisons of values and gradients.

use std::cell::RefCell;

use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

pub use crate::has_f64::has_f64;

/// The device under test, `BURN_DEVICE`'s, with gradients.
pub fn device() -> Device {
    Device::default().autodiff()
}

thread_local! {
    /// Tests run in threads: each draws the same numbers every time.
    static GENERATOR: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Uniform on [low, high), tracked.
pub fn uniform<const D: usize>(shape: [usize; D], low: f64, high: f64, dtype: DType) -> Tensor<D> {
    let len = shape.iter().product();
    let draw = |rng: &RefCell<ChaCha8Rng>| {
        (0..len).map(|_| low + (high - low) * rng.borrow_mut().random::<f64>()).collect()
    };
    let numbers: Vec<f64> = GENERATOR.with(draw);
    Tensor::from_data(TensorData::new(numbers, shape), (&device(), dtype)).require_grad()
}

/// Logarithms of decays of two rows and heads, and the chunk size to take them at. Every third token forgets everything, the
/// others nothing, over several chunks; and in one, every second of the first 48 forgets everything, and all others little.
pub fn saturated() -> [(Tensor<3>, usize); 2] {
    let logs = |seq: usize, log: fn(usize) -> f32| {
        let logs: Vec<f32> = (0..4 * seq).map(log).collect();
        Tensor::from_data(TensorData::new(logs, [2, 2, seq]), &device())
    };
    [
        (logs(20, |i| if i.is_multiple_of(3) { -1e30 } else { 0.0 }), 8),
        (logs(64, |i| if i % 64 < 48 && i.is_multiple_of(2) { -1e30 } else { -0.02 }), 64),
    ]
}

/// What entry `i` of an output is multiplied by before all are added up and differentiated.
pub fn cotangent(output: usize, i: usize) -> f64 {
    ((i * 7919 + 13 * output) % 101) as f64 / 50.0 - 1.0
}

/// Finds a gradient, if there is one.
pub type Reader = Box<dyn Fn(&Gradients) -> Option<Vec<f64>>>;

/// What a form of an op gave: outputs, and the gradients of a fixed random functional of them.
pub struct Outcome {
    pub name: &'static str,
    pub arrays: Vec<(String, Vec<f64>)>,
}

/// Runs `form`, contracts its outputs with fixed cotangents, and collects the gradients of `inputs`.
pub fn outcome(name: &'static str, outputs: Vec<Tensor<1>>, inputs: Vec<(&str, Reader)>) -> Outcome {
    let mut arrays = Vec::new();
    let mut loss: Option<Tensor<1>> = None;
    for (index, output) in outputs.into_iter().enumerate() {
        arrays.push((format!("output {index}"), read(output.clone())));
        let [len] = output.dims();
        let factors: Vec<f64> = (0..len).map(|i| cotangent(index, i)).collect();
        let factors =
            Tensor::<1>::from_data(TensorData::new(factors, [len]), (&output.device(), output.dtype()));
        let term = (output * factors).sum();
        loss = Some(match loss {
            Some(loss) => loss + term,
            None => term,
        });
    }
    let gradients = loss.expect("an output").backward();
    for (input, gradient) in inputs {
        if let Some(gradient) = gradient(&gradients) {
            arrays.push((format!("gradient of {input}"), gradient));
        }
    }
    Outcome { name, arrays }
}

/// What a form gave without gradients.
pub fn values(name: &'static str, outputs: Vec<Tensor<1>>) -> Outcome {
    let array = |(index, output)| (format!("output {index}"), read(output));
    Outcome { name, arrays: outputs.into_iter().enumerate().map(array).collect() }
}

/// A tensor to read the gradient of.
pub fn wrt<const D: usize>(tensor: &Tensor<D>) -> Reader {
    let tensor = tensor.clone();
    Box::new(move |gradients| tensor.grad(gradients).map(read))
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Panics unless the outcomes agree; each array relative to its largest entry, or to 0.1 where sums of terms of order 1
/// cancel.
pub fn assert_same(expected: &Outcome, actual: &Outcome, tolerance: f64) {
    assert_eq!(
        expected.arrays.len(),
        actual.arrays.len(),
        "{} and {} gave other arrays",
        expected.name,
        actual.name
    );
    for ((name, expected_values), (_, values)) in expected.arrays.iter().zip(&actual.arrays) {
        assert_eq!(expected_values.len(), values.len(), "{name}");
        let largest = expected_values.iter().fold(0.1_f64, |largest, value| largest.max(value.abs()));
        for (index, (e, a)) in expected_values.iter().zip(values).enumerate() {
            assert!(
                (e - a).abs() <= tolerance * largest,
                "{name}[{index}]: {} gives {e}, {} gives {a} (largest entry {largest})",
                expected.name,
                actual.name,
            );
        }
    }
}
