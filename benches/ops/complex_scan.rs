use burn::tensor::Tensor;
use burn_sequence::ops::{ComplexScanInputs, Implementation, complex_scan};

use super::{Op, uniform};

/// 512 channels of 16 complex states.
pub const OP: Op = Op {
    name: "complex_scan",
    inputs: |seq| {
        vec![
            uniform("u", [1, seq, 512], [-1.0, 1.0]),
            uniform("decay", [512, 16, 2], [-0.7, 0.7]),
            uniform("c", [512, 16, 2], [-1.0, 1.0]),
        ]
    },
    call: |x| {
        let (u, decay) = (x.get::<3>("u"), x.get::<3>("decay"));
        let ([batch, _, channels], [_, d_state, _]) = (u.dims(), decay.dims());
        let state = Tensor::zeros([batch, channels, d_state, 2], (&u.device(), u.dtype()));
        let inputs = ComplexScanInputs { u, decay, c: x.get("c"), state, segments: None };
        complex_scan(inputs, Implementation::Auto).0.unsqueeze()
    },
};
