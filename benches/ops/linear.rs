use burn_sequence::ops::{Implementation, WeightLayout, linear};

use super::{Op, uniform};

/// 512 to 2048 dimensions.
pub const OP: Op = Op {
    name: "linear",
    inputs: |seq| {
        vec![
            uniform("x", [1, 1, seq, 512], [-1.0, 1.0]),
            uniform("weight", [512, 2048], [-0.05, 0.05]),
            uniform("bias", [2048], [-0.05, 0.05]),
        ]
    },
    call: |x| {
        let layout = WeightLayout::InputFirst;
        linear(x.get("x"), x.get("weight"), Some(x.get("bias")), layout, Implementation::Auto)
    },
};
