use burn::tensor::Tensor;
use burn_sequence::ops::{Implementation, SelectiveScanInputs, selective_scan};

use super::{Op, uniform};

/// 512 channels of 16 states.
pub const OP: Op = Op {
    name: "selective_scan",
    inputs: |seq| {
        vec![
            uniform("u", [1, seq, 512], [-1.0, 1.0]),
            uniform("delta", [1, seq, 512], [0.0, 0.1]),
            uniform("a", [512, 16], [-16.0, -1.0]),
            uniform("b", [1, seq, 16], [-1.0, 1.0]),
            uniform("c", [1, seq, 16], [-1.0, 1.0]),
        ]
    },
    call: |x| {
        let (u, a) = (x.get::<3>("u"), x.get::<2>("a"));
        let ([batch, _, d_inner], [_, d_state]) = (u.dims(), a.dims());
        let state = Tensor::zeros([batch, d_inner, d_state], (&u.device(), u.dtype()));
        let (delta, b, c) = (x.get("delta"), x.get("b"), x.get("c"));
        let inputs = SelectiveScanInputs { u, delta, a, b, c, d: None, z: None, state, segments: None };
        selective_scan(inputs, Implementation::Auto).0.unsqueeze()
    },
};
