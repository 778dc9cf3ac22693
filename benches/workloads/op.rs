//! An op on given inputs, or on random ones.

use std::time::{Duration, Instant};

use burn::tensor::Device;

use crate::arrays::{Arrays, array};
use crate::drain::drain;
use crate::ops::{Arguments, Input, OPS, Op};
use crate::{Variant, Workload};

/// An op and its inputs, twice: where gradients are recorded, and where they are not.
pub struct OpWorkload {
    op: &'static Op,
    plain: Arguments,
    tracked: Arguments,
}

impl OpWorkload {
    /// The op of this name on these inputs; `None` where there is no such op.
    pub fn new(name: &str, inputs: impl FnOnce(&Op) -> Arrays) -> Option<Self> {
        let op = OPS.iter().find(|op| op.name == name)?;
        let arrays = inputs(op);
        let device = Device::default();
        let plain = Arguments::new(arrays.clone(), &device);
        Some(Self { op, plain, tracked: Arguments::new(arrays, &device.autodiff()) })
    }
}

/// Random inputs of `seq` tokens.
pub fn random(op: &Op, seq: usize) -> Arrays {
    (op.inputs)(seq).iter().map(Input::draw).collect()
}

/// Runs every op once, on a short sequence.
pub fn check_all() {
    for op in &OPS {
        let mut workload = OpWorkload::new(op.name, |op| random(op, 256)).expect("it is in the list");
        let results = workload.results();
        let finite = |data: &burn::tensor::TensorData| data.iter::<f32>().all(f32::is_finite);
        assert!(results.values().all(finite), "{}: not finite", op.name);
        println!("{}: {} arrays", op.name, results.len());
    }
}

impl Workload for OpWorkload {
    fn results(&mut self) -> Arrays {
        let gradients = self.op.train(&self.tracked).into_iter();
        let mut results: Arrays =
            gradients.map(|(name, gradient)| (format!("gradient of {name}"), array(&gradient))).collect();
        results.insert("output".into(), array(&self.op.forward(&self.plain)));
        results
    }

    fn run(&mut self, variant: Variant) -> Duration {
        let began = Instant::now();
        match variant {
            Variant::Forward => drain(&self.op.forward(&self.plain)),
            Variant::Train => self.op.train(&self.tracked).iter().for_each(|(_, gradient)| drain(gradient)),
            Variant::Decode | Variant::DecodeBf16 | Variant::DecodeInt8 => panic!("an op does not decode"),
        }
        began.elapsed()
    }
}
