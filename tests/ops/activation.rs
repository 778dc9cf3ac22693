use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{elu_plus_one, gelu, gelu_tanh, neg_exp, sigmoid, silu, softplus};

use crate::support::{assert_same, has_f64, outcome, uniform, wrt};

type Function = fn(Tensor<2>) -> Tensor<2>;

fn check(dtype: DType, tolerance: f64) {
    // The formulas, in the tensor's own precision: Burn's sigmoid computes in f32 on some backends.
    let functions: [(Function, Function); 7] = [
        (|x| (x.clone() / std::f64::consts::SQRT_2).erf().add_scalar(1.0) * x * 0.5, gelu),
        (
            |x| {
                let inner =
                    (x.clone().powi_scalar(3) * 0.044_715 + x.clone()) * (2.0 / std::f64::consts::PI).sqrt();
                (inner.tanh() + 1.0) * x * 0.5
            },
            gelu_tanh,
        ),
        (|x| x.clone().clamp_min(0.0) + x.clamp_max(0.0).exp(), elu_plus_one),
        (|x| x.exp().neg(), neg_exp),
        (|x| (x.neg().exp() + 1.0).recip(), sigmoid),
        (|x| x.clone() / (x.neg().exp() + 1.0), silu),
        (|x| x.exp().log1p(), softplus),
    ];
    for (expected, actual) in functions {
        let x = uniform([7, 33], -6.0, 6.0, dtype);
        let run = |name, f: Function| outcome(name, vec![f(x.clone()).flatten(0, 1)], vec![("x", wrt(&x))]);
        assert_same(&run("formula", expected), &run("ours", actual), tolerance);
    }
}

#[test]
fn activations_are_their_formulas() {
    check(DType::F32, 2e-6);
    if has_f64() {
        // Burn's own derivative of erf, in the formula, has the precision of f32 constants: 2e-9 off.
        check(DType::F64, 1e-8);
    }
}

#[test]
fn activations_are_finite_far_out() {
    for value in [-1e30, -200.0, 200.0, 1e30] {
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
