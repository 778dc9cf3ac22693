use burn::tensor::{DType, Tensor, TensorData};
use burn_sequence::ops::{Implementation, Segments, VectorDecayInputs, vector_decay, vector_decay_reference};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, device, has_f64, outcome, uniform, wrt};

struct Sizes {
    seq: usize,
    dims: [usize; 2],
    chunk_size: usize,
    segments: Option<Segments>,
    /// The strongest log-decay.
    least: f64,
}

fn inputs(sizes: Sizes, dtype: DType) -> VectorDecayInputs {
    inputs_of([2, 3], sizes, dtype)
}

fn inputs_of([batch, heads]: [usize; 2], sizes: Sizes, dtype: DType) -> VectorDecayInputs {
    let Sizes { seq, dims: [key_dim, value_dim], chunk_size, segments, least } = sizes;
    VectorDecayInputs {
        q: uniform([batch, heads, seq, key_dim], -1.0, 1.0, dtype),
        k: uniform([batch, heads, seq, key_dim], -1.0, 1.0, dtype),
        v: uniform([batch, heads, seq, value_dim], -1.0, 1.0, dtype),
        log_decay: uniform([batch, heads, seq, key_dim], least, 0.0, dtype),
        state: uniform([batch, heads, key_dim, value_dim], -1.0, 1.0, dtype),
        segments,
        chunk_size,
    }
}

fn run(
    name: &'static str,
    inputs: &VectorDecayInputs,
    form: impl Fn(VectorDecayInputs) -> (Tensor<4>, Tensor<4>),
) -> Outcome {
    let (o, state) = form(inputs.clone());
    let VectorDecayInputs { q, k, v, log_decay, state: before, .. } = inputs;
    let arrays = vec![
        ("q", wrt(q)),
        ("k", wrt(k)),
        ("v", wrt(v)),
        ("state", wrt(before)),
        ("log_decay", wrt(log_decay)),
    ];
    outcome(name, vec![o.flatten(0, 3), state.flatten(0, 3)], arrays)
}

fn check(inputs: &VectorDecayInputs, tolerance: f64) {
    let reference = run("reference", inputs, vector_decay_reference);
    let portable = run("portable", inputs, |inputs| vector_decay(inputs, Implementation::Portable));
    let fused = run("fused", inputs, |inputs| vector_decay(inputs, Implementation::Auto));
    assert!(reference.arrays.iter().flat_map(|(_, values)| values).all(|value| value.is_finite()));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

/// From decays that are all but 1 to some that leave nothing.
fn strengths() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![-0.01, -1.0, -30.0, -200.0])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn forms_agree(
        seq in 1_usize..70,
        chunk_size in 1_usize..40,
        key_dim in 1_usize..36,
        value_dim in 1_usize..20,
        least in strengths(),
    ) {
        let sizes = Sizes { seq, dims: [key_dim, value_dim], chunk_size, segments: None, least };
        check(&inputs(sizes, DType::F32), 2e-5);
    }

    #[test]
    fn forms_agree_on_documents(
        lengths in prop::collection::vec(1_usize..25, 1..5),
        padding in 0_usize..4,
        chunk_size in 1_usize..40,
        least in strengths(),
    ) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Some(Segments::new(seq, [(0, lengths), (0, vec![seq])]));
        let sizes = Sizes { seq, dims: [3, 5], chunk_size, segments, least };
        check(&inputs(sizes, DType::F32), 2e-5);
    }
}

/// Heads wider than what one thread of a GPU takes, and more tokens than a chunk has there.
#[test]
fn forms_agree_on_wide_heads() {
    let sizes = Sizes { seq: 70, dims: [40, 72], chunk_size: 64, segments: None, least: -0.1 };
    let mut inputs = inputs_of([1, 2], sizes, DType::F32);
    inputs.q = inputs.q * 0.3;
    inputs.k = inputs.k * 0.3;
    let inputs = VectorDecayInputs {
        q: inputs.q.detach().require_grad(),
        k: inputs.k.detach().require_grad(),
        ..inputs
    };
    check(&inputs, 2e-5);
}

/// So many heads that a thread of a GPU takes more of each.
#[test]
fn forms_agree_on_many_heads() {
    for dims in [[512, 1], [1, 512]] {
        let sizes = Sizes { seq: 2, dims, chunk_size: 2, segments: None, least: -1.0 };
        check(&inputs_of([64, 16], sizes, DType::F32), 5e-5);
    }
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        for (chunk_size, least) in [(8, -1.0), (20, -50.0), (64, -1e-3)] {
            let segments = Some(Segments::new(53, [(0, vec![10, 40]), (0, vec![53])]));
            let sizes = Sizes { seq: 53, dims: [19, 6], chunk_size, segments, least };
            check(&inputs(sizes, DType::F64), 1e-12);
        }
    }
}

