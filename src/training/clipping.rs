//! The norm of all gradients together.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Scales the gradients of `module` so that their joint norm is at most `limit`; returns the norm before.
pub fn clip_gradients<M: Module>(module: &M, gradients: &mut GradientsParams, limit: f64) -> f64 {
    let mut norm = SquaredNorm { gradients, sum: None };
    module.visit(&mut norm);
    let norm = norm.sum.map_or(0.0, |sum| sum.into_scalar::<f64>().sqrt());
    if norm > limit {
        module.visit(&mut Scale { gradients, factor: limit / norm });
    }
    norm
}

struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squared = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + squared,
                None => squared,
            });
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}
