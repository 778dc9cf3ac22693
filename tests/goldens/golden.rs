//! Reads a golden file, loads its parameters into modules, and compares what they give with what it holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use safetensors::SafeTensors;

/// Relative to an array's largest entry. f32 stands against f64; what is found is up to 1.2e-6, and 1.2e-5 for the
/// gradient of Mamba-2's Δ, which the norm after it all but cancels: rounding `x` to f32 alone, everything else in
/// f64, moves it by 6e-6. A wrong term of a formula shows at 1e-2.
const F32_TOLERANCE: f64 = 2e-5;

/// The files are rounded to f32, 6e-8; Burn's sigmoid (LSTM) computes in f32 on ndarray whatever its dtype, 1.2e-7.
const F64_TOLERANCE: f64 = 2e-7;

/// The float types to compare in that the device has.
pub fn dtypes() -> Vec<DType> {
    if crate::has_f64::has_f64() { vec![DType::F32, DType::F64] } else { vec![DType::F32] }
}

/// The arrays of a golden file. Each must be used, as an input or to compare with, before [`finish`](Self::finish).
pub struct Golden {
    name: &'static str,
    dtype: DType,
    arrays: BTreeMap<String, TensorData>,
    used: RefCell<BTreeSet<String>>,
    largest: RefCell<(f64, String)>,
}

