use burn_sequence::ops::rms_norm;

use super::{Op, uniform};

/// Rows of 512.
pub const OP: Op = Op {
    name: "rms_norm",
    inputs: |seq| vec![uniform("x", [1, seq, 512], [-1.0, 1.0]), uniform("gamma", [512], [0.5, 1.5])],
    call: |x| rms_norm(x.get::<3>("x").unsqueeze::<4>(), x.get("gamma"), 1e-5),
};
