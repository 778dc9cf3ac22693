use burn::tensor::Tensor;
use burn_sequence::ops::{Implementation, VectorDecayInputs, vector_decay};

use super::{Op, uniform};

/// Eight heads of 64 × 64; inputs and outputs `[batch, seq, heads, dim]`, as projections leave them.
pub const OP: Op = Op {
    name: "vector_decay",
    inputs: |seq| {
        let heads = |name, range| uniform(name, [1, seq, 8, 64], range);
        let of_tokens = ["q", "k", "v"].map(|name| heads(name, [-1.0, 1.0]));
        of_tokens.into_iter().chain([heads("log_decay", [-0.1, 0.0])]).collect()
    },
    call: |x| {
        let [q, k, v, log_decay] = ["q", "k", "v", "log_decay"].map(|name| x.get::<4>(name).swap_dims(1, 2));
        let ([batch, _, _, key_dim], [_, heads, _, value_dim]) = (k.dims(), v.dims());
        let state = Tensor::zeros([batch, heads, key_dim, value_dim], (&v.device(), v.dtype()));
        let inputs = VectorDecayInputs { q, k, v, log_decay, state, segments: None, chunk_size: 64 };
        vector_decay(inputs, Implementation::Auto).0.swap_dims(1, 2)
    },
};
