use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{DeltaRuleInputs, Implementation, Segments, delta_rule, delta_rule_reference};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, device, has_f64, outcome, saturated, uniform, wrt};

struct Sizes {
    groups: usize,
    heads: usize,
    seq: usize,
    chunk_size: usize,
    segments: Option<Segments>,
    decays: bool,
}

/// Keys are no longer than 1 and β goes beyond 1, so the state neither grows nor settles.
fn inputs(sizes: Sizes, dtype: DType) -> DeltaRuleInputs {
    let Sizes { groups, heads, seq, chunk_size, segments, decays } = sizes;
    let (batch, key_dim, value_dim) = (2, 3, 5);
    DeltaRuleInputs {
        q: uniform([batch, groups, seq, key_dim], -1.0, 1.0, dtype),
        k: uniform([batch, groups, seq, key_dim], -0.57, 0.57, dtype),
        v: uniform([batch, heads, seq, value_dim], -1.0, 1.0, dtype),
        beta: uniform([batch, heads, seq], 0.0, 2.0, dtype),
        log_decay: decays.then(|| uniform([batch, heads, seq], -1.0, 0.0, dtype)),
        state: uniform([batch, heads, key_dim, value_dim], -1.0, 1.0, dtype),
        segments,
        chunk_size,
    }
}

fn run(
    name: &'static str,
    inputs: &DeltaRuleInputs,
    form: impl Fn(DeltaRuleInputs) -> (Tensor<4>, Tensor<4>),
) -> Outcome {
    let (o, state) = form(inputs.clone());
    let DeltaRuleInputs { q, k, v, beta, log_decay, state: before, .. } = inputs;
    let mut arrays =
        vec![("q", wrt(q)), ("k", wrt(k)), ("v", wrt(v)), ("beta", wrt(beta)), ("state", wrt(before))];
    arrays.extend(log_decay.as_ref().map(|log_decay| ("log_decay", wrt(log_decay))));
    outcome(name, vec![o.flatten(0, 3), state.flatten(0, 3)], arrays)
}

