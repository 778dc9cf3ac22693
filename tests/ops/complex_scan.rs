use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{ComplexScanInputs, Implementation, Segments, complex_scan, complex_scan_reference};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, device, has_f64, outcome, uniform, wrt};

fn inputs(
    [batch, seq, channels, d_state]: [usize; 4],
    segments: Option<Segments>,
    dtype: DType,
) -> ComplexScanInputs {
    // Of modulus 0.4 to 1.
    let modulus = uniform([channels, d_state], 0.4, 1.0, dtype);
    let angle = uniform([channels, d_state], -3.2, 3.2, dtype);
    let decay = Tensor::stack::<3>(vec![modulus.clone() * angle.clone().cos(), modulus * angle.sin()], 2);
    ComplexScanInputs {
        u: uniform([batch, seq, channels], -1.0, 1.0, dtype),
        decay: decay.detach().require_grad(),
        c: uniform([channels, d_state, 2], -1.0, 1.0, dtype),
        state: uniform([batch, channels, d_state, 2], -1.0, 1.0, dtype),
        segments,
    }
}

fn run(
    name: &'static str,
    inputs: &ComplexScanInputs,
    form: impl Fn(ComplexScanInputs) -> (Tensor<3>, Tensor<4>),
) -> Outcome {
    let (y, state) = form(inputs.clone());
    let ComplexScanInputs { u, decay, c, state: before, .. } = inputs;
    let wrt = vec![("u", wrt(u)), ("decay", wrt(decay)), ("c", wrt(c)), ("state", wrt(before))];
    outcome(name, vec![y.flatten(0, 2), state.flatten(0, 3)], wrt)
}

fn check_inputs(inputs: &ComplexScanInputs, tolerance: f64) {
    let reference = run("reference", inputs, complex_scan_reference);
    let portable = run("portable", inputs, |inputs| complex_scan(inputs, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| complex_scan(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

fn check(shape: [usize; 4], segments: Option<Segments>, dtype: DType, tolerance: f64) {
    check_inputs(&inputs(shape, segments, dtype), tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn forms_agree(batch in 1_usize..4, seq in 1_usize..140, channels in 1_usize..40, d_state in 1_usize..6) {
        check([batch, seq, channels, d_state], None, DType::F32, 2e-5);
    }

    #[test]
    fn forms_agree_on_documents_and_padding(
        lengths in prop::collection::vec(1_usize..70, 1..5),
        padding in 0_usize..40,
    ) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Segments::new(seq, [(0, lengths), (0, vec![seq]), (0, vec![])]);
        check([3, seq, 5, 3], Some(segments), DType::F32, 2e-5);
    }
}

/// Documents of one token: as many pieces as there are tokens, and none needs a kept state.
#[test]
fn many_short_documents() {
    let segments = Segments::new(150, [(0, vec![1; 150]), (0, vec![64, 64, 22])]);
    check([2, 150, 3, 2], Some(segments), DType::F32, 2e-5);
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        let segments = Segments::new(167, [(0, vec![30, 1, 100]), (0, vec![167])]);
        check([2, 167, 19, 3], Some(segments), DType::F64, 1e-12);
    }
}

/// Decays of 0 forget all, those of modulus 1 turn for ever.
#[test]
fn extreme_decays_stay_exact() {
    let mut inputs = inputs([2, 200, 1, 4], None, DType::F32);
    let decay = Tensor::<3>::from_data([[[0.0, 0.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]], &device());
    inputs.decay = decay.require_grad();
    check_inputs(&inputs, 2e-5);
}

#[test]
fn views_are_read_as_they_are() {
    let mut inputs = inputs([2, 70, 6, 2], None, DType::F32);
    inputs.u = uniform([2, 6, 70], -1.0, 1.0, DType::F32);
    let turned = |form: fn(ComplexScanInputs) -> (Tensor<3>, Tensor<4>)| {
        move |inputs: ComplexScanInputs| form(ComplexScanInputs { u: inputs.u.swap_dims(1, 2), ..inputs })
    };
    let reference = run("reference", &inputs, turned(complex_scan_reference));
    let fused = run("fused", &inputs, turned(|inputs| complex_scan(inputs, Implementation::Auto)));
    assert_same(&reference, &fused, 2e-5);
}
