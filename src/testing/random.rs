//! Seeded draws: the same on every platform.

use std::ops::RangeInclusive;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// A stream of draws.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn size(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.random_range(*range.start() as u64..=*range.end() as u64) as usize
    }

    /// Positive lengths that add up to `total`.
    pub(super) fn lengths(&mut self, total: usize) -> Vec<usize> {
        let mut left = total;
        let mut lengths = Vec::new();
        while left > 0 {
            let length = self.size(1..=left.min(12));
            lengths.push(length);
            left -= length;
        }
        lengths
    }

    /// Uniform on [−spread, spread).
    pub(super) fn tensor<const D: usize>(
        &mut self,
        dims: [usize; D],
        spread: f32,
        device: &Device,
    ) -> Tensor<D> {
        let draw = |_| (self.0.random::<f32>() * 2.0 - 1.0) * spread;
        let values: Vec<f32> = (0..dims.iter().product()).map(draw).collect();
        Tensor::from_data(TensorData::new(values, dims), device)
    }
}

/// Moves every float parameter away from where it started.
///
/// Biases at 0 and norms at 1 hide what is done with them, and weights of deviation 0.02 leave attention nearly
/// uniform whatever the positions.
pub(super) fn perturbed<M: Module>(module: M) -> M {
    module.map(&mut Perturb(Random::new(11)))
}

struct Perturb(Random);

impl ModuleMapper for Perturb {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // What is frozen stands for what it is.
        if !param.is_require_grad() {
            // Drawn here, as all others.
            let _ = param.val();
            return param;
        }
        param.map(|values| {
            let noise = self.0.tensor(values.dims(), 0.5, &values.device()).cast(values.dtype());
            (values.detach() + noise).detach().require_grad()
        })
    }
}
