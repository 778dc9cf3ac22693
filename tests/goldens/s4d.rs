use burn::module::Param;
use burn::tensor::{DType, Tensor};
use burn_sequence::layers::{Discretization, S4d, S4dConfig, S4dInit, SequenceMixer};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

fn config() -> S4dConfig {
    S4dConfig::new(5).with_d_state(8)
}

fn check(dtype: DType) {
    let golden = Golden::read("s4d", dtype);
    golden.skip("frequencies.");
    for (case, discretization) in [("zoh", Discretization::Zoh), ("bilinear", Discretization::Bilinear)] {
        let mut layer: S4d = config().with_discretization(discretization).init(&Golden::device());
        for kind in ["grad", "grad_state"] {
            layer.log_dt = Param::from_tensor(golden.constant("log_dt"));
            layer.a_log = Param::from_tensor(golden.constant("A_log"));
            layer.a_imag = Param::from_tensor(golden.constant("A_imag"));
            layer.c = Param::from_tensor(golden.constant("C"));
            layer.d = Param::from_tensor(golden.constant("D"));
            layer.out_proj = golden.linear("out");

            let (x, initial) = (golden.input("x"), golden.input("initial_state"));
            let (y, state) = layer.forward(x.clone(), None, Some(initial.clone()));
            golden.check(&format!("{case}.y"), y.clone());
            golden.check(&format!("{case}.state"), state.clone());
            let gradients =
                if kind == "grad" { golden.backward(&y, "dy") } else { golden.backward(&state, "dstate") };
            let of = format!("{case}.{kind}");
            golden.check_gradients(&of, &[("log_dt", &layer.log_dt.val())], &gradients);
            golden.check_gradients(
                &of,
                &[("A_log", &layer.a_log.val()), ("A_imag", &layer.a_imag.val())],
                &gradients,
            );
            golden.check_gradients(&of, &[("x", &x), ("C", &layer.c.val())], &gradients);
            golden.check_gradients(&of, &[("initial_state", &initial)], &gradients);
            golden.check_gradients(&of, &[("D", &layer.d.val())], &gradients);
            if kind == "grad" {
                golden.check_linear_of(&of, "out", &layer.out_proj, &gradients);
            }
        }
    }
    golden.finish();
}

#[test]
fn frequencies_at_the_start() {
    let golden = Golden::read("s4d", DType::F32);
    for (case, init) in [("lin", S4dInit::Lin), ("inv", S4dInit::Inv)] {
        let layer = config().with_init(init).init(&Golden::device());
        let channel: Tensor<1> = layer.a_imag.val().narrow(0, 4, 1).squeeze_dim(0);
        golden.check(&format!("frequencies.{case}"), channel);
    }
}
