//! Activations, one launch forward and one back.

use burn::tensor::Shape;
use burn_wgpu::CubeTensor;
use cubecl::prelude::*;

use super::op::{Counts, GpuOp};
use super::{address_type, arg, empty, entry, in_order, threads};
use crate::kernels::elementwise::Elementwise;

/// `1 / (1 + e⁻ˣ)`, without overflow.
#[cube]
fn sigmoid<F: Float>(x: F) -> F {
    let power = (-x.abs()).exp();
    let mut above = F::new(1.0_f32);
    if x < F::new(0.0_f32) {
        above = power;
    }
    above / (power + F::new(1.0_f32))
}

/// `ln(1 + x)` for x in [0, 1], as 2 artanh(x / (2 + x)): a GPU's logarithm near 1 has few digits.
#[cube]
fn ln_1p_unit<F: Float>(x: F) -> F {
    let s = x / (x + F::new(2.0_f32));
    let square = s * s;
    let mut series = F::new(1.0_f32 / 17.0);
    series = series * square + F::new(1.0_f32 / 15.0);
    series = series * square + F::new(1.0_f32 / 13.0);
    series = series * square + F::new(1.0_f32 / 11.0);
    series = series * square + F::new(1.0_f32 / 9.0);
    series = series * square + F::new(1.0_f32 / 7.0);
    series = series * square + F::new(1.0_f32 / 5.0);
    series = series * square + F::new(1.0_f32 / 3.0);
    series = series * square + F::new(1.0_f32);
    s * series * F::new(2.0_f32)
}

/// √(8/π) (x + 0.044715 x³).
#[cube]
fn gelu_inner<F: Float>(x: F) -> F {
    F::new(1.595_769_f32) * x * (F::new(0.044_715_f32) * x * x + F::new(1.0_f32))
}

/// Φ(x).
#[cube]
fn normal<F: Float>(x: F) -> F {
    F::new(0.5_f32) * ((x * F::new(std::f32::consts::FRAC_1_SQRT_2)).erf() + F::new(1.0_f32))
}

/// The function.
#[cube]
pub(super) fn value<F: Float>(x: F, #[comptime] function: Elementwise) -> F {
    let zero = F::new(0.0_f32);
    match function {
        Elementwise::EluPlusOne => max(x, zero) + min(x, zero).exp(),
        Elementwise::Gelu => x * normal::<F>(x),
        Elementwise::GeluTanh => x * sigmoid::<F>(gelu_inner::<F>(x)),
        Elementwise::NegExp => -(x.exp()),
        Elementwise::Sigmoid => sigmoid::<F>(x),
        Elementwise::Silu => x * sigmoid::<F>(x),
        Elementwise::Softplus => max(x, zero) + ln_1p_unit::<F>((-x.abs()).exp()),
    }
}

/// Its derivative.
#[cube]
pub(super) fn derivative<F: Float>(x: F, #[comptime] function: Elementwise) -> F {
    let zero = F::new(0.0_f32);
    let one = F::new(1.0_f32);
    match function {
        Elementwise::EluPlusOne => min(x, zero).exp(),
        Elementwise::Gelu => {
            // 1/√(2π)
            let density = F::new(0.398_942_3_f32) * (F::new(-0.5_f32) * x * x).exp();
            x * density + normal::<F>(x)
        }
        Elementwise::GeluTanh => {
            let inner = gelu_inner::<F>(x);
            let slope = F::new(1.595_769_f32) * (F::new(3.0_f32 * 0.044_715) * x * x + one);
            let below = sigmoid::<F>(inner);
            below + x * slope * below * sigmoid::<F>(-inner)
        }
        Elementwise::NegExp => -(x.exp()),
        Elementwise::Sigmoid => sigmoid::<F>(x) * sigmoid::<F>(-x),
        Elementwise::Silu => {
            let below = sigmoid::<F>(x);
            below + x * below * sigmoid::<F>(-x)
        }
        Elementwise::Softplus => sigmoid::<F>(x),
    }
}

#[cube(launch, address_type = "dynamic")]
fn map<F: Float>(
    x: &Tensor<F>,
    y: &mut Tensor<F>,
    #[comptime] function: Elementwise,
    #[comptime] ordered: bool,
    #[define(F)] _dtype: ElemType,
) {
    let here = ABSOLUTE_POS;
    if here >= y.len() {
        terminate!();
    }
    y[here] = value::<F>(entry::<F>(x, here, ordered), function);
}

#[cube(launch, address_type = "dynamic")]
fn map_back<F: Float>(
    x: &Tensor<F>,
    grad_y: &Tensor<F>,
    grad_x: &mut Tensor<F>,
    #[comptime] function: Elementwise,
    #[comptime] ordered: bool,
    #[define(F)] _dtype: ElemType,
) {
    let here = ABSOLUTE_POS;
    if here >= grad_x.len() {
        terminate!();
    }
    let slope = derivative::<F>(entry::<F>(x, here, ordered), function);
    grad_x[here] = slope * entry::<F>(grad_y, here, ordered);
}

impl GpuOp for Elementwise {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [x] = inputs.try_into().expect("an input");
        let shape = x.meta.shape();
        let (address, ordered) = (address_type(&[&x], shape.num_elements()), in_order(&[&x]));
        let y = empty(&x, shape.clone());
        let (count, dim) = threads(&x, shape.num_elements());
        let elem = f32::elem_type_native();
        map::launch(&x.client, count, dim, address, arg(&x), arg(&y), *self, ordered, elem);
        vec![y]
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 1, learnt: 1 }
    }

    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [x, grad_y] = tensors.try_into().expect("two tensors");
        let shape = x.meta.shape();
        let (address, ordered) =
            (address_type(&[&x, &grad_y], shape.num_elements()), in_order(&[&x, &grad_y]));
        let grad_x = empty(&x, shape.clone());
        let (count, dim) = threads(&x, shape.num_elements());
        let (of_y, of_x, elem) = (arg(&grad_y), arg(&grad_x), f32::elem_type_native());
        map_back::launch(&x.client, count, dim, address, arg(&x), of_y, of_x, *self, ordered, elem);
        vec![grad_x]
    }
}
