use burn::tensor::Tensor;
use burn_sequence::ops::{DeltaRuleInputs, Implementation, delta_rule, rms_norm};

use super::{Op, uniform};

/// Eight heads of 64 × 64, gated, with queries of length 1/√64 and keys of length 1; inputs and outputs
/// `[batch, seq, heads, dim]`, as projections leave them.
pub const OP: Op = Op {
    name: "delta_rule",
    inputs: |seq| {
        let heads = |name| uniform(name, [1, seq, 8, 64], [-1.0, 1.0]);
        let gates = |name, range| uniform(name, [1, seq, 8], range);
        let (log_decay, beta) = (gates("log_decay", [-0.1, 0.0]), gates("beta", [0.0, 1.0]));
        vec![heads("q"), heads("k"), heads("v"), log_decay, beta]
    },
    call: |x| {
        let v = x.get::<4>("v").swap_dims(1, 2);
        let (q, k) = (of_length(x.get("q"), 0.125), of_length(x.get("k"), 1.0));
        let ([batch, _, _, key_dim], [_, heads, _, value_dim]) = (k.dims(), v.dims());
        let state = Tensor::zeros([batch, heads, key_dim, value_dim], (&v.device(), v.dtype()));
        let gate = |name: &str| x.get::<3>(name).swap_dims(1, 2);
        let (beta, log_decay) = (gate("beta"), Some(gate("log_decay")));
        let inputs = DeltaRuleInputs { q, k, v, beta, log_decay, state, segments: None, chunk_size: 64 };
        delta_rule(inputs, Implementation::Auto).0.swap_dims(1, 2)
    },
};

/// Vectors of this length: `x / √(Σ x² + 1e-6)` is the root-mean-square norm with other constants.
fn of_length(x: Tensor<4>, length: f64) -> Tensor<4> {
    let [_, _, _, dim] = x.dims();
    let scale = Tensor::full([dim], length / (dim as f64).sqrt(), (&x.device(), x.dtype()));
    rms_norm(x, scale, 1e-6 / dim as f64).swap_dims(1, 2)
}
