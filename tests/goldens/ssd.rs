use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{Implementation, ScalarDecayInputs, scalar_decay, scalar_decay_reference};

use crate::golden::{Golden, dtypes};

type Op = fn(ScalarDecayInputs) -> (Tensor<4>, Tensor<4>);

/// Mamba-2's scan is `scalar_decay` with `q = C`, `k = B`, `v = Δ x`, `log_decay = Δ A`.
fn check(op: Op, chunk_size: usize) {
    dtypes().into_iter().for_each(|dtype| check_in(dtype, op, chunk_size));
}

fn check_in(dtype: DType, op: Op, chunk_size: usize) {
    let golden = Golden::read("ssd", dtype);
    for kind in ["grad", "grad_state"] {
        let x = golden.input::<4>("x");
        let dt = golden.input::<3>("dt");
        let [b, c, start] = ["B", "C", "initial_state"].map(|name| golden.input::<4>(name));
        let [a, d] = ["A", "D"].map(|name| golden.input::<1>(name));
        let inputs = ScalarDecayInputs {
            q: c.clone().swap_dims(1, 2),
            k: b.clone().swap_dims(1, 2),
            v: x.clone().swap_dims(1, 2),
            log_decay: Some((dt.clone() * a.clone().unsqueeze()).swap_dims(1, 2)),
            dt: Some(dt.clone().swap_dims(1, 2)),
            d: Some(d.clone()),
            state: start.clone().swap_dims(2, 3),
            segments: None,
            chunk_size,
        };
        let (y, state) = op(inputs);
        let y = y.swap_dims(1, 2);
        let state = state.swap_dims(2, 3);
        golden.check("y", y.clone());
        golden.check("state", state.clone());
        let gradients =
            if kind == "grad" { golden.backward(&y, "dy") } else { golden.backward(&state, "dstate") };
        golden.check_gradients(
            kind,
            &[("x", &x), ("B", &b), ("C", &c), ("initial_state", &start)],
            &gradients,
        );
        golden.check_gradients(kind, &[("dt", &dt)], &gradients);
        golden.check_gradients(kind, &[("A", &a), ("D", &d)], &gradients);
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
