use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{
    Implementation, Segments, SelectiveScanInputs, selective_scan, selective_scan_reference,
};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, outcome, uniform, wrt};

fn inputs(
    [batch, seq, d_inner, d_state]: [usize; 4],
    segments: Option<Segments>,
    dtype: DType,
) -> SelectiveScanInputs {
    SelectiveScanInputs {
        u: uniform([batch, seq, d_inner], -1.0, 1.0, dtype),
        delta: uniform([batch, seq, d_inner], 0.0, 1.0, dtype),
        a: uniform([d_inner, d_state], -2.0, -0.01, dtype),
        b: uniform([batch, seq, d_state], -1.0, 1.0, dtype),
        c: uniform([batch, seq, d_state], -1.0, 1.0, dtype),
        state: uniform([batch, d_inner, d_state], -1.0, 1.0, dtype),
        segments,
    }
}

fn run(
    name: &'static str,
    inputs: &SelectiveScanInputs,
    form: impl Fn(SelectiveScanInputs) -> (Tensor<3>, Tensor<3>),
) -> Outcome {
    let (y, state) = form(inputs.clone());
    let SelectiveScanInputs { u, delta, a, b, c, state: before, .. } = inputs;
    let wrt = vec![
        ("u", wrt(u)),
        ("delta", wrt(delta)),
        ("a", wrt(a)),
        ("b", wrt(b)),
        ("c", wrt(c)),
        ("state", wrt(before)),
    ];
    outcome(name, vec![y.flatten(0, 2), state.flatten(0, 2)], wrt)
}

fn check(shape: [usize; 4], segments: Option<Segments>, dtype: DType, tolerance: f64) {
    let inputs = inputs(shape, segments, dtype);
    let reference = run("reference", &inputs, selective_scan_reference);
    let portable = run("portable", &inputs, |inputs| selective_scan(inputs, Implementation::Portable));
    let fused = run("fused", &inputs, |inputs| selective_scan(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn forms_agree(batch in 1_usize..3, seq in 1_usize..75, d_inner in 1_usize..70, d_state in 1_usize..9) {
        check([batch, seq, d_inner, d_state], None, DType::F32, 2e-5);
    }

    #[test]
    fn forms_agree_on_documents_and_padding(lengths in prop::collection::vec(1_usize..20, 1..4), padding in 0_usize..5) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Segments::new(seq, [(0, lengths), (0, vec![seq])]);
        check([2, seq, 5, 3], Some(segments), DType::F32, 2e-5);
    }
}

#[test]
fn forms_agree_in_f64() {
    if crate::support::has_f64() {
        check([2, 67, 37, 4], Some(Segments::new(67, [(0, vec![30, 20]), (0, vec![67])])), DType::F64, 1e-12);
    }
}
