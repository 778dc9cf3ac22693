use burn::tensor::{DType, Tensor};
use burn_sequence::layers::{MinGru, MinGruConfig, SequenceMixer};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

fn check(dtype: DType) {
    let golden = Golden::read("min_gru", dtype);
    for (case, expand) in [("plain", 1), ("expanded", 2)] {
        let mut layer: MinGru = MinGruConfig::new(7).with_expand(expand).init(&Golden::device());
        layer.z_proj = golden.linear(&format!("{case}.z"));
        layer.h_proj = golden.linear(&format!("{case}.h"));
        layer.out_proj = layer.out_proj.map(|_| golden.linear(&format!("{case}.out")));
        for kind in ["grad", "grad_state"] {
            let x = golden.input("x");
            let initial: Tensor<2> = golden.input(&format!("{case}.initial_state"));
            let (y, state) = layer.forward(x.clone(), None, Some(initial.clone()));
            golden.check(&format!("{case}.y"), y.clone());
            golden.check(&format!("{case}.state"), state.clone());
            let gradients = match kind {
                "grad" => golden.backward(&y, "dy"),
                _ => golden.backward(&state, &format!("{case}.dstate")),
            };
            let of = format!("{case}.{kind}");
            golden.check_gradient(&format!("{of}.x"), &x, &gradients);
            golden.check_gradient(&format!("{of}.{case}.initial_state"), &initial, &gradients);
            golden.check_linear_of(&of, &format!("{case}.z"), &layer.z_proj, &gradients);
            golden.check_linear_of(&of, &format!("{case}.h"), &layer.h_proj, &gradients);
            if let Some(out_proj) = layer.out_proj.as_ref().filter(|_| kind == "grad") {
                golden.check_linear_of(&of, &format!("{case}.out"), out_proj, &gradients);
            }
        }
    }
    golden.finish();
}
