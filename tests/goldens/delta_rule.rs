use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{DeltaRuleInputs, Implementation, delta_rule, delta_rule_reference};

use crate::golden::{Golden, dtypes};

type Op = fn(DeltaRuleInputs) -> (Tensor<4>, Tensor<4>);

fn check(op: Op, chunk_size: usize) {
    dtypes().into_iter().for_each(|dtype| check_in(dtype, op, chunk_size));
}

fn check_in(dtype: DType, op: Op, chunk_size: usize) {
    let golden = Golden::read("delta_rule", dtype);
    for (case, kind) in
        ["", "initial.", "ungated."].into_iter().flat_map(|case| [(case, "grad"), (case, "grad_state")])
    {
        let [q, k, v, start] = ["q", "k", "v", "initial_state"].map(|name| golden.input::<4>(name));
        let [beta, log_decay] = ["beta", "log_decay"].map(|name| golden.input::<3>(name));
        let inputs = DeltaRuleInputs {
            q: q.clone(),
            k: k.clone(),
            v: v.clone(),
            beta: beta.clone(),
            log_decay: (case != "ungated.").then(|| log_decay.clone()),
            state: if case.is_empty() { start.zeros_like() } else { start.clone() },
            segments: None,
            chunk_size,
        };
        let (y, state) = op(inputs);
        golden.check(&format!("{case}y"), y.clone());
        golden.check(&format!("{case}state"), state.clone());
        let gradients =
            if kind == "grad" { golden.backward(&y, "dy") } else { golden.backward(&state, "dstate") };
        let kind = format!("{case}{kind}");
        let inputs = [("q", &q), ("k", &k), ("v", &v), ("initial_state", &start)];
        golden.check_gradients(&kind, &inputs, &gradients);
        golden.check_gradients(&kind, &[("beta", &beta), ("log_decay", &log_decay)], &gradients);
    }
    golden.finish();
}

#[test]
fn fused() {
    let op: Op = |inputs| delta_rule(inputs, Implementation::Auto);
    [1, 4, 19, 64].into_iter().for_each(|chunk_size| check(op, chunk_size));
}

#[test]
fn portable() {
    let op: Op = |inputs| delta_rule(inputs, Implementation::Portable);
    [1, 4, 19, 64].into_iter().for_each(|chunk_size| check(op, chunk_size));
}

#[test]
fn reference() {
    check(delta_rule_reference, 1);
}
