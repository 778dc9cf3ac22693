use burn::tensor::DType;
use burn_sequence::layers::{Mamba, MambaConfig, SequenceMixer};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

fn check(dtype: DType) {
    let golden = Golden::read("mamba", dtype);
    let config = MambaConfig::new(12).with_d_state(5).with_d_conv(3).with_expand(2).with_dt_rank(Some(3));
    let mut layer: Mamba = config.init(&Golden::device());
    layer.in_proj = golden.linear("in_proj");
    layer.conv_weight = golden.conv("conv1d.weight");
    layer.conv_bias = golden.param("conv1d.bias");
    layer.x_proj = golden.linear("x_proj");
    layer.dt_proj = golden.linear("dt_proj");
    layer.a_log = golden.param("A_log");
    layer.d = golden.param("D");
    layer.out_proj = golden.linear("out_proj");

    let x = golden.input("x");
    let (y, state) = layer.forward(x.clone(), None, None);
    golden.check("y", y.clone());
    golden.check("state.ssm", state.recurrent);
    golden.check_window("state.conv", state.conv);
    let gradients = golden.backward(&y, "dy");
    golden.check_gradient("grad.x", &x, &gradients);
    golden.check_linear("in_proj", &layer.in_proj, &gradients);
    golden.check_conv("conv1d.weight", &layer.conv_weight, &gradients);
    golden.check_param("conv1d.bias", &layer.conv_bias, &gradients);
    golden.check_linear("x_proj", &layer.x_proj, &gradients);
    golden.check_linear("dt_proj", &layer.dt_proj, &gradients);
    golden.check_param("A_log", &layer.a_log, &gradients);
    golden.check_param("D", &layer.d, &gradients);
    golden.check_linear("out_proj", &layer.out_proj, &gradients);
    golden.finish();
}
