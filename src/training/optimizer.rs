//! AdamW, told what not to decay.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::ModuleOptimizer;
use burn::tensor::Tensor;

use super::adamw::AdamW;

/// [`AdamW`] for `model`, which decays its matrices: not its vectors (parameters of one axis: norms, biases, skips), and not
/// the rates of its state spaces, which are the parameters called `a_log` or `a_imag`; name those of your own mixer so.
///
/// Parameters are known by their places, so that the optimiser holds for another model of the same form, and for one that
/// is loaded later.
pub fn optimizer<M: Module>(model: &M, weight_decay: f64) -> ModuleOptimizer {
    let mut undecayed = Undecayed::default();
    model.visit(&mut undecayed);
    let group = ParamGroup::from_paths(undecayed.paths);
    ModuleOptimizer::from(AdamW::new(weight_decay)).with_group(group, AdamW::new(0.0), None)
}

#[derive(Default)]
struct Undecayed {
    place: Vec<String>,
    paths: Vec<String>,
}

impl ModuleVisitor for Undecayed {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.place.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.pop();
    }

    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        if D == 1 || self.place.last().is_some_and(|name| name == "a_log" || name == "a_imag") {
            self.paths.push(self.place.join("."));
        }
    }
}
