use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Tensor};
use burn_sequence::layers::{DeltaNet, DeltaNetConfig, SequenceMixer};

use crate::golden::{Golden, dtypes};

#[test]
fn layer() {
    for (case, negative) in [("plain.", false), ("negative.", true)] {
        dtypes().into_iter().for_each(|dtype| check(dtype, case, negative));
    }
}

const PARTS: [&str; 3] = ["q", "k", "v"];

fn check(dtype: DType, case: &str, negative: bool) {
    for chunk_size in [1, 4, 19, 64] {
        let golden = Golden::read("delta_net", dtype);
        golden.skip(if negative { "plain." } else { "negative." });
        let config = DeltaNetConfig::new(10)
            .with_n_heads(2)
            .with_head_dim(Some(4))
            .with_d_conv(3)
            .with_allow_negative_eigenvalues(negative)
            .with_output_gate(negative)
            .with_chunk_size(chunk_size);
        let mut layer: DeltaNet = config.init(&Golden::device());
        let projections = PARTS.map(|part| golden.constant::<2>(&format!("param.{part}_proj.weight")));
        let weight = Param::from_tensor(Tensor::cat(projections.into(), 0).transpose());
        layer.qkv_proj = Linear { weight, bias: None };
        let taps = PARTS.map(|part| golden.constant::<3>(&format!("param.{part}_conv1d.weight")));
        let taps = Tensor::cat(taps.into(), 0).squeeze_dim::<2>(1);
        layer.conv_weight = Param::from_tensor(taps.transpose());
        layer.b_proj = golden.linear("b_proj");
        let g_proj = golden.linear("g_proj");
        layer.g_proj = layer.g_proj.map(|_| g_proj);
        layer.norm_weight = golden.param("o_norm.weight");
        layer.o_proj = golden.linear("o_proj");

        let x = golden.input("x");
        let (y, state) = layer.forward(x.clone(), None, None);
        golden.check(&format!("{case}y"), y.clone());
        golden.check(&format!("{case}state.recurrent"), state.recurrent);
        golden.check("state.conv", state.conv);
        let gradients = golden.backward(&y, "dy");
        let compare = |name: &str, gradient: Tensor<2>| golden.check(&format!("{case}grad.{name}"), gradient);
        let of = |linear: &Linear| linear.weight.val().grad(&gradients).expect("a gradient").transpose();
        let qkv = of(&layer.qkv_proj);
        let conv = layer.conv_weight.val().grad(&gradients).expect("a gradient").transpose();
        for (index, part) in PARTS.into_iter().enumerate() {
            compare(&format!("{part}_proj.weight"), qkv.clone().narrow(0, 8 * index, 8));
            let taps = conv.clone().narrow(0, 8 * index, 8).unsqueeze_dim::<3>(1);
            golden.check(&format!("{case}grad.{part}_conv1d.weight"), taps);
        }
        compare("b_proj.weight", of(&layer.b_proj));
        compare("o_proj.weight", of(&layer.o_proj));
        if let Some(g_proj) = &layer.g_proj {
            compare("g_proj.weight", of(g_proj));
        }
        golden.check_gradient(&format!("{case}grad.x"), &x, &gradients);
        golden.check_gradient(&format!("{case}grad.o_norm.weight"), &layer.norm_weight.val(), &gradients);
        golden.finish();
    }
}
