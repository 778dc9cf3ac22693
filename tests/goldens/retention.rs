use burn::tensor::{DType, Tensor};
use burn_sequence::layers::RetentionConfig;
use burn_sequence::ops::{Implementation, ScalarDecayInputs, scalar_decay, scalar_decay_reference};

use crate::golden::{Golden, dtypes};

type Op = fn(ScalarDecayInputs) -> (Tensor<4>, Tensor<4>);

fn check(op: Op, chunk_size: usize) {
    dtypes().into_iter().for_each(|dtype| check_in(dtype, op, chunk_size));
}

fn check_in(dtype: DType, op: Op, chunk_size: usize) {
    let golden = Golden::read("retention", dtype);
    let log_decay = golden.constant::<1>("gamma").log().reshape([1, 3, 1]);
    for (case, kind) in [("", "grad"), ("", "grad_state"), ("initial.", "grad"), ("initial.", "grad_state")] {
        let [q, k, v, start] = ["q", "k", "v", "initial_state"].map(|name| golden.input::<4>(name));
        let inputs = ScalarDecayInputs {
            q: q.clone(),
            k: k.clone(),
            v: v.clone(),
            log_decay: Some(log_decay.clone()),
            dt: None,
            d: None,
            state: if case == "initial." { start.clone() } else { start.zeros_like() },
            segments: None,
            chunk_size,
        };
        let (y, state) = op(inputs);
        golden.check(&format!("{case}y"), y.clone());
        golden.check(&format!("{case}state"), state.clone());
        let gradients =
            if kind == "grad" { golden.backward(&y, "dy") } else { golden.backward(&state, "dstate") };
        let inputs = [("q", &q), ("k", &k), ("v", &v), ("initial_state", &start)];
        golden.check_gradients(&format!("{case}{kind}"), &inputs, &gradients);
    }
    golden.finish();
}

#[test]
fn fused() {
    let op: Op = |inputs| scalar_decay(inputs, Implementation::Auto);
    [1, 4, 19, 64].into_iter().for_each(|chunk_size| check(op, chunk_size));
}

#[test]
fn portable() {
    let op: Op = |inputs| scalar_decay(inputs, Implementation::Portable);
    [1, 4, 19, 64].into_iter().for_each(|chunk_size| check(op, chunk_size));
}

#[test]
fn reference() {
    check(scalar_decay_reference, 1);
}

#[test]
fn decays_of_the_layer() {
    let expected: Vec<f64> =
        Golden::read("retention", DType::F32).constant::<1>("gamma").into_data().iter().collect();
    let decays = RetentionConfig::new(12).with_n_heads(3).log_decays();
    for (decay, expected) in decays.iter().zip(expected) {
        assert!((decay.exp() - expected).abs() < 1e-15, "{decays:?}");
    }
}
