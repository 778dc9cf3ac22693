use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{
    DiagonalScanInputs, Gates, Implementation, Segments, diagonal_scan, diagonal_scan_reference,
};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, device, has_f64, outcome, uniform, wrt};

const KINDS: [&str; 3] = ["given", "rg_lru", "min_gru"];

fn gates(kind: &str, [batch, seq, channels]: [usize; 3], dtype: DType) -> Gates {
    let array = |low, high| uniform([batch, seq, channels], low, high, dtype);
    match kind {
        "given" => Gates::Given { log_decay: array(-2.0, 0.0), write: array(-1.0, 1.0) },
        "rg_lru" => Gates::RgLru {
            x: array(-1.0, 1.0),
            recurrent: array(-4.0, 4.0),
            input: array(-4.0, 4.0),
            rate: uniform([channels], 0.001, 3.0, dtype),
            begins: (0..batch).map(|row| row % 2 == 0).collect(),
        },
        _ => Gates::MinGru { z: array(-4.0, 4.0), h: array(-4.0, 4.0) },
    }
}

fn inputs(
    kind: &str,
    [batch, seq, channels]: [usize; 3],
    segments: Option<Segments>,
    dtype: DType,
) -> DiagonalScanInputs {
    let gates = gates(kind, [batch, seq, channels], dtype);
    DiagonalScanInputs { gates, state: uniform([batch, channels], -1.0, 1.0, dtype), segments }
}

fn run(
    name: &'static str,
    inputs: &DiagonalScanInputs,
    form: impl Fn(DiagonalScanInputs) -> (Tensor<3>, Tensor<2>),
) -> Outcome {
    let (h, state) = form(inputs.clone());
    let mut arrays = match &inputs.gates {
        Gates::Given { log_decay, write } => vec![("log_decay", wrt(log_decay)), ("write", wrt(write))],
        Gates::RgLru { x, recurrent, input, rate, .. } => {
            vec![("x", wrt(x)), ("recurrent", wrt(recurrent)), ("input", wrt(input)), ("rate", wrt(rate))]
        }
        Gates::MinGru { z, h } => vec![("z", wrt(z)), ("h", wrt(h))],
    };
    arrays.push(("state", wrt(&inputs.state)));
    outcome(name, vec![h.flatten(0, 2), state.flatten(0, 1)], arrays)
}

fn check_inputs(inputs: &DiagonalScanInputs, tolerance: f64) {
    let reference = run("reference", inputs, diagonal_scan_reference);
    let portable = run("portable", inputs, |inputs| diagonal_scan(inputs, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| diagonal_scan(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

fn check(shape: [usize; 3], segments: Option<Segments>, dtype: DType, tolerance: f64) {
    for kind in KINDS {
        check_inputs(&inputs(kind, shape, segments.clone(), dtype), tolerance);
    }
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
    let mut inputs = inputs("given", [1, 60, 4], None, DType::F32);
    let Gates::Given { write, .. } = inputs.gates else { unreachable!("as asked for") };
    for forgets in [-200.0, -1e30, f32::NEG_INFINITY] {
        let log_decay: Vec<f32> = (0..240).map(|i| [forgets, 0.0, -0.7][i / 4 % 3]).collect();
        let log_decay = Tensor::<1>::from_data(&log_decay[..], &device()).reshape([1, 60, 4]);
        let log_decay = log_decay.detach().require_grad();
        inputs.gates = Gates::Given { log_decay, write: write.clone() };
        check_inputs(&inputs, 2e-5);
    }
}

/// Gates that are shut or open as far as floats go; rates beside which 1 − a² is rounded away, and rates that
/// forget all.
#[test]
fn saturated_gates_stay_exact() {
    let (batch, seq, channels) = (2, 40, 6);
    let logits = |shift: usize| {
        let logit = |i: usize| [0.3, -1e4, 1e4, -30.0, 30.0][(i + shift) % 5];
        let values: Vec<f32> = (0..batch * seq * channels).map(logit).collect();
        let values = Tensor::<1>::from_data(&values[..], &device()).reshape([batch, seq, channels]);
        values.detach().require_grad()
    };
    let rate = Tensor::<1>::from_data([0.0, 1e-12, 1e-8, 1e-4, 30.0, 1e4], &device()).require_grad();
    let mut inputs = inputs("rg_lru", [batch, seq, channels], None, DType::F32);
    let Gates::RgLru { x, begins, .. } = inputs.gates else { unreachable!("as asked for") };
    inputs.gates = Gates::RgLru { x, recurrent: logits(0), input: logits(2), rate, begins };
    check_inputs(&inputs, 2e-5);
    inputs.gates = Gates::MinGru { z: logits(0), h: logits(3) };
    check_inputs(&inputs, 2e-5);
}

#[test]
fn views_are_read_as_they_are() {
    let turned = |form: fn(DiagonalScanInputs) -> (Tensor<3>, Tensor<2>)| {
        move |mut inputs: DiagonalScanInputs| {
            let Gates::Given { log_decay, write } = inputs.gates else { unreachable!("as asked for") };
            let [log_decay, write] = [log_decay, write].map(|x| x.swap_dims(1, 2));
            inputs.gates = Gates::Given { log_decay, write };
            form(inputs)
        }
    };
    let mut inputs = inputs("given", [2, 20, 37], None, DType::F32);
    inputs.state = uniform([2, 20], -1.0, 1.0, DType::F32);
    let reference = run("reference", &inputs, turned(diagonal_scan_reference));
    let fused = run("fused", &inputs, turned(|inputs| diagonal_scan(inputs, Implementation::Auto)));
    assert_same(&reference, &fused, 2e-5);
}
