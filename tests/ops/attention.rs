use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_sequence::ops::{
    AttentionInputs, AttentionOptions, HeadBias, Implementation, alibi_slopes, attention, attention_reference,
};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, device, has_f64, outcome, uniform, wrt};

fn run(name: &'static str, inputs: &AttentionInputs, form: impl Fn(AttentionInputs) -> Tensor<4>) -> Outcome {
    let AttentionInputs { q, k, v, .. } = inputs;
    let wrt = vec![("q", wrt(q)), ("k", wrt(k)), ("v", wrt(v))];
    outcome(name, vec![form(inputs.clone()).flatten(0, 3)], wrt)
}

fn check(inputs: &AttentionInputs, options: &AttentionOptions, tolerance: f64) {
    let reference = run("reference", inputs, |inputs| attention_reference(inputs, options));
    let portable = run("portable", inputs, |inputs| attention(inputs, options, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| attention(inputs, options, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

fn inputs(dims: [usize; 6], dtype: DType) -> AttentionInputs {
    let [batch, n_kv_heads, group, seq, past, head_dim] = dims;
    AttentionInputs::new(
        uniform([batch, n_kv_heads * group, seq, head_dim], -2.0, 2.0, dtype),
        uniform([batch, n_kv_heads, past + seq, head_dim], -2.0, 2.0, dtype),
        uniform([batch, n_kv_heads, past + seq, head_dim + 1], -2.0, 2.0, dtype),
    )
}

fn ids(rows: Vec<Vec<i32>>) -> Tensor<2, Int> {
    let dims = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), dims), &device())
}

fn options() -> impl Strategy<Value = AttentionOptions> {
    let bias = prop_oneof![
        Just(HeadBias::None),
        Just(HeadBias::Slopes(alibi_slopes(4))),
        Just(HeadBias::Slopes(vec![0.5, -0.25, 0.0, 1.0])),
        prop::collection::vec(1_usize..9, 1..4).prop_map(HeadBias::Windows),
    ];
    let window = prop::option::of(1_usize..50);
    (bias, window, prop::option::of(1.0..5.0)).prop_map(|(bias, window, soft_cap)| AttentionOptions {
        scale: None,
        soft_cap,
        window,
        bias,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forms_agree(seq in 1_usize..70, past in 0_usize..9, grouped: bool, options in options()) {
        let heads = if grouped { (2, 2) } else { (4, 1) };
        check(&inputs([2, heads.0, heads.1, seq, past, 3], DType::F32), &options, 5e-5);
    }

    #[test]
    fn forms_agree_on_documents(lengths in prop::collection::vec(1_usize..15, 1..5), hidden in 0_usize..4, options in options()) {
        let mut inputs = inputs([1, 4, 1, lengths.iter().sum(), hidden, 3], DType::F32);
        let queries: Vec<i32> = lengths.iter().enumerate().flat_map(|(id, &len)| vec![id as i32; len]).collect();
        let keys = [vec![-1; hidden], queries.clone()].concat();
        inputs.documents = Some((ids(vec![queries]), ids(vec![keys])));
        check(&inputs, &options, 5e-5);
    }
}

/// More keys than the kernel takes at a time.
#[test]
fn forms_agree_on_several_blocks_of_keys() {
    let inputs = inputs([1, 2, 2, 300, 10, 20], DType::F32);
    let document = |at: usize| i32::from(at >= 200);
    let queries: Vec<i32> = (0..300).map(document).collect();
    let keys = [vec![0; 10], queries.clone()].concat();
    let apart = AttentionInputs { documents: Some((ids(vec![queries]), ids(vec![keys]))), ..inputs.clone() };
    let options = AttentionOptions::default();
    check(&inputs, &AttentionOptions { soft_cap: Some(3.0), ..options.clone() }, 5e-5);
    check(&inputs, &AttentionOptions { window: Some(270), ..options.clone() }, 5e-5);
    check(&apart, &options, 5e-5);
}

/// Of the query heads that read one key head all are one task, or some.
#[test]
fn forms_agree_on_large_groups() {
    for dims in [[8, 2, 3, 11, 2, 3], [3, 1, 20, 11, 2, 3], [4, 2, 7, 11, 2, 3]] {
        check(&inputs(dims, DType::F32), &AttentionOptions::default(), 5e-5);
    }
}

#[test]
fn what_is_no_number_is_seen() {
    for (seq, past) in [(1, 40), (50, 0)] {
        let mut inputs = inputs([1, 1, 1, seq, past, 4], DType::F32);
        let [_, _, keys, _] = inputs.k.dims();
        inputs.k = inputs.k.slice_fill([0..1, 0..1, keys - 1..keys, 0..1], f32::NAN);
        for implementation in [Implementation::Portable, Implementation::Auto] {
            let y = attention(inputs.clone(), &AttentionOptions::default(), implementation);
            let y: Vec<f32> = y.into_data().iter().collect();
            let (before, last) = y.split_at(y.len() - 5);
            assert!(before.iter().all(|y| y.is_finite()), "{implementation:?}");
            assert!(last.iter().all(|y| y.is_nan()), "{implementation:?}: {last:?}");
        }
    }
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        let options =
            AttentionOptions { soft_cap: Some(2.0), window: Some(20), ..AttentionOptions::default() };
        check(&inputs([2, 2, 2, 41, 3, 5], DType::F64), &options, 1e-11);
        // Slopes that f32 does not hold.
        let options =
            AttentionOptions { bias: HeadBias::Slopes(alibi_slopes(6)), ..AttentionOptions::default() };
        check(&inputs([1, 2, 3, 41, 90, 5], DType::F64), &options, 1e-11);
    }
}

#[test]
fn a_query_without_keys_gets_nothing() {
    let mut inputs = inputs([1, 2, 1, 3, 0, 4], DType::F32);
    inputs.documents = Some((ids(vec![vec![0, 0, 0]]), ids(vec![vec![-1, -1, 0]])));
    check(&inputs, &AttentionOptions::default(), 5e-5);
    let y = attention(inputs, &AttentionOptions::default(), Implementation::Auto);
    let first: Vec<f32> = y.narrow(2, 0, 2).into_data().iter().collect();
    assert!(first.iter().all(|&y| y == 0.0), "{first:?}");
}

#[test]
fn a_ring_is_read_in_order_of_age() {
    let biases = [HeadBias::None, HeadBias::Slopes(alibi_slopes(2)), HeadBias::Windows(vec![3])];
    let documents = [None, Some((ids(vec![vec![0]]), ids(vec![vec![-1, -1, -1, 0, 0, 0, 0]])))];
    for case in 0..12 {
        let (bias, documents) = (biases[case % 3].clone(), documents[case / 3 % 2].clone());
        let window = [None, Some(4)][case / 6];
        let mut inputs = inputs([1, 2, 1, 1, 6, 4], DType::F32);
        inputs.documents = documents;
        let options = AttentionOptions { bias, window, ..AttentionOptions::default() };
        let expected = attention_reference(inputs.clone(), &options);
        // The two oldest keys lie at the end.
        let turn = |x: Tensor<4>| Tensor::cat(vec![x.clone().narrow(2, 2, 5), x.narrow(2, 0, 2)], 2);
        (inputs.k, inputs.v, inputs.oldest) = (turn(inputs.k), turn(inputs.v), 5);
        inputs.documents = inputs.documents.map(|(queries, keys)| (queries, keys.roll_dim(-2, 1)));
        for implementation in [Implementation::Auto, Implementation::Portable] {
            let read = |x: Tensor<4>| x.into_data().iter::<f32>().collect::<Vec<_>>();
            let actual = read(attention(inputs.clone(), &options, implementation));
            for (e, a) in read(expected.clone()).iter().zip(&actual) {
                assert!((e - a).abs() < 1e-5, "{options:?} {implementation:?}: {e} {a}");
            }
        }
    }
}

#[test]
fn options_that_mean_nothing() {
    let with = |bias, window| AttentionOptions { bias, window, ..AttentionOptions::default() };
    for (options, expected) in [
        (with(HeadBias::None, Some(0)), "window must be at least 1"),
        (with(HeadBias::Windows(vec![1, 0]), None), "expected windows of at least 1"),
        (with(HeadBias::Windows(vec![1; 3]), None), "at most 2 for as many heads"),
        (with(HeadBias::Slopes(vec![0.5; 3]), None), "a slope for each of 2 heads, got 3"),
        (with(HeadBias::Slopes(vec![0.5]), None), "a slope for each of 2 heads, got 1"),
    ] {
        for implementation in [Implementation::Auto, Implementation::Portable] {
            let inputs = inputs([1, 2, 1, 3, 0, 4], DType::F32);
            let attend = || attention(inputs, &options, implementation);
            let panic =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(attend)).expect_err("this must panic");
            let message = panic.downcast_ref::<String>().expect("a panic with a text");
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
#[should_panic(expected = "attention: n_kv_heads (2) must divide n_heads (3)")]
fn heads_must_divide() {
    let x = |heads| Tensor::<4>::zeros([1, heads, 2, 4], &device());
    attention(AttentionInputs::new(x(3), x(2), x(2)), &AttentionOptions::default(), Implementation::Auto);
}
