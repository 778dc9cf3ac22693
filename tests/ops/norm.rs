use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{GatedNormOptions, gated_rms_norm, layer_norm, rms_norm};

use crate::support::{assert_same, has_f64, outcome, uniform, wrt};

/// Both norms, from x, gamma, beta and ε, or beta without effect.
type Form = fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>;

fn check(formula: Form, ours: Form, level: f64) {
    for (dtype, tolerance) in [(DType::F32, 5e-5), (DType::F64, 1e-12)] {
        if dtype == DType::F64 && !has_f64() {
            continue;
        }
        for width in [1, 5, 32, 77, 3000] {
            let x = uniform([3, 50, width], level - 2.0, level + 2.0, dtype);
            let (gamma, beta) = (uniform([width], 0.5, 1.5, dtype), uniform([width], -1.0, 1.0, dtype));
            let run = |name, form: Form| {
                let y = form(x.clone(), gamma.clone(), beta.clone(), 1e-3);
                outcome(
                    name,
                    vec![y.flatten(0, 2)],
                    vec![("x", wrt(&x)), ("gamma", wrt(&gamma)), ("beta", wrt(&beta))],
                )
            };
            assert_same(&run("formula", formula), &run("ours", ours), tolerance);
        }
    }
}

#[test]
fn rms_norm_is_its_formula() {
    check(
        |x, gamma, beta, epsilon| {
            let rms = (x.clone().square().mean_dim(2) + epsilon).sqrt();
            x / rms * gamma.unsqueeze() + beta.unsqueeze()
        },
        |x, gamma, beta, epsilon| rms_norm(x, gamma, epsilon) + beta.unsqueeze(),
        0.0,
    );
}

#[test]
fn layer_norm_is_its_formula() {
    for level in [0.0, 3.0] {
        check(
            |x, gamma, beta, epsilon| {
                let centred = x.clone() - x.mean_dim(2);
                let deviation = (centred.clone().square().mean_dim(2) + epsilon).sqrt();
                centred / deviation * gamma.unsqueeze() + beta.unsqueeze()
            },
            layer_norm,
            level,
        );
    }
}

#[test]
#[should_panic(expected = "beta")]
fn layer_norm_of_another_width() {
    let some = |width| uniform([width], 0.0, 1.0, DType::F32);
    layer_norm(some(4), some(4), some(3), 1e-5);
}

#[test]
fn gated_rms_norm_is_its_formula() {
    for (dtype, tolerance) in [(DType::F32, 5e-5), (DType::F64, 1e-12)] {
        if dtype == DType::F64 && !has_f64() {
            continue;
        }
        for (groups, group_size) in [(1, 1), (1, 37), (3, 32), (4, 9)] {
            let width = groups * group_size;
            let [x, z] = [(); 2].map(|()| uniform([3, 50, width], -2.0, 2.0, dtype));
            let gamma = uniform([width], 0.5, 1.5, dtype);
            for norm_before_gate in [false, true] {
                let options = GatedNormOptions { group_size, norm_before_gate, epsilon: 1e-3 };
                let norm = |x: Tensor<3>| {
                    let x = x.reshape([150, groups, group_size]);
                    let root = (x.clone().square().mean_dim(2) + 1e-3).sqrt();
                    (x / root).reshape([3, 50, width]) * gamma.clone().unsqueeze()
                };
                let gate = z.clone() / (z.clone().neg().exp() + 1.0);
                let formula = if norm_before_gate { norm(x.clone()) * gate } else { norm(x.clone() * gate) };
                let ours = gated_rms_norm(x.clone(), z.clone(), gamma.clone(), options);
                let inputs = || vec![("x", wrt(&x)), ("z", wrt(&z)), ("gamma", wrt(&gamma))];
                let expected = outcome("formula", vec![formula.flatten(0, 2)], inputs());
                assert_same(&expected, &outcome("ours", vec![ours.flatten(0, 2)], inputs()), tolerance);
            }
        }
    }
}

#[test]
#[should_panic(expected = "group_size (3) must divide the width (4)")]
fn gated_rms_norm_of_uneven_groups() {
    let some = |width| uniform([2, width], 0.0, 1.0, DType::F32);
    let options = GatedNormOptions { group_size: 3, norm_before_gate: false, epsilon: 1e-5 };
    gated_rms_norm(some(4), some(4), uniform([4], 0.0, 1.0, DType::F32), options);
}

/// A selection of tokens may be empty.
#[test]
fn no_rows_have_gradients_of_zero() {
    let device = crate::support::device();
    let gamma = || Tensor::<1>::ones([8], &device.clone().autodiff()).require_grad();
    let x = || Tensor::<2>::zeros([0, 8], &device.clone().autodiff());
    let options = || GatedNormOptions { group_size: 4, norm_before_gate: true, epsilon: 1e-5 };
    let norms: [&dyn Fn(Tensor<1>) -> Tensor<2>; 3] = [
        &|gamma| rms_norm(x(), gamma, 1e-5),
        &|gamma| layer_norm(x(), gamma.clone(), gamma, 1e-5),
        &|gamma| gated_rms_norm(x(), x(), gamma, options()),
    ];
    for norm in norms {
        let gamma = gamma();
        let gradients = norm(gamma.clone()).sum().backward();
        let largest = gamma.grad(&gradients).expect("gamma has a part in it").abs().max();
        assert_eq!(largest.into_scalar::<f32>(), 0.0);
    }
}
