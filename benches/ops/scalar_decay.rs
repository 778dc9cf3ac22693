use burn::tensor::Tensor;
use burn_sequence::ops::{Implementation, ScalarDecayInputs, scalar_decay};

use super::{Op, uniform};

/// Eight heads of 64 × 64; inputs and outputs `[batch, seq, heads, dim]`, as projections leave them.
pub const OP: Op = Op {
    name: "scalar_decay",
    inputs: |seq| {
        let heads = |name| uniform(name, [1, seq, 8, 64], [-1.0, 1.0]);
        vec![heads("q"), heads("k"), heads("v"), uniform("log_decay", [1, seq, 8], [-0.1, 0.0])]
    },
    call: |x| {
        let [q, k, v] = ["q", "k", "v"].map(|name| x.get::<4>(name).swap_dims(1, 2));
        let ([batch, _, _, key_dim], [_, heads, _, value_dim]) = (k.dims(), v.dims());
        let state = Tensor::zeros([batch, heads, key_dim, value_dim], (&v.device(), v.dtype()));
        let log_decay = Some(x.get::<3>("log_decay").swap_dims(1, 2));
        let inputs = ScalarDecayInputs {
            q,
            k,
            v,
            log_decay,
            dt: None,
            d: None,
            state,
            segments: None,
            chunk_size: 64,
        };
        scalar_decay(inputs, Implementation::Auto).0.swap_dims(1, 2)
    },
};
