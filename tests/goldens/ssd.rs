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
        // Two heads for each of two groups.
        let per_head = |x: &Tensor<4>| -> Tensor<4> {
            let heads = x.clone().unsqueeze_dim::<5>(3).repeat_dim(3, 2);
            heads.reshape([2, 19, 4, 5]).swap_dims(1, 2)
        };
        let inputs = ScalarDecayInputs {
            q: per_head(&c),
            k: per_head(&b),
            v: (x.clone() * dt.clone().unsqueeze_dim(3)).swap_dims(1, 2),
            log_decay: Some((dt.clone() * a.clone().unsqueeze()).swap_dims(1, 2)),
            state: start.clone().swap_dims(2, 3),
            segments: None,
            chunk_size,
        };
        let (y, state) = op(inputs);
        let y = y.swap_dims(1, 2) + x.clone() * d.clone().reshape([1, 1, 4, 1]);
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
