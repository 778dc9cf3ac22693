use burn::tensor::Tensor;
use burn_sequence::ops::{Implementation, causal_conv};

use super::{Op, uniform};

/// Four taps, 512 channels.
pub const OP: Op = Op {
    name: "causal_conv",
    inputs: |seq| {
        vec![
            uniform("x", [1, seq, 512], [-1.0, 1.0]),
            uniform("weight", [4, 512], [-0.5, 0.5]),
            uniform("bias", [512], [-0.5, 0.5]),
        ]
    },
    call: |x| {
        let (input, weight) = (x.get::<3>("x"), x.get::<2>("weight"));
        let ([batch, _, channels], [d_conv, _]) = (input.dims(), weight.dims());
        let window = Tensor::zeros([batch, d_conv - 1, channels], (&input.device(), input.dtype()));
        let (y, _) = causal_conv(input, weight, Some(x.get("bias")), window, None, Implementation::Auto);
        y.unsqueeze()
    },
};
