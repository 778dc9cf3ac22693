use burn_sequence::ops::{AttentionInputs, AttentionOptions, Implementation, attention};

use super::{Op, uniform};

/// Causal attention, eight heads of 64.
pub const OP: Op = Op {
    name: "attention",
    inputs: |seq| ["q", "k", "v"].map(|name| uniform(name, [1, 8, seq, 64], [-1.0, 1.0])).into(),
    call: |x| {
        let inputs = AttentionInputs::new(x.get("q"), x.get("k"), x.get("v"));
        attention(inputs, &AttentionOptions::default(), Implementation::Auto)
    },
};
