use burn::tensor::DType;
use burn_sequence::layers::{Gla, GlaConfig, MatrixState, SequenceMixer};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

fn check(dtype: DType) {
    // The last chunk is whole, short, or everything.
    for chunk_size in [1, 4, 19, 64] {
        let golden = Golden::read("gla", dtype);
        let config = GlaConfig::new(12).with_n_heads(2).with_gate_rank(5).with_chunk_size(chunk_size);
        let mut layer: Gla = config.init(&Golden::device());
        layer.q_proj = golden.linear("q_proj");
        layer.k_proj = golden.linear("k_proj");
        layer.v_proj = golden.linear("v_proj");
        layer.gk_down = golden.linear("gk_proj.0");
        layer.gk_up = golden.linear("gk_proj.1");
        layer.g_proj = golden.linear("g_proj");
        layer.norm_weight = golden.param("g_norm.weight");
        layer.o_proj = golden.linear("o_proj");

        let (x, matrix) = (golden.input("x"), golden.input("initial_state"));
        let earlier = MatrixState { matrix: matrix.clone(), seen: vec![0; 2] };
        let (y, state) = layer.forward(x.clone(), None, Some(earlier));
        golden.check("y", y.clone());
        golden.check("state", state.matrix);
        let gradients = golden.backward(&y, "dy");
        golden.check_gradient("grad.x", &x, &gradients);
        golden.check_gradient("grad.initial_state", &matrix, &gradients);
        golden.check_linear("q_proj", &layer.q_proj, &gradients);
        golden.check_linear("k_proj", &layer.k_proj, &gradients);
        golden.check_linear("v_proj", &layer.v_proj, &gradients);
        golden.check_linear("gk_proj.0", &layer.gk_down, &gradients);
        golden.check_linear("gk_proj.1", &layer.gk_up, &gradients);
        golden.check_linear("g_proj", &layer.g_proj, &gradients);
        golden.check_param("g_norm.weight", &layer.norm_weight, &gradients);
        golden.check_linear("o_proj", &layer.o_proj, &gradients);
        golden.finish();
    }
}
