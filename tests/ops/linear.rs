use burn::tensor::{DType, Tensor, TensorData};
use burn_sequence::ops::{Implementation, WeightLayout, linear};

use crate::support::{assert_same, has_f64, outcome, uniform, wrt};

/// `[rows, d_input, d_output]`: one row and a few, less than registers hold, and large enough for several tasks of inputs or of
/// outputs and for several blocks; many.
const SIZES: [[usize; 3]; 19] = [
    [1, 5, 3],
    [2, 16, 40],
    [3, 8, 16],
    [4, 7, 15],
    [8, 130, 1],
    [3, 300, 700],
    [1, 300, 2100],
    [1, 1040, 520],
    [5, 203, 1100],
    [1, 9, 1500],
    [2, 40, 2100],
    [7, 45, 2100],
    [9, 33, 17],
    [32, 300, 130],
    [33, 300, 130],
    [700, 40, 65],
    [2100, 40, 65],
    [2100, 1, 65],
    [2100, 40, 1],
];

fn check(dtype: DType, tolerance: f64) {
    for [rows, d_input, d_output] in SIZES {
        for layout in [WeightLayout::InputFirst, WeightLayout::OutputFirst] {
            for bias in [true, false] {
                let x = uniform([1, rows, d_input], -1.0, 1.0, dtype);
                let weight = match layout {
                    WeightLayout::InputFirst => uniform([d_input, d_output], -1.0, 1.0, dtype),
                    WeightLayout::OutputFirst => uniform([d_output, d_input], -1.0, 1.0, dtype),
                };
                let bias = bias.then(|| uniform([d_output], -1.0, 1.0, dtype));
                let run = |name, implementation| {
                    let y = linear(x.clone(), weight.clone(), bias.clone(), layout, implementation);
                    assert_eq!(y.dims(), [1, rows, d_output]);
                    let mut inputs = vec![("x", wrt(&x)), ("weight", wrt(&weight))];
                    inputs.extend(bias.as_ref().map(|bias| ("bias", wrt(bias))));
                    outcome(name, vec![y.flatten(0, 2)], inputs)
                };
                let expected = run("portable", Implementation::Portable);
                assert_same(&expected, &run("fused", Implementation::Auto), tolerance);
            }
        }
    }
}

#[test]
fn fused_is_portable() {
    check(DType::F32, 1e-5);
    if has_f64() {
        check(DType::F64, 1e-13);
    }
}

#[test]
fn weights_of_8_bits() {
    use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
    if !crate::on_host::on_host() {
        return;
    }
    let bytes = QuantScheme::default().with_value(QuantValue::Q8S).with_store(QuantStore::Native);
    let scheme = |block: [u8; 2]| bytes.per_block(block, ScaleDtype::F32);
    let two_levels = bytes.per_block([8, 8], ScaleDtype::F16).per_tensor(ScaleDtype::F32);
    // Blocks that the kernel reads, small and large enough for several tasks, and others.
    let in_blocks =
        [[8, 8], [24, 72], [304, 704], [208, 1112], [40, 2104]].map(|dims| (dims, scheme([8, 8])));
    let others = [([24, 64], scheme([1, 32])), ([24, 64], two_levels)];
    for ([d_input, d_output], scheme) in in_blocks.into_iter().chain(others) {
        for rows in [1, 3, 7, 8, 20] {
            let x = uniform([rows, d_input], -1.0, 1.0, DType::F32);
            let weight = uniform([d_input, d_output], -1.0, 1.0, DType::F32);
            let weight = weight.quantize_dynamic(&scheme);
            let bias = uniform([d_output], -1.0, 1.0, DType::F32);
            let run = |name, weight: Tensor<2>| {
                let layout = WeightLayout::InputFirst;
                let y = linear(x.clone(), weight, Some(bias.clone()), layout, Implementation::Auto);
                outcome(name, vec![y.flatten(0, 1)], vec![("x", wrt(&x)), ("bias", wrt(&bias))])
            };
            let expected = run("floats", weight.clone().dequantize());
            assert_same(&expected, &run("8 bits", weight), 1e-5);
        }
    }
}

