//! The inputs of an op, by name.

use burn::tensor::{Device, Distribution, Gradients, Tensor, TensorData};

/// A random input: its name, its shape, and the range its numbers are uniform on.
pub struct Input {
    name: &'static str,
    shape: Vec<usize>,
    range: [f64; 2],
}

/// An input, uniform on a range.
pub fn uniform<const D: usize>(name: &'static str, shape: [usize; D], range: [f64; 2]) -> Input {
    Input { name, shape: shape.to_vec(), range }
}

impl Input {
    /// Its name and its numbers.
    pub fn draw(&self) -> (String, TensorData) {
        let [low, high] = self.range;
        let len: usize = self.shape.iter().product();
        let values = Tensor::<1>::random([len], Distribution::Uniform(low, high), &Device::default());
        let values: Vec<f32> = values.into_data().iter().collect();
        (self.name.into(), TensorData::new(values, self.shape.clone()))
    }
}

/// Inputs by name, flat; their gradients are asked for.
pub struct Arguments {
    leaves: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl Arguments {
    /// These numbers, on a device that records gradients or one that does not.
    pub fn new(arrays: impl IntoIterator<Item = (String, TensorData)>, device: &Device) -> Self {
        let leaves = arrays.into_iter().map(|(name, data)| {
            let (shape, values) = (data.shape().to_vec(), data.iter().collect::<Vec<f32>>());
            let flat = TensorData::new(values, [shape.iter().product::<usize>()]);
            let leaf = Tensor::<1>::from_data(flat, device);
            (name, shape, if device.is_autodiff() { leaf.require_grad() } else { leaf })
        });
        Self { leaves: leaves.collect() }
    }

    /// The input `name`.
    pub fn get<const D: usize>(&self, name: &str) -> Tensor<D> {
        let found = self.leaves.iter().find(|(leaf, _, _)| leaf == name);
        let (_, shape, leaf) = found.unwrap_or_else(|| panic!("no input {name}"));
        let shape: [usize; D] = shape.clone().try_into().expect("the rank asked for");
        leaf.clone().reshape(shape)
    }

    /// The gradient of every input, flat.
    pub fn gradients(&self, gradients: &Gradients) -> Vec<(String, Tensor<1>)> {
        let gradient = |leaf: &Tensor<1>| leaf.grad(gradients).expect("every input has a gradient");
        self.leaves.iter().map(|(name, _, leaf)| (name.clone(), gradient(leaf))).collect()
    }
}
