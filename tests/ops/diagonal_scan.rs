use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{
    DiagonalScanInputs, Implementation, Segments, diagonal_scan, diagonal_scan_reference,
};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, device, has_f64, outcome, uniform, wrt};

fn inputs([batch, seq, channels]: [usize; 3], segments: Option<Segments>, dtype: DType) -> DiagonalScanInputs {
    DiagonalScanInputs {
        log_decay: uniform([batch, seq, channels], -2.0, 0.0, dtype),
        write: uniform([batch, seq, channels], -1.0, 1.0, dtype),
        state: uniform([batch, channels], -1.0, 1.0, dtype),
        segments,
    }
}

fn run(
    name: &'static str,
    inputs: &DiagonalScanInputs,
    form: impl Fn(DiagonalScanInputs) -> (Tensor<3>, Tensor<2>),
) -> Outcome {
    let (h, state) = form(inputs.clone());
    let DiagonalScanInputs { log_decay, write, state: before, .. } = inputs;
    let wrt = vec![("log_decay", wrt(log_decay)), ("write", wrt(write)), ("state", wrt(before))];
    outcome(name, vec![h.flatten(0, 2), state.flatten(0, 1)], wrt)
}

fn check_inputs(inputs: &DiagonalScanInputs, tolerance: f64) {
    let reference = run("reference", inputs, diagonal_scan_reference);
    let portable = run("portable", inputs, |inputs| diagonal_scan(inputs, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| diagonal_scan(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

fn check(shape: [usize; 3], segments: Option<Segments>, dtype: DType, tolerance: f64) {
    check_inputs(&inputs(shape, segments, dtype), tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forms_agree(batch in 1_usize..4, seq in 1_usize..75, channels in 1_usize..70) {
        check([batch, seq, channels], None, DType::F32, 2e-5);
    }

    #[test]
    fn forms_agree_on_documents_and_padding(
        lengths in prop::collection::vec(1_usize..20, 1..5),
        padding in 0_usize..40,
        channels in 1_usize..40,
    ) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Segments::new(seq, [(0, lengths), (0, vec![seq]), (0, vec![])]);
        check([3, seq, channels], Some(segments), DType::F32, 2e-5);
    }
}

#[test]
fn wide_rows_and_long_ones() {
    check([5, 3, 300], None, DType::F32, 2e-5);
    // Blocks of more than one vector, the last of them short.
    check([8, 35, 270], None, DType::F32, 2e-5);
    // Chunks of chunks in the portable form.
    check([1, 16, 2], None, DType::F32, 2e-5);
    check([1, 700, 3], Some(Segments::from_lengths(&[1, 320, 379])), DType::F32, 2e-5);
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        let segments = Segments::new(67, [(0, vec![30, 1, 20]), (0, vec![67])]);
        check([2, 67, 37], Some(segments), DType::F64, 1e-12);
    }
}

/// Every third token forgets everything, the next nothing, the last half.
#[test]
fn saturated_decays_stay_exact() {
    let mut inputs = inputs([1, 60, 4], None, DType::F32);
    for forgets in [-200.0, -1e30, f32::NEG_INFINITY] {
        let log_decay: Vec<f32> = (0..240).map(|i| [forgets, 0.0, -0.7][i / 4 % 3]).collect();
        let log_decay = Tensor::<1>::from_data(&log_decay[..], &device()).reshape([1, 60, 4]);
        inputs.log_decay = log_decay.detach().require_grad();
        check_inputs(&inputs, 2e-5);
    }
}

#[test]
fn views_are_read_as_they_are() {
    let (batch, seq, channels) = (2, 37, 20);
    let base = inputs([batch, channels, seq], None, DType::F32);
    let turned = |form: fn(DiagonalScanInputs) -> (Tensor<3>, Tensor<2>)| {
        move |inputs: DiagonalScanInputs| {
            let [log_decay, write] = [inputs.log_decay, inputs.write].map(|x| x.swap_dims(1, 2));
            form(DiagonalScanInputs { log_decay, write, ..inputs })
        }
    };
    let inputs = DiagonalScanInputs { state: uniform([batch, channels], -1.0, 1.0, DType::F32), ..base };
    let reference = run("reference", &inputs, turned(diagonal_scan_reference));
    let fused = run("fused", &inputs, turned(|inputs| diagonal_scan(inputs, Implementation::Auto)));
    assert_same(&reference, &fused, 2e-5);
}