impl Golden {
    pub fn read(name: &'static str, dtype: DType) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).join("data.safetensors");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let arrays = file.iter().map(|(name, view)| {
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            (name.to_string(), TensorData::new(values, view.shape().to_vec()))
        });
        Self { name, dtype, arrays: arrays.collect(), used: RefCell::default(), largest: RefCell::default() }
    }

    /// The device under test, with gradients.
    pub fn device() -> Device {
        Device::default().autodiff()
    }

    /// Numbers, as a tensor on that device and of that dtype.
    pub fn tensor<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        Tensor::from_data(data, (&Self::device(), self.dtype))
    }

    fn array(&self, name: &str) -> TensorData {
        self.used.borrow_mut().insert(name.to_string());
        self.arrays.get(name).unwrap_or_else(|| panic!("{}: no array {name}", self.name)).clone()
    }

    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// An input without gradient.
    pub fn constant<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.tensor(self.array(name))
    }

    /// An input whose gradient is wanted.
    pub fn input<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.constant(name).require_grad()
    }

    /// `param.NAME` as it is.
    pub fn param<const D: usize>(&self, name: &str) -> Param<Tensor<D>> {
        Param::from_tensor(self.constant(&format!("param.{name}")))
    }

    /// `param.NAME.weight`, transposed, and `param.NAME.bias` where there is one.
    pub fn linear(&self, name: &str) -> Linear {
        let weight = self.constant::<2>(&format!("param.{name}.weight")).transpose();
        let bias = format!("{name}.bias");
        Linear {
            weight: Param::from_tensor(weight),
            bias: self.has(&format!("param.{bias}")).then(|| self.param(&bias)),
        }
    }

    /// `param.NAME [channels, 1, d_conv]` as `[d_conv, channels]`.
    pub fn conv(&self, name: &str) -> Param<Tensor<2>> {
        let weight: Tensor<3> = self.constant(&format!("param.{name}"));
        Param::from_tensor(weight.squeeze_dim::<2>(1).transpose())
    }

    /// Compares with the array `name`.
    pub fn check<const D: usize>(&self, name: &str, actual: Tensor<D>) {
        let expected = self.array(name);
        let expected: (Vec<usize>, Vec<f64>) = (expected.shape().to_vec(), expected.iter().collect());
        assert_eq!(actual.dims().to_vec(), expected.0, "{} {name}: shape", self.name);
        let actual: Vec<f64> = actual.into_data().iter().collect();
        let scale = expected.1.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        assert!(scale > 0.0, "{} {name} is all 0 and shows nothing", self.name);
        let tolerance = if self.dtype == DType::F64 { F64_TOLERANCE } else { F32_TOLERANCE };
        for (index, (expected, actual)) in expected.1.iter().zip(actual).enumerate() {
            let deviation = (expected - actual).abs() / scale;
            assert!(
                deviation <= tolerance,
                "{} {name}[{index}]: expected {expected}, got {actual}, {deviation:e} of the largest entry",
                self.name
            );
            if deviation > self.largest.borrow().0 {
                *self.largest.borrow_mut() = (deviation, name.to_string());
            }
        }
    }

    /// Compares `[batch, d_conv − 1, channels]` with the array `name`, `[batch, channels, d_conv]`: Hugging Face
    /// keeps one more column, the oldest, that no later token reads.
    pub fn check_window(&self, name: &str, actual: Tensor<3>) {
        let oldest = self.constant::<3>(name).narrow(2, 0, 1);
        self.check(name, Tensor::cat(vec![oldest, actual.swap_dims(1, 2)], 2));
    }

    /// The gradients of `(output · cotangent).sum()`.
    pub fn backward<const D: usize>(&self, output: &Tensor<D>, cotangent: &str) -> Gradients {
        (output.clone() * self.constant(cotangent)).sum().backward()
    }

    /// Compares a gradient with the array `name`.
    pub fn check_gradient<const D: usize>(&self, name: &str, of: &Tensor<D>, gradients: &Gradients) {
        self.check(name, self.gradient(name, of, gradients));
    }

    fn gradient<const D: usize>(&self, name: &str, of: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
        of.grad(gradients).unwrap_or_else(|| panic!("{} {name}: no gradient", self.name))
    }

    /// Compares the gradients that the file has of these, under `kind.NAME`.
    pub fn check_gradients<const D: usize>(
        &self,
        kind: &str,
        inputs: &[(&str, &Tensor<D>)],
        gradients: &Gradients,
    ) {
        for (name, of) in inputs {
            let name = format!("{kind}.{name}");
            if self.has(&name) {
                self.check_gradient(&name, of, gradients);
            }
        }
    }

    /// Compares the gradient of a parameter with `grad.NAME`.
    pub fn check_param<const D: usize>(&self, name: &str, param: &Param<Tensor<D>>, gradients: &Gradients) {
        self.check_gradient(&format!("grad.{name}"), &param.val(), gradients);
    }

    /// Compares the gradients of a [`linear`](Self::linear) with `grad.NAME`.
    pub fn check_linear(&self, name: &str, linear: &Linear, gradients: &Gradients) {
        self.check_linear_of("grad", name, linear, gradients);
    }

    /// Compares the gradients of a [`linear`](Self::linear) with `kind.NAME`.
    pub fn check_linear_of(&self, kind: &str, name: &str, linear: &Linear, gradients: &Gradients) {
        let weight = format!("{kind}.{name}.weight");
        self.check(&weight, self.gradient(&weight, &linear.weight.val(), gradients).transpose());
        if let Some(bias) = &linear.bias {
            self.check_gradient(&format!("{kind}.{name}.bias"), &bias.val(), gradients);
        }
    }

    /// Compares the gradient of a [`conv`](Self::conv).
    pub fn check_conv(&self, name: &str, weight: &Param<Tensor<2>>, gradients: &Gradients) {
        let name = format!("grad.{name}");
        let gradient = self.gradient(&name, &weight.val(), gradients).transpose();
        self.check(&name, gradient.unsqueeze_dim::<3>(1));
    }

    /// Arrays whose name contains `part` are for something that this crate does not have.
    pub fn skip(&self, part: &str) {
        self.used.borrow_mut().extend(self.arrays.keys().filter(|name| name.contains(part)).cloned());
    }

    /// Panics unless every array was used.
    pub fn finish(self) {
        let used = self.used.into_inner();
        let left: Vec<&String> = self.arrays.keys().filter(|name| !used.contains(*name)).collect();
        assert!(left.is_empty(), "{}: nothing was compared with {left:?}", self.name);
        let (deviation, name) = self.largest.into_inner();
        println!("{} {:?}: largest relative deviation {deviation:.1e}, of {name}", self.name, self.dtype);
    }
}
