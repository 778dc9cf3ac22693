use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use burn_sequence::layers::{
    FeatureMap, LinearAttention, LinearAttentionConfig, Normalization, SequenceMixer,
};

use crate::golden::{Golden, dtypes};

const HEADS: usize = 3;
const KEY_DIM: usize = 5;
const VALUE_DIM: usize = 3;
/// Of one head in the layer: its query, key and value next to each other.
const WIDTH: usize = 2 * KEY_DIM + VALUE_DIM;

/// The projection that reads the columns `from..from + len` of every head of width `stride` and writes them to the
/// first columns of a head of width `to`.
fn select(golden: &Golden, [stride, from, len, to]: [usize; 4]) -> Linear {
    let mut weight = vec![0.0_f32; HEADS * stride * HEADS * to];
    for (head, column) in (0..HEADS).flat_map(|head| (0..len).map(move |column| (head, column))) {
        weight[(head * stride + from + column) * HEADS * to + head * to + column] = 1.0;
    }
    let weight = TensorData::new(weight, [HEADS * stride, HEADS * to]);
    Linear { weight: Param::from_tensor(golden.tensor(weight)), bias: None }
}

/// The layer on inputs that hold queries, keys and values, with projections that only take them apart.
fn check(
    golden: &Golden,
    case: &str,
    feature_map: FeatureMap,
    normalization: Normalization,
    chunk_size: usize,
) {
    let config = LinearAttentionConfig::new(HEADS * WIDTH)
        .with_n_heads(HEADS)
        .with_key_dim(Some(KEY_DIM))
        .with_feature_map(feature_map)
        .with_normalization(normalization)
        .with_chunk_size(chunk_size);
    let mut layer: LinearAttention = config.init(&Golden::device());
    layer.q_proj = select(golden, [WIDTH, 0, KEY_DIM, KEY_DIM]);
    layer.k_proj = select(golden, [WIDTH, KEY_DIM, KEY_DIM, KEY_DIM]);
    layer.v_proj = select(golden, [WIDTH, 2 * KEY_DIM, VALUE_DIM, WIDTH]);
    layer.o_proj = select(golden, [WIDTH, 0, VALUE_DIM, WIDTH]);

    let [q, k, v] = ["q", "k", "v"].map(|name| golden.input::<4>(name));
    let [batch, _, seq, _] = q.dims();
    let x = Tensor::cat(vec![q.clone(), k.clone(), v.clone()], 3);
    let (y, _) = layer.forward(x.swap_dims(1, 2).reshape([batch, seq, HEADS * WIDTH]), None, None);
    let y = y.reshape([batch, seq, HEADS, WIDTH]).swap_dims(1, 2).narrow(3, 0, VALUE_DIM);
    golden.check(&format!("{case}.y"), y.clone());
    let gradients = golden.backward(&y, "dy");
    for (name, of) in [("q", &q), ("k", &k), ("v", &v)] {
        golden.check_gradient(&format!("{case}.grad.{name}"), of, &gradients);
    }
}

#[test]
fn layer() {
    for (dtype, chunk_size) in dtypes().into_iter().flat_map(|dtype| [1, 4, 19, 64].map(|size| (dtype, size)))
    {
        let golden = Golden::read("linear_attention", dtype);
        check(&golden, "elu", FeatureMap::Elu, Normalization::Sum, chunk_size);
        check(&golden, "relu", FeatureMap::Relu, Normalization::Sum, chunk_size);
        check(&golden, "identity", FeatureMap::Identity, Normalization::None, chunk_size);
        check(&golden, "taylor", FeatureMap::Taylor, Normalization::Sum, chunk_size);
        golden.finish();
    }
}
