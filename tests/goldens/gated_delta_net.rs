use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Int, Tensor};
use burn_sequence::layers::{GatedDeltaNet, GatedDeltaNetConfig, SequenceMixer};

use crate::golden::{Golden, dtypes};

const KEY_HEADS: usize = 2;
const PER_KEY_HEAD: usize = 2;
const HEAD_DIM: usize = 3;
const HEAD_V_DIM: usize = 6;

#[test]
fn layer() {
    dtypes().into_iter().for_each(check);
}

/// Qwen3-Next interleaves its fused projections by key heads: for each, parts of these widths. The rows of each part,
/// head after head.
fn rows<const N: usize>(widths: [usize; N]) -> [Vec<usize>; N] {
    let block: usize = widths.iter().sum();
    let mut start = 0;
    widths.map(|width| {
        start += width;
        (0..KEY_HEADS)
            .flat_map(|head| (0..width).map(move |row| (head, row)))
            .map(|(head, row)| head * block + start - width + row)
            .collect()
    })
}

fn select(from: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let rows = Tensor::<1, Int>::from_data(&rows[..], &from.device());
    from.select(0, rows)
}

/// Some rows of a fused projection, as one of this crate's.
fn part(golden: &Golden, name: &str, rows: &[usize]) -> Linear {
    let weight = golden.constant::<2>(&format!("param.{name}.weight"));
    Linear { weight: Param::from_tensor(select(weight, rows).transpose()), bias: None }
}

fn check(dtype: DType) {
    let [q, k, v, z] = rows([HEAD_DIM, HEAD_DIM, PER_KEY_HEAD * HEAD_V_DIM, PER_KEY_HEAD * HEAD_V_DIM]);
    let [b, a] = rows([PER_KEY_HEAD, PER_KEY_HEAD]);
    let qkv = [q, k, v].concat();
    for chunk_size in [1, 4, 19, 64] {
        let golden = Golden::read("gated_delta_net", dtype);
        let config = GatedDeltaNetConfig::new(12)
            .with_n_heads(KEY_HEADS)
            .with_n_v_heads(Some(KEY_HEADS * PER_KEY_HEAD))
            .with_head_dim(Some(HEAD_DIM))
            .with_expand_v(2)
            .with_norm_epsilon(1e-6)
            .with_chunk_size(chunk_size);
        let mut layer: GatedDeltaNet = config.init(&Golden::device());
        layer.delta_net.qkv_proj = part(&golden, "in_proj_qkvz", &qkv);
        layer.delta_net.g_proj = Some(part(&golden, "in_proj_qkvz", &z));
        layer.delta_net.b_proj = part(&golden, "in_proj_ba", &b);
        layer.a_proj = part(&golden, "in_proj_ba", &a);
        layer.delta_net.conv_weight = golden.conv("conv1d.weight");
        layer.a_log = golden.param("A_log");
        layer.dt_bias = golden.param("dt_bias");
        layer.delta_net.norm_weight = golden.param("norm.weight");
        layer.delta_net.o_proj = golden.linear("out_proj");

        let x = golden.input("x");
        let (y, state) = layer.forward(x.clone(), None, None);
        golden.check("y", y.clone());
        golden.check("state.recurrent", state.recurrent);
        golden.check_window("state.conv", state.conv);
        let gradients = golden.backward(&y, "dy");
        golden.check_gradient("grad.x", &x, &gradients);
        let fused = |parts: [(&Linear, &[usize]); 2]| {
            let of = |linear: &Linear| linear.weight.val().grad(&gradients).expect("a gradient").transpose();
            let sorted = Tensor::cat(parts.iter().map(|(linear, _)| of(linear)).collect(), 0);
            let rows = parts.map(|(_, rows)| rows).concat();
            let mut back = vec![0; rows.len()];
            rows.iter().enumerate().for_each(|(place, &row)| back[row] = place);
            select(sorted, &back)
        };
        let GatedDeltaNet { delta_net, a_proj, a_log, dt_bias, .. } = &layer;
        let g_proj = delta_net.g_proj.as_ref().expect("a gate");
        golden.check("grad.in_proj_qkvz.weight", fused([(&delta_net.qkv_proj, &qkv), (g_proj, &z)]));
        golden.check("grad.in_proj_ba.weight", fused([(&delta_net.b_proj, &b), (a_proj, &a)]));
        golden.check_conv("conv1d.weight", &delta_net.conv_weight, &gradients);
        golden.check_param("A_log", a_log, &gradients);
        golden.check_param("dt_bias", dt_bias, &gradients);
        golden.check_param("norm.weight", &delta_net.norm_weight, &gradients);
        golden.check_linear("out_proj", &delta_net.o_proj, &gradients);
        golden.finish();
    }
}
