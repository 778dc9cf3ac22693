use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{Implementation, VectorDecayInputs, vector_decay, vector_decay_reference};

use crate::golden::{Golden, dtypes};

type Op = fn(VectorDecayInputs) -> (Tensor<4>, Tensor<4>);

fn check(op: Op, chunk_size: usize) {
    dtypes().into_iter().for_each(|dtype| check_in(dtype, op, chunk_size));
}

fn check_in(dtype: DType, op: Op, chunk_size: usize) {
    let golden = Golden::read("vector_decay", dtype);
    for (case, kind) in [("", "grad"), ("", "grad_state"), ("strong.", "grad"), ("strong.", "grad_state")] {
        let [q, k, v, state] = ["q", "k", "v", "initial_state"].map(|name| golden.input::<4>(name));
        let decay_name = format!("{case}log_decay");
        let log_decay = golden.input::<4>(&decay_name);
        let (y, last) = op(VectorDecayInputs {
            q: q.clone(),
            k: k.clone(),
            v: v.clone(),
            log_decay: log_decay.clone(),
            state: state.clone(),
            segments: None,
            chunk_size,
        });
        golden.check(&format!("{case}y"), y.clone());
        golden.check(&format!("{case}state"), last.clone());
        let gradients =
            if kind == "grad" { golden.backward(&y, "dy") } else { golden.backward(&last, "dstate") };
        let inputs =
            [("q", &q), ("k", &k), ("v", &v), ("initial_state", &state), (decay_name.as_str(), &log_decay)];
        golden.check_gradients(&format!("{case}{kind}"), &inputs, &gradients);
    }
    golden.finish();
}

#[test]
fn fused() {
    let op: Op = |inputs| vector_decay(inputs, Implementation::Auto);
    [1, 16, 20, 64].into_iter().for_each(|chunk_size| check(op, chunk_size));
}

#[test]
fn portable() {
    let op: Op = |inputs| vector_decay(inputs, Implementation::Portable);
    [1, 16, 20, 64].into_iter().for_each(|chunk_size| check(op, chunk_size));
}

#[test]
fn reference() {
    check(vector_decay_reference, 1);
}