/// Rounded to the upper half of their bits, and no further.
#[test]
fn weights_of_16_bits() {
    if !crate::support::device().supports_dtype(DType::BF16) {
        return;
    }
    for [d_input, d_output] in [[5, 3], [203, 1100], [304, 700], [9, 2100], [2100, 9]] {
        for rows in [1, 3, 7, 8, 33] {
            let x = uniform([rows, d_input], -1.0, 1.0, DType::F32);
            let weight = uniform([d_output, d_input], -1.0, 1.0, DType::F32).inner();
            let weight = weight.cast(DType::BF16).transpose();
            let bias = uniform([d_output], -1.0, 1.0, DType::F32);
            let run = |name, weight: Tensor<2>| {
                let layout = WeightLayout::InputFirst;
                let y = linear(x.clone(), weight, Some(bias.clone()), layout, Implementation::Auto);
                assert_eq!(y.dtype(), DType::F32);
                outcome(name, vec![y.flatten(0, 1)], vec![("x", wrt(&x)), ("bias", wrt(&bias))])
            };
            let expected = run("floats", Tensor::from_inner(weight.clone().cast(DType::F32)));
            assert_same(&expected, &run("16 bits", weight), 1e-5);
        }
    }
}

#[test]
fn rows_that_are_not_contiguous() {
    let (x, weight) = (uniform([6, 20], -1.0, 1.0, DType::F32), uniform([7, 6], -1.0, 1.0, DType::F32));
    let run = |name, implementation| {
        let y = linear(
            x.clone().transpose(),
            weight.clone().transpose(),
            None,
            WeightLayout::InputFirst,
            implementation,
        );
        outcome(name, vec![y.flatten(0, 1)], vec![("x", wrt(&x)), ("weight", wrt(&weight))])
    };
    assert_same(&run("portable", Implementation::Portable), &run("fused", Implementation::Auto), 1e-5);
}

/// What is no number stays in its row.
#[test]
fn an_infinite_input() {
    let x = Tensor::<2>::from_data([[1.0, f32::INFINITY], [2.0, 3.0]], &crate::support::device());
    let weight = Tensor::<2>::ones([2, 17], &x.device());
    let y = linear(x, weight, None, WeightLayout::InputFirst, Implementation::Auto);
    let expected = Tensor::<2>::from_data([[f32::INFINITY], [5.0]], &y.device()).repeat_dim(1, 17);
    y.into_data().assert_eq(&expected.into_data(), false);
}

#[test]
#[should_panic(expected = "bias")]
fn a_bias_of_another_width() {
    let x = Tensor::<2>::zeros([2, 3], &crate::support::device());
    let weight = Tensor::zeros([3, 4], &x.device());
    let bias = Tensor::zeros([3], &x.device());
    linear(x, weight, Some(bias), WeightLayout::InputFirst, Implementation::Auto);
}

/// What is frozen, and what is given, has none; the others have theirs.
#[test]
fn gradients_are_of_what_is_tracked() {
    let device = crate::support::device();
    for rows in [3, 1100] {
        let arrays = [vec![rows, 20], vec![20, 30]].map(|dims| {
            let numbers = (0..dims.iter().product::<usize>()).map(|i| ((i * 37) % 19) as f32 / 19.0 - 0.5);
            TensorData::new(numbers.collect::<Vec<_>>(), dims)
        });
        let gradients = |tracked: [bool; 2]| {
            let [x, weight] = [0, 1].map(|index| {
                let tensor = Tensor::<2>::from_data(arrays[index].clone(), &device);
                if tracked[index] { tensor.require_grad() } else { tensor }
            });
            let bias = Tensor::<1>::ones([30], &device).require_grad();
            let (auto, layout) = (Implementation::Auto, WeightLayout::InputFirst);
            let y = linear(x.clone(), weight.clone(), Some(bias.clone()), layout, auto);
            let gradients = y.square().sum().backward();
            let of_bias = bias.grad(&gradients).expect("tracked").into_data();
            ([x.grad(&gradients), weight.grad(&gradients)].map(|grad| grad.map(Tensor::into_data)), of_bias)
        };
        let ([of_x, of_weight], of_bias) = gradients([true, true]);
        assert_eq!(gradients([false, true]), ([None, of_weight], of_bias.clone()));
        assert_eq!(gradients([true, false]), ([of_x, None], of_bias.clone()));
        assert_eq!(gradients([false, false]), ([None, None], of_bias));
    }
}
