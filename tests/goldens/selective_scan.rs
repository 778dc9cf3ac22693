use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{Implementation, SelectiveScanInputs, selective_scan, selective_scan_reference};

use crate::golden::{Golden, dtypes};

type Op = fn(SelectiveScanInputs) -> (Tensor<3>, Tensor<3>);

fn check(op: Op) {
    dtypes().into_iter().for_each(|dtype| check_in(dtype, op));
}

fn check_in(dtype: DType, op: Op) {
    let golden = Golden::read("selective_scan", dtype);
    for kind in ["grad", "grad_state"] {
        let [u, delta, b, c, start] =
            ["u", "delta", "B", "C", "initial_state"].map(|name| golden.input::<3>(name));
        let a = golden.input::<2>("A");
        let d = golden.input::<1>("D");
        let inputs = SelectiveScanInputs {
            u: u.clone(),
            delta: delta.clone(),
            a: a.clone(),
            b: b.clone(),
            c: c.clone(),
            d: Some(d.clone()),
            z: None,
            state: start.clone(),
            segments: None,
        };
        let (y, state) = op(inputs);
        golden.check("y", y.clone());
        golden.check("state", state.clone());
        let gradients =
            if kind == "grad" { golden.backward(&y, "dy") } else { golden.backward(&state, "dstate") };
        let inputs = [("u", &u), ("delta", &delta), ("B", &b), ("C", &c), ("initial_state", &start)];
        golden.check_gradients(kind, &inputs, &gradients);
        golden.check_gradients(kind, &[("A", &a)], &gradients);
        golden.check_gradients(kind, &[("D", &d)], &gradients);
    }
    golden.finish();
}

#[test]
fn fused() {
    check(|inputs| selective_scan(inputs, Implementation::Auto));
}

#[test]
fn portable() {
    check(|inputs| selective_scan(inputs, Implementation::Portable));
}

#[test]
fn reference() {
    check(selective_scan_reference);
}
