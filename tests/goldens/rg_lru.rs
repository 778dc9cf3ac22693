use burn::module::Param;
use burn::tensor::{DType, Tensor};
use burn_sequence::layers::{RgLru, RgLruConfig, SequenceMixer};
use burn_sequence::ops::{
    DiagonalScanInputs, Gates, Implementation, Segments, diagonal_scan, diagonal_scan_reference, softplus,
};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

/// `[n_heads, block]` as `[d_rnn]`.
fn bias(golden: &Golden, name: &str) -> Param<Tensor<1>> {
    Param::from_tensor(golden.constant::<2>(&format!("param.rg_lru.{name}")).flatten(0, 1))
}

fn check(dtype: DType) {
    let golden = Golden::read("rg_lru", dtype);
    golden.skip("alone.");
    let config = RgLruConfig::new(12).with_d_rnn(Some(15)).with_n_heads(3).with_d_conv(4);
    let mut layer: RgLru = config.init(&Golden::device());
    layer.x_proj = golden.linear("linear_x");
    layer.y_proj = golden.linear("linear_y");
    layer.conv_weight = golden.conv("conv_1d.weight");
    layer.conv_bias = golden.param("conv_1d.bias");
    layer.recurrent_gate_weight = golden.param("rg_lru.recurrent_gate_weight");
    layer.recurrent_gate_bias = bias(&golden, "recurrent_gate_bias");
    layer.input_gate_weight = golden.param("rg_lru.input_gate_weight");
    layer.input_gate_bias = bias(&golden, "input_gate_bias");
    layer.lambda = golden.param("rg_lru.recurrent_param");
    layer.out_proj = golden.linear("linear_out");

    let x = golden.input("x");
    let (y, state) = layer.forward(x.clone(), None, None);
    golden.check("y", y.clone());
    golden.check("state.conv", state.conv.swap_dims(1, 2));
    golden.check("state.h", state.hidden);
    let gradients = golden.backward(&y, "dy");
    golden.check_gradient("grad.x", &x, &gradients);
    golden.check_linear("linear_x", &layer.x_proj, &gradients);
    golden.check_linear("linear_y", &layer.y_proj, &gradients);
    golden.check_conv("conv_1d.weight", &layer.conv_weight, &gradients);
    golden.check_param("conv_1d.bias", &layer.conv_bias, &gradients);
    golden.check_param("rg_lru.recurrent_gate_weight", &layer.recurrent_gate_weight, &gradients);
    golden.check_param("rg_lru.input_gate_weight", &layer.input_gate_weight, &gradients);
    golden.check_param("rg_lru.recurrent_param", &layer.lambda, &gradients);
    golden.check_linear("linear_out", &layer.out_proj, &gradients);
    for (name, bias) in
        [("recurrent_gate_bias", &layer.recurrent_gate_bias), ("input_gate_bias", &layer.input_gate_bias)]
    {
        let gradient = bias.val().grad(&gradients).expect("a gradient of the bias");
        golden.check(&format!("grad.rg_lru.{name}"), gradient.reshape([3, 5]));
    }
    golden.finish();
}

type Op = fn(DiagonalScanInputs) -> (Tensor<3>, Tensor<2>);

/// Documents, each of which begins with a token whose write is not scaled.
fn check_documents(op: Op) {
    for dtype in dtypes() {
        let golden = Golden::read("rg_lru", dtype);
        let v = golden.input::<3>("alone.v");
        let weights = ["recurrent_gate_weight", "input_gate_weight"]
            .map(|name| golden.input::<3>(&format!("param.rg_lru.{name}")));
        let biases = ["recurrent_gate_bias", "input_gate_bias"]
            .map(|name| golden.input::<2>(&format!("param.rg_lru.{name}")));
        let lambda = golden.input::<1>("param.rg_lru.recurrent_param");
        let [recurrent, input] = [0, 1].map(|gate| {
            let blocks = v.clone().reshape([38, 3, 5]).swap_dims(0, 1).matmul(weights[gate].clone());
            (blocks.swap_dims(0, 1) + biases[gate].clone().unsqueeze()).reshape([2, 19, 15])
        });
        let gates = Gates::RgLru {
            x: v.clone(),
            recurrent,
            input,
            rate: softplus(lambda.clone()) * 8.0,
            begins: vec![true; 2],
        };
        let inputs = DiagonalScanInputs {
            gates,
            state: Tensor::zeros([2, 15], (&v.device(), v.dtype())),
            segments: Some(Segments::packed(&[vec![4, 1, 14], vec![19]])),
        };
        let (y, _) = op(inputs);
        golden.check("alone.y", y.clone());
        let gradients = golden.backward(&y, "alone.dv");
        golden.check_gradient("alone.grad.alone.v", &v, &gradients);
        golden.check_gradient("alone.grad.rg_lru.recurrent_gate_weight", &weights[0], &gradients);
        golden.check_gradient("alone.grad.rg_lru.input_gate_weight", &weights[1], &gradients);
        golden.check_gradient("alone.grad.rg_lru.recurrent_gate_bias", &biases[0], &gradients);
        golden.check_gradient("alone.grad.rg_lru.input_gate_bias", &biases[1], &gradients);
        golden.check_gradient("alone.grad.rg_lru.recurrent_param", &lambda, &gradients);
    }
}

#[test]
fn fused() {
    check_documents(|inputs| diagonal_scan(inputs, Implementation::Auto));
}

#[test]
fn portable() {
    check_documents(|inputs| diagonal_scan(inputs, Implementation::Portable));
}

#[test]
fn reference() {
    check_documents(diagonal_scan_reference);
}
