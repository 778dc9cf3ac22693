use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Gradients, Tensor};
use burn_sequence::layers::{Lstm, LstmConfig, SequenceMixer};

use crate::golden::{Golden, dtypes};

const D_MODEL: usize = 8;

/// The rows of one gate, `weight_KIND_l0 [4 · d_model, d_model]` and `bias_KIND_l0`.
fn transform(golden: &Golden, kind: &str, gate: usize) -> Linear {
    let rows = |x: Tensor<2>| x.narrow(0, gate * D_MODEL, D_MODEL);
    let weight = golden.constant(&format!("param.weight_{kind}_l0"));
    let bias = golden.constant::<1>(&format!("param.bias_{kind}_l0")).narrow(0, gate * D_MODEL, D_MODEL);
    Linear { weight: Param::from_tensor(rows(weight).transpose()), bias: Some(Param::from_tensor(bias)) }
}

fn check_transforms(golden: &Golden, kind: &str, gates: [&Linear; 4], gradients: &Gradients) {
    let weights =
        gates.map(|gate| gate.weight.val().grad(gradients).expect("a gradient of the weight").transpose());
    golden.check(&format!("grad.weight_{kind}_l0"), Tensor::cat(weights.to_vec(), 0));
    let biases = gates.map(|gate| {
        let bias = gate.bias.as_ref().expect("a bias");
        bias.val().grad(gradients).expect("a gradient of the bias")
    });
    golden.check(&format!("grad.bias_{kind}_l0"), Tensor::cat(biases.to_vec(), 0));
}

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

fn check(dtype: DType) {
    let golden = Golden::read("lstm", dtype);
    let mut layer: Lstm = LstmConfig::new(D_MODEL).init(&Golden::device());
    {
        let lstm = &mut layer.lstm;
        // PyTorch's order: input, forget, cell, output.
        let forget = lstm.forget_gate.as_mut().expect("a forget gate");
        let gates = [&mut lstm.input_gate, forget, &mut lstm.cell_gate, &mut lstm.output_gate];
        for (index, gate) in gates.into_iter().enumerate() {
            gate.input_transform = transform(&golden, "ih", index);
            gate.hidden_transform = transform(&golden, "hh", index);
        }
    }

    let x = golden.input("x");
    let (y, state) = layer.forward(x.clone(), None, None);
    golden.check("y", y.clone());
    golden.check("state.c", state.cell);
    golden.check("state.h", state.hidden);
    let gradients = golden.backward(&y, "dy");
    golden.check_gradient("grad.x", &x, &gradients);
    let lstm = &layer.lstm;
    let forget = lstm.forget_gate.as_ref().expect("a forget gate");
    let gates = [&lstm.input_gate, forget, &lstm.cell_gate, &lstm.output_gate];
    check_transforms(&golden, "ih", gates.map(|gate| &gate.input_transform), &gradients);
    check_transforms(&golden, "hh", gates.map(|gate| &gate.hidden_transform), &gradients);
    golden.finish();
}
