use burn::tensor::{DType, Device, Tensor};
use burn_sequence::ops::{
    Implementation, Segments, SelectiveScanInputs, selective_scan, selective_scan_reference,
};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, outcome, uniform, values, wrt};

fn inputs(
    [batch, seq, d_inner, d_state]: [usize; 4],
    segments: Option<Segments>,
    weighs: bool,
    dtype: DType,
) -> SelectiveScanInputs {
    SelectiveScanInputs {
        u: uniform([batch, seq, d_inner], -1.0, 1.0, dtype),
        delta: uniform([batch, seq, d_inner], 0.0, 1.0, dtype),
        a: uniform([d_inner, d_state], -2.0, -0.01, dtype),
        b: uniform([batch, seq, d_state], -1.0, 1.0, dtype),
        c: uniform([batch, seq, d_state], -1.0, 1.0, dtype),
        d: weighs.then(|| uniform([d_inner], -1.0, 1.0, dtype)),
        z: weighs.then(|| uniform([batch, seq, d_inner], -3.0, 3.0, dtype)),
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
    let SelectiveScanInputs { u, delta, a, b, c, d, z, state: before, .. } = inputs;
    let mut arrays = vec![
        ("u", wrt(u)),
        ("delta", wrt(delta)),
        ("a", wrt(a)),
        ("b", wrt(b)),
        ("c", wrt(c)),
        ("state", wrt(before)),
    ];
    arrays.extend(d.as_ref().map(|d| ("d", wrt(d))));
    arrays.extend(z.as_ref().map(|z| ("z", wrt(z))));
    outcome(name, vec![y.flatten(0, 2), state.flatten(0, 2)], arrays)
}

fn check(shape: [usize; 4], segments: Option<Segments>, weighs: bool, dtype: DType, tolerance: f64) {
    let inputs = inputs(shape, segments, weighs, dtype);
    let reference = run("reference", &inputs, selective_scan_reference);
    let portable = run("portable", &inputs, |inputs| selective_scan(inputs, Implementation::Portable));
    let fused = run("fused", &inputs, |inputs| selective_scan(inputs, Implementation::Auto));
    assert_same(&reference, &portable, tolerance);
    assert_same(&reference, &fused, tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn forms_agree(batch in 1_usize..3, seq in 1_usize..75, d_inner in 1_usize..70, d_state in 1_usize..9, weighs: bool) {
        check([batch, seq, d_inner, d_state], None, weighs, DType::F32, 2e-5);
    }

    #[test]
    fn forms_agree_on_documents_and_padding(lengths in prop::collection::vec(1_usize..20, 1..4), padding in 0_usize..5, weighs: bool) {
        let seq = lengths.iter().sum::<usize>() + padding;
        let segments = Segments::new(seq, [(0, lengths), (0, vec![seq])]);
        check([2, seq, 5, 3], Some(segments), weighs, DType::F32, 2e-5);
    }
}

/// Several blocks of channels in one task of the backward pass.
#[test]
fn forms_agree_on_many_rows() {
    check([64, 5, 40, 3], None, true, DType::F32, 2e-5);
}

#[test]
fn forms_agree_in_f64() {
    if crate::support::has_f64() {
        check(
            [2, 67, 37, 4],
            Some(Segments::new(67, [(0, vec![30, 20]), (0, vec![67])])),
            true,
            DType::F64,
            1e-12,
        );
    }
}

/// Without gradients kernels keep nothing, and so may take other ways.
#[test]
fn forms_agree_without_gradients() {
    let plain = Device::default();
    for segments in [None, Some(Segments::new(40, [(0, vec![25, 10]), (0, vec![40])]))] {
        let tracked = inputs([2, 40, 37, 5], segments, true, DType::F32);
        let SelectiveScanInputs { u, delta, a, b, c, d, z, state, segments } = tracked;
        // As views, not as they would lie by themselves.
        let view = |x: Tensor<3>| x.inner().swap_dims(1, 2).add_scalar(0.0).swap_dims(1, 2);
        let inputs = SelectiveScanInputs {
            u: view(u),
            delta: view(delta),
            a: a.inner(),
            b: view(b),
            c: view(c),
            d: d.map(Tensor::inner),
            z: z.map(view),
            state: view(state),
            segments,
        };
        assert_eq!(inputs.u.device(), plain);
        let run = |name, (y, state): (Tensor<3>, Tensor<3>)| {
            values(name, vec![y.flatten(0, 2), state.flatten(0, 2)])
        };
        let reference = run("reference", selective_scan_reference(inputs.clone()));
        for implementation in [Implementation::Auto, Implementation::Portable] {
            let form = run("form", selective_scan(inputs.clone(), implementation));
            assert_same(&reference, &form, 2e-5);
        }
    }
}

/// All else here would hold if the portable form stood in for the kernel: that one adds up in another order.
#[test]
fn the_kernel_runs() {
    let inputs = inputs([2, 100, 24, 16], None, false, DType::F32);
    let [portable, fused] = [Implementation::Portable, Implementation::Auto].map(|implementation| {
        let (y, _) = selective_scan(inputs.clone(), implementation);
        y.into_data().iter::<f32>().collect::<Vec<_>>()
    });
    assert_ne!(portable, fused);
}
