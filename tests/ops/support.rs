//! Random inputs, and comparisons of values and gradients.

use burn::tensor::{DType, Device, Distribution, Gradients, Tensor, TensorData};

pub use crate::has_f64::has_f64;

/// The device under test, `BURN_DEVICE`'s, with gradients.
pub fn device() -> Device {
    Device::default().autodiff()
}

/// Uniform on [low, high), tracked.
pub fn uniform<const D: usize>(shape: [usize; D], low: f64, high: f64, dtype: DType) -> Tensor<D> {
    let tensor = Tensor::<D>::random(shape, Distribution::Uniform(low, high), &device());
    tensor.cast(dtype).detach().require_grad()
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
        let cotangent: Vec<f64> =
            (0..len).map(|i| ((i * 7919 + 13 * index) % 101) as f64 / 50.0 - 1.0).collect();
        let cotangent =
            Tensor::<1>::from_data(TensorData::new(cotangent, [len]), (&output.device(), output.dtype()));
        let term = (output * cotangent).sum();
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