#[test]
fn documents_are_as_if_apart() {
    let sizes = |seq| Sizes { seq, dims: [4, 3], chunk_size: 7, segments: None, least: -0.5 };
    let mut packed = inputs(sizes(30), DType::F32);
    let second = VectorDecayInputs {
        q: packed.q.clone().narrow(2, 11, 19),
        k: packed.k.clone().narrow(2, 11, 19),
        v: packed.v.clone().narrow(2, 11, 19),
        log_decay: packed.log_decay.clone().narrow(2, 11, 19),
        state: packed.state.zeros_like(),
        ..packed.clone()
    };
    packed.segments = Some(Segments::packed(&[vec![11, 19], vec![11, 19]]));
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let (o, state) = vector_decay(packed.clone(), implementation);
        let (o_alone, state_alone) = vector_decay(second.clone(), implementation);
        let far = (o.narrow(2, 11, 19) - o_alone).abs().max() + (state - state_alone).abs().max();
        assert!(far.into_scalar::<f32>() < 1e-6, "{implementation:?}");
    }
}

/// Of `least` at every third key and token, 0 at the others.
fn saturated(sizes: Sizes, least: f64, dtype: DType) -> VectorDecayInputs {
    let mut inputs = inputs(sizes, dtype);
    let dims = inputs.log_decay.dims();
    let len: usize = dims.iter().product();
    let log_decay: Vec<f64> = (0..len).map(|i| if i % 3 == 0 { least } else { 0.0 }).collect();
    let log_decay = Tensor::<1>::from_data(TensorData::new(log_decay, [len]), (&device(), dtype));
    inputs.log_decay = log_decay.reshape(dims).detach().require_grad();
    inputs
}

#[test]
fn saturated_decays_are_exact() {
    for least in [-1e4, -1e30, f64::NEG_INFINITY] {
        for chunk_size in [5, 16, 40] {
            let sizes = Sizes { seq: 45, dims: [5, 4], chunk_size, segments: None, least: -1.0 };
            check(&saturated(sizes, least, DType::F32), 5e-6);
        }
    }
}

#[test]
fn what_is_forgotten_leaves_no_gradient() {
    let sizes = Sizes { seq: 40, dims: [5, 4], chunk_size: 32, segments: None, least: -1.0 };
    let inputs = saturated(sizes, -1e4, DType::F32);
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let (o, state) = vector_decay(inputs.clone(), implementation);
        let gradients = (o.sum() + state.sum()).backward();
        let gradient = inputs.log_decay.grad(&gradients).unwrap();
        let forgotten = gradient.mask_fill(inputs.log_decay.clone().inner().equal_elem(0.0), 0.0);
        assert_eq!(forgotten.abs().max().into_scalar::<f32>(), 0.0, "{implementation:?}");
    }
}

#[test]
fn a_decay_may_be_the_same_for_all_tokens() {
    let sizes = Sizes { seq: 21, dims: [4, 3], chunk_size: 9, segments: None, least: -1.0 };
    let mut inputs = inputs(sizes, DType::F32);
    inputs.log_decay = uniform([1, 3, 1, 4], -1.0, 0.0, DType::F32);
    check(&inputs, 2e-5);
}

#[test]
fn any_layout_of_memory() {
    let sizes = Sizes { seq: 21, dims: [4, 4], chunk_size: 9, segments: None, least: -1.0 };
    let mut inputs = inputs(sizes, DType::F32);
    let (o, state) = vector_decay(inputs.clone(), Implementation::Auto);
    // The same numbers, stored with keys before tokens.
    for x in [&mut inputs.q, &mut inputs.k, &mut inputs.v, &mut inputs.log_decay] {
        let stored = Tensor::<4>::from_data(x.clone().swap_dims(2, 3).into_data(), &device());
        *x = stored.swap_dims(2, 3);
    }
    let (again, state_again) = vector_decay(inputs, Implementation::Auto);
    assert_eq!((o - again).abs().max().into_scalar::<f32>(), 0.0);
    assert_eq!((state - state_again).abs().max().into_scalar::<f32>(), 0.0);
}

#[test]
#[should_panic(expected = "vector_decay: chunk_size must be at least 1, got 0")]
fn a_chunk_has_tokens() {
    let sizes = Sizes { seq: 2, dims: [2, 2], chunk_size: 0, segments: None, least: -1.0 };
    let _ = vector_decay(inputs(sizes, DType::F32), Implementation::Auto);
}
