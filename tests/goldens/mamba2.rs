use burn::tensor::DType;
use burn_sequence::layers::{Mamba2, Mamba2Config, SequenceMixer};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

fn check(dtype: DType) {
    // The last chunk is whole, short, or everything.
    for chunk_size in [1, 4, 19, 64] {
        let golden = Golden::read("mamba2", dtype);
        // One norm over all groups: this crate's is per group, as mamba_ssm's.
        golden.skip("ungrouped.");
        let config = Mamba2Config::new(12)
            .with_d_state(5)
            .with_d_conv(3)
            .with_expand(2)
            .with_head_dim(6)
            .with_n_groups(2)
            .with_chunk_size(chunk_size);
        let mut layer: Mamba2 = config.init(&Golden::device());
        layer.in_proj = golden.linear("in_proj");
        layer.conv_weight = golden.conv("conv1d.weight");
        layer.conv_bias = golden.param("conv1d.bias");
        layer.dt_bias = golden.param("dt_bias");
        layer.a_log = golden.param("A_log");
        layer.d = golden.param("D");
        layer.norm_weight = golden.param("norm.weight");
        layer.out_proj = golden.linear("out_proj");

        let x = golden.input("x");
        let (y, state) = layer.forward(x.clone(), None, None);
        golden.check("y", y.clone());
        golden.check("state.ssm", state.recurrent.swap_dims(2, 3));
        golden.check_window("state.conv", state.conv);
        let gradients = golden.backward(&y, "dy");
        golden.check_gradient("grad.x", &x, &gradients);
        golden.check_linear("in_proj", &layer.in_proj, &gradients);
        golden.check_conv("conv1d.weight", &layer.conv_weight, &gradients);
        golden.check_param("conv1d.bias", &layer.conv_bias, &gradients);
        golden.check_param("dt_bias", &layer.dt_bias, &gradients);
        golden.check_param("A_log", &layer.a_log, &gradients);
        golden.check_param("D", &layer.d, &gradients);
        golden.check_param("norm.weight", &layer.norm_weight, &gradients);
        golden.check_linear("out_proj", &layer.out_proj, &gradients);
        golden.finish();
    }
}