fn check(inputs: &DeltaRuleInputs, tolerance: f64) {
    let reference = run("reference", inputs, delta_rule_reference);
    let portable = run("portable", inputs, |inputs| delta_rule(inputs, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| delta_rule(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forms_agree(seq in 1_usize..40, chunk_size in 1_usize..20, grouped: bool, decays: bool) {
        let groups = if grouped { 2 } else { 4 };
        let sizes = Sizes { groups, heads: 4, seq, chunk_size, segments: None, decays };
        check(&inputs(sizes, DType::F32), 5e-5);
    }

    #[test]
    fn forms_agree_on_documents(
        lengths in prop::collection::vec(1_usize..12, 1..5),
        padding in 0_usize..4,
        chunk_size in 1_usize..20,
        decays: bool,
    ) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Some(Segments::new(seq, [(0, lengths), (0, vec![seq])]));
        let sizes = Sizes { groups: 1, heads: 2, seq, chunk_size, segments, decays };
        check(&inputs(sizes, DType::F32), 5e-5);
    }
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        for chunk_size in [1, 8, 33] {
            let segments = Some(Segments::new(33, [(0, vec![10, 20]), (0, vec![33])]));
            let sizes = Sizes { groups: 2, heads: 4, seq: 33, chunk_size, segments, decays: true };
            check(&inputs(sizes, DType::F64), 1e-12);
        }
    }
}

/// Heads as wide as vector registers, and a whole chunk of the usual size.
#[test]
fn forms_agree_on_wide_heads() {
    let (seq, key_dim, value_dim, dtype) = (70, 40, 72, DType::F32);
    let inputs = DeltaRuleInputs {
        q: uniform([1, 1, seq, key_dim], -1.0, 1.0, dtype),
        k: uniform([1, 1, seq, key_dim], -0.27, 0.27, dtype),
        v: uniform([1, 2, seq, value_dim], -1.0, 1.0, dtype),
        beta: uniform([1, 2, seq], 0.0, 1.0, dtype),
        log_decay: Some(uniform([1, 2, seq], -0.1, 0.0, dtype)),
        state: uniform([1, 2, key_dim, value_dim], -1.0, 1.0, dtype),
        segments: None,
        chunk_size: 64,
    };
    check(&inputs, 2e-5);
}

/// What projections leave: heads that are no axis of their own in memory, and parts of a wider array.
#[test]
fn inputs_need_not_be_contiguous() {
    let sizes = Sizes { groups: 3, heads: 3, seq: 11, chunk_size: 4, segments: None, decays: true };
    let plain = inputs(sizes, DType::F32);
    let mut turned = plain.clone();
    turned.q = plain.q.clone().swap_dims(1, 2).mul_scalar(1.0).swap_dims(1, 2);
    turned.v = Tensor::cat(vec![plain.v.clone(), plain.v.clone()], 3).narrow(3, 0, 5);
    turned.beta = plain.beta.clone().swap_dims(1, 2).mul_scalar(1.0).swap_dims(1, 2);
    turned.log_decay = Some(Tensor::cat(vec![plain.log_decay.clone().unwrap(); 2], 2).narrow(2, 0, 11));
    let (expected, expected_state) = delta_rule_reference(plain);
    let (actual, state) = delta_rule(turned, Implementation::Auto);
    assert!(far(expected, actual) < 1e-5 && far(expected_state, state) < 1e-5);
}

/// With one key over and over and β = 1 every value replaces the last; with β = 2 and no values the state changes its
/// sign at each token. Inverses made of powers of the chunk's matrix lose all digits here.
#[test]
fn repeated_keys_stay_exact() {
    let (seq, device) = (64, device());
    let of = |value: f64, dims: [usize; 4]| Tensor::<4>::full(dims, value, &device);
    let mut inputs = DeltaRuleInputs {
        q: of(0.5, [1, 1, seq, 4]),
        k: of(0.5, [1, 1, seq, 4]),
        v: uniform([1, 1, seq, 3], -1.0, 1.0, DType::F32),
        beta: Tensor::full([1, 1, seq], 1.0, &device),
        log_decay: None,
        state: of(0.0, [1, 1, 4, 3]),
        segments: None,
        chunk_size: seq,
    };
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let (o, _) = delta_rule(inputs.clone(), implementation);
        assert!(far(inputs.v.clone(), o) < 1e-5, "{implementation:?}");
    }
    inputs.v = inputs.v.zeros_like();
    inputs.beta = inputs.beta * 2.0;
    inputs.state = of(1.0, [1, 1, 4, 3]);
    let signs: Vec<f32> = (0..seq).flat_map(|t| [if t % 2 == 0 { -2.0 } else { 2.0 }; 3]).collect();
    let signs = Tensor::<1>::from_data(&signs[..], &device).reshape([1, 1, seq, 3]);
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let (o, _) = delta_rule(inputs.clone(), implementation);
        assert!(far(signs.clone(), o) < 1e-5, "{implementation:?}");
    }
}

#[test]
fn saturated_decays_stay_exact() {
    for (log_decay, chunk_size) in saturated() {
        let [_, heads, seq] = log_decay.dims();
        let sizes = Sizes { groups: 1, heads, seq, chunk_size, segments: None, decays: true };
        let mut inputs = inputs(sizes, DType::F32);
        inputs.log_decay = Some(log_decay.require_grad());
        check(&inputs, 1e-5);
    }
}

fn far(expected: Tensor<4>, actual: Tensor<4>) -> f32 {
    (expected - actual).abs().max().into_scalar()
}

/// A decay of 0 is a logarithm of −∞, and padding does not multiply it.
#[test]
fn a_head_that_keeps_nothing_beside_padding() {
    let segments = Some(Segments::right_padded(&[3, 5], 5));
    let mut inputs =
        inputs(Sizes { groups: 1, heads: 2, seq: 5, chunk_size: 4, segments, decays: true }, DType::F32);
    let log_decay = Tensor::<3>::from_floats([[[f32::NEG_INFINITY], [-0.5]]], &inputs.q.device());
    inputs.log_decay = Some(log_decay);
    let rows = |x: Tensor<4>| x.narrow(0, 0, 1).narrow(2, 0, 3);
    let (_, expected) = delta_rule_reference(DeltaRuleInputs {
        q: rows(inputs.q.clone()),
        k: rows(inputs.k.clone()),
        v: rows(inputs.v.clone()),
        beta: inputs.beta.clone().narrow(0, 0, 1).narrow(2, 0, 3),
        state: inputs.state.clone().narrow(0, 0, 1),
        segments: None,
        ..inputs.clone()
    });
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let (_, state) = delta_rule(inputs.clone(), implementation);
        let apart = (state.narrow(0, 0, 1) - expected.clone()).into_data();
        assert!(apart.iter::<f32>().all(|apart| apart.abs() < 1e-5), "{implementation:?}: {apart}");
    }
}
