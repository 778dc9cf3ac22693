use burn::tensor::Tensor;
use burn_sequence::ops::{Implementation, LstmInputs, lstm};

use super::{Op, uniform};

/// 8 rows of 128 units.
pub const OP: Op = Op {
    name: "lstm",
    inputs: |seq| {
        vec![uniform("gates", [8, seq, 512], [-1.0, 1.0]), uniform("recurrent", [128, 512], [-0.1, 0.1])]
    },
    call: |x| {
        let (gates, recurrent) = (x.get::<3>("gates"), x.get::<2>("recurrent"));
        let [batch, _, _] = gates.dims();
        let [d, _] = recurrent.dims();
        let hidden = Tensor::zeros([batch, d], (&gates.device(), gates.dtype()));
        let inputs = LstmInputs { gates, recurrent, cell: hidden.clone(), hidden, segments: None };
        lstm(inputs, Implementation::Auto).0.unsqueeze()
    },
};
