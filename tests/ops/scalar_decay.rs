use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{Implementation, ScalarDecayInputs, Segments, scalar_decay, scalar_decay_reference};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, has_f64, outcome, saturated, uniform, wrt};

struct Sizes {
    groups: usize,
    heads: usize,
    seq: usize,
    chunk_size: usize,
    segments: Option<Segments>,
    decays: bool,
    /// Whether `dt` and `d` are there.
    weighs: bool,
}

fn inputs(sizes: Sizes, dtype: DType) -> ScalarDecayInputs {
    let Sizes { groups, heads, seq, chunk_size, segments, decays, weighs } = sizes;
    // Enough rows that several heads of a group are one task, where there are many; the rest are other tasks'.
    let (batch, key_dim, value_dim) = (if heads > 4 { 8 } else { 2 }, 3, 5);
    ScalarDecayInputs {
        q: uniform([batch, groups, seq, key_dim], -1.0, 1.0, dtype),
        k: uniform([batch, groups, seq, key_dim], -1.0, 1.0, dtype),
        v: uniform([batch, heads, seq, value_dim], -1.0, 1.0, dtype),
        log_decay: decays.then(|| uniform([batch, heads, seq], -1.0, 0.0, dtype)),
        dt: weighs.then(|| uniform([batch, heads, seq], 0.0, 2.0, dtype)),
        d: weighs.then(|| uniform([heads], -1.0, 1.0, dtype)),
        state: uniform([batch, heads, key_dim, value_dim], -1.0, 1.0, dtype),
        segments,
        chunk_size,
    }
}

fn run(
    name: &'static str,
    inputs: &ScalarDecayInputs,
    form: impl Fn(ScalarDecayInputs) -> (Tensor<4>, Tensor<4>),
) -> Outcome {
    let (o, state) = form(inputs.clone());
    let ScalarDecayInputs { q, k, v, log_decay, dt, d, state: before, .. } = inputs;
    let mut arrays = vec![("q", wrt(q)), ("k", wrt(k)), ("v", wrt(v)), ("state", wrt(before))];
    arrays.extend(log_decay.as_ref().map(|log_decay| ("log_decay", wrt(log_decay))));
    arrays.extend(dt.as_ref().map(|dt| ("dt", wrt(dt))));
    arrays.extend(d.as_ref().map(|d| ("d", wrt(d))));
    outcome(name, vec![o.flatten(0, 3), state.flatten(0, 3)], arrays)
}

fn check(inputs: &ScalarDecayInputs, tolerance: f64) {
    let reference = run("reference", inputs, scalar_decay_reference);
    let portable = run("portable", inputs, |inputs| scalar_decay(inputs, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| scalar_decay(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forms_agree(seq in 1_usize..40, chunk_size in 1_usize..20, grouped: bool, decays: bool, weighs: bool) {
        let groups = if grouped { 2 } else { 4 };
        let sizes = Sizes { groups, heads: 4, seq, chunk_size, segments: None, decays, weighs };
        check(&inputs(sizes, DType::F32), 5e-5);
    }

    #[test]
    fn forms_agree_on_documents(
        lengths in prop::collection::vec(1_usize..12, 1..5),
        padding in 0_usize..4,
        chunk_size in 1_usize..20,
        decays: bool,
        weighs: bool,
    ) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Some(Segments::new(seq, [(0, lengths), (0, vec![seq])]));
        let sizes = Sizes { groups: 1, heads: 2, seq, chunk_size, segments, decays, weighs };
        check(&inputs(sizes, DType::F32), 5e-5);
    }
}

#[test]
fn forms_agree_on_many_rows_and_heads() {
    for (groups, heads) in [(4, 16), (1, 18)] {
        let (seq, chunk_size) = (21, 8);
        let sizes = Sizes { groups, heads, seq, chunk_size, segments: None, decays: true, weighs: true };
        check(&inputs(sizes, DType::F32), 5e-5);
    }
}

/// Heads wider than what one thread of a GPU takes, and more tokens than a chunk has there.
#[test]
fn forms_agree_on_wide_heads() {
    let (seq, key_dim, value_dim, dtype) = (70, 40, 72, DType::F32);
    let inputs = ScalarDecayInputs {
        q: uniform([1, 1, seq, key_dim], -0.3, 0.3, dtype),
        k: uniform([1, 1, seq, key_dim], -0.3, 0.3, dtype),
        v: uniform([1, 2, seq, value_dim], -1.0, 1.0, dtype),
        log_decay: Some(uniform([1, 2, seq], -0.1, 0.0, dtype)),
        dt: None,
        d: None,
        state: uniform([1, 2, key_dim, value_dim], -1.0, 1.0, dtype),
        segments: Some(Segments::new(seq, [(0, vec![35, 30])])),
        chunk_size: 64,
    };
    check(&inputs, 2e-5);
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        let segments = Some(Segments::new(33, [(0, vec![10, 20]), (0, vec![33])]));
        let sizes =
            Sizes { groups: 2, heads: 4, seq: 33, chunk_size: 8, segments, decays: true, weighs: true };
        check(&inputs(sizes, DType::F64), 1e-12);
    }
}

#[test]
fn saturated_decays_stay_exact() {
    for (log_decay, chunk_size) in saturated() {
        let [_, heads, seq] = log_decay.dims();
        let sizes = Sizes { groups: 1, heads, seq, chunk_size, segments: None, decays: true, weighs: false };
        let mut inputs = inputs(sizes, DType::F32);
        inputs.log_decay = Some(log_decay.require_grad());
        check(&inputs, 1e-5);
    }
}

/// A decay of 0 is a logarithm of −∞, and padding does not multiply it.
#[test]
fn a_head_that_keeps_nothing_beside_padding() {
    let segments = Some(Segments::right_padded(&[3, 5], 5));
    let mut inputs = inputs(
        Sizes { groups: 1, heads: 2, seq: 5, chunk_size: 4, segments, decays: true, weighs: false },
        DType::F32,
    );
    let log_decay = Tensor::<3>::from_floats([[[f32::NEG_INFINITY], [-0.5]]], &inputs.q.device());
    inputs.log_decay = Some(log_decay);
    let rows = |x: Tensor<4>| x.narrow(0, 0, 1).narrow(2, 0, 3);
    let (_, expected) = scalar_decay_reference(ScalarDecayInputs {
        q: rows(inputs.q.clone()),
        k: rows(inputs.k.clone()),
        v: rows(inputs.v.clone()),
        state: inputs.state.clone().narrow(0, 0, 1),
        segments: None,
        ..inputs.clone()
    });
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let (_, state) = scalar_decay(inputs.clone(), implementation);
        let apart = (state.narrow(0, 0, 1) - expected.clone()).into_data();
        assert!(apart.iter::<f32>().all(|apart| apart.abs() < 1e-5), "{implementation:?}: {apart}");
    }
}
