use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{elu_plus_one, gelu, gelu_tanh, neg_exp, sigmoid, silu, softplus};

use crate::support::{Outcome, assert_same, cotangent, has_f64, outcome, uniform, wrt};

type Function = fn(Tensor<2>) -> Tensor<2>;
/// The value at a point, and the derivative.
type Formula = fn(f64) -> [f64; 2];

/// Neither Burn's functions nor its derivatives: those have errors of their own, of the size of ours.
const FUNCTIONS: [(Function, Formula); 7] = [
    (gelu, |x| {
        let (below, density) =
            (libm::erfc(-x * FRAC_1_SQRT_2) / 2.0, (-x * x / 2.0).exp() / (2.0 * PI).sqrt());
        [x * below, below + x * density]
    }),
    (gelu_tanh, |x| {
        let scale = (8.0 / PI).sqrt();
        let below = logistic(scale * (x + 0.044_715 * x.powi(3)));
        let slope = scale * (1.0 + 3.0 * 0.044_715 * x * x);
        [x * below, below + x * below * (1.0 - below) * slope]
    }),
    (elu_plus_one, |x| if x < 0.0 { [x.exp(), x.exp()] } else { [x + 1.0, 1.0] }),
    (neg_exp, |x| [-x.exp(), -x.exp()]),
    (sigmoid, |x| [logistic(x), logistic(x) * logistic(-x)]),
    (silu, |x| [x * logistic(x), logistic(x) * (1.0 + x * logistic(-x))]),
    (softplus, |x| [x.exp().ln_1p(), logistic(x)]),
];

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn check(dtype: DType, tolerance: f64) {
    for (function, formula) in FUNCTIONS {
        let x = uniform([7, 33], -6.0, 6.0, dtype);
        let ours = outcome("ours", vec![function(x.clone()).flatten(0, 1)], vec![("x", wrt(&x))]);
        let points: Vec<[f64; 2]> = x.into_data().iter::<f64>().map(formula).collect();
        let values = points.iter().map(|point| point[0]).collect();
        let slopes = points.iter().enumerate().map(|(i, point)| point[1] * cotangent(0, i)).collect();
        let arrays = vec![("output 0".into(), values), ("gradient of x".into(), slopes)];
        assert_same(&Outcome { name: "formula", arrays }, &ours, tolerance);
    }
}

#[test]
fn activations_are_their_formulas() {
    // WGSL lets exp be off by 3 + 2|x| units in the last place: 15 of them are 9e-7. And the portable derivative of tanh GELU
    // multiplies 1 − σ, which there has the rounding of σ, by up to 35: 2e-6.
    check(DType::F32, if has_f64() { 1e-6 } else { 4e-6 });
    if has_f64() {
        check(DType::F64, 1e-13);
    }
}

#[test]
fn activations_are_finite_far_out() {
    for value in [-1e38, -1e30, -200.0, 200.0, 1e30, 1e38] {
        let x = Tensor::<1>::from_data([value], &crate::support::device());
        for y in [gelu(x.clone()), gelu_tanh(x.clone()), silu(x.clone()), softplus(x)] {
            let y = y.into_scalar::<f64>();
            assert!(
                y.is_finite() && (y - f64::max(value, 0.0)).abs() <= 1e-6 * f64::max(value, 1.0),
                "{value}: {y}"
            );
        }
    }
}
