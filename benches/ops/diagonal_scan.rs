use burn::tensor::Tensor;
use burn_sequence::ops::{DiagonalScanInputs, Gates, Implementation, diagonal_scan};

use super::{Op, uniform};

/// 512 channels, decays and writes computed elsewhere.
pub const OP: Op = Op {
    name: "diagonal_scan",
    inputs: |seq| {
        vec![uniform("log_decay", [1, seq, 512], [-0.1, 0.0]), uniform("write", [1, seq, 512], [-1.0, 1.0])]
    },
    call: |x| {
        let (log_decay, write) = (x.get::<3>("log_decay"), x.get::<3>("write"));
        let [batch, _, channels] = write.dims();
        let state = Tensor::zeros([batch, channels], (&write.device(), write.dtype()));
        let gates = Gates::Given { log_decay, write };
        diagonal_scan(DiagonalScanInputs { gates, state, segments: None }, Implementation::Auto).0.unsqueeze()
    },
};
