use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{Implementation, LstmInputs, Segments, lstm, lstm_reference};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, has_f64, outcome, uniform, wrt};

fn inputs([batch, seq, d]: [usize; 3], segments: Option<Segments>, dtype: DType) -> LstmInputs {
    LstmInputs {
        gates: uniform([batch, seq, 4 * d], -3.0, 3.0, dtype),
        recurrent: uniform([d, 4 * d], -1.0, 1.0, dtype),
        hidden: uniform([batch, d], -1.0, 1.0, dtype),
        cell: uniform([batch, d], -2.0, 2.0, dtype),
        segments,
    }
}

fn run(
    name: &'static str,
    inputs: &LstmInputs,
    form: impl Fn(LstmInputs) -> (Tensor<3>, [Tensor<2>; 2]),
) -> Outcome {
    let (h, [last_hidden, last_cell]) = form(inputs.clone());
    let LstmInputs { gates, recurrent, hidden, cell, .. } = inputs;
    let wrt = vec![
        ("gates", wrt(gates)),
        ("recurrent", wrt(recurrent)),
        ("hidden", wrt(hidden)),
        ("cell", wrt(cell)),
    ];
    outcome(name, vec![h.flatten(0, 2), last_hidden.flatten(0, 1), last_cell.flatten(0, 1)], wrt)
}

fn check(shape: [usize; 3], segments: Option<Segments>, dtype: DType, tolerance: f64) {
    let inputs = inputs(shape, segments, dtype);
    let reference = run("reference", &inputs, lstm_reference);
    let fused = run("fused", &inputs, |inputs| lstm(inputs, Implementation::Auto));
    assert_same(&reference, &fused, tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn forms_agree(batch in 1_usize..15, seq in 1_usize..12, d in 1_usize..20) {
        check([batch, seq, d], None, DType::F32, 2e-5);
    }

    #[test]
    fn forms_agree_on_documents_and_padding(
        lengths in prop::collection::vec(1_usize..6, 1..4),
        padding in 0_usize..4,
    ) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Segments::new(seq, [(0, lengths), (0, vec![seq])]);
        check([2, seq, 5], Some(segments), DType::F32, 2e-5);
    }
}

/// Several tasks, the last with fewer rows.
#[test]
fn forms_agree_on_many_rows() {
    check([37, 5, 3], None, DType::F32, 2e-5);
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        let segments = Segments::new(11, [(0, vec![3, 4]), (0, vec![11])]);
        check([2, 11, 7], Some(segments), DType::F64, 1e-12);
    }
}

#[test]
fn a_single_token_continues_a_sequence() {
    let whole = inputs([3, 8, 6], None, DType::F32);
    let (expected, _) = lstm(whole.clone(), Implementation::Auto);
    let (mut hidden, mut cell) = (whole.hidden.clone(), whole.cell.clone());
    let mut outputs = Vec::new();
    for t in 0..8 {
        let gates = whole.gates.clone().narrow(1, t, 1);
        let step = LstmInputs { gates, hidden, cell, ..whole.clone() };
        let (h, state) = lstm(step, Implementation::Auto);
        outputs.push(h);
        [hidden, cell] = state;
    }
    let far = (expected - Tensor::cat(outputs, 1)).abs().max().into_scalar::<f32>();
    assert!(far < 1e-6, "{far}");
}
