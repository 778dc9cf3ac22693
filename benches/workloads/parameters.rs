//! Parameters and their gradients by path, the names of enum variants left out: `backbone.blocks.0.mixer.q_proj.weight`.

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::arrays::{Arrays, array};

/// Where a visit is; `None` for the variant of an enum.
#[derive(Default)]
struct Path(Vec<Option<String>>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_string()));
    }

    fn leave(&mut self) {
        self.0.pop();
    }

    fn text(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

/// Replaces every parameter by the array of its name.
pub struct Load<'a> {
    arrays: &'a Arrays,
    path: Path,
}

impl<'a> Load<'a> {
    pub fn new(arrays: &'a Arrays) -> Self {
        Self { arrays, path: Path::default() }
    }
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.text();
        let data = self.arrays.get(&name).unwrap_or_else(|| panic!("no array for the parameter {name}"));
        param.map(|old| {
            assert_eq!(data.shape().to_vec(), old.dims().to_vec(), "{name}: shape");
            Tensor::from_data(data.clone(), &old.device())
        })
    }
}

/// Collects the gradient of every parameter.
pub struct Collect<'a> {
    gradients: &'a GradientsParams,
    path: Path,
    /// What was found.
    pub arrays: Arrays,
}

impl<'a> Collect<'a> {
    pub fn new(gradients: &'a GradientsParams) -> Self {
        Self { gradients, path: Path::default(), arrays: Arrays::new() }
    }
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.leave();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.text();
        let gradient = self.gradients.get::<D>(param.id);
        let gradient = gradient.unwrap_or_else(|| panic!("no gradient for the parameter {name}"));
        self.arrays.insert(format!("gradient of {name}"), array(&gradient));
    }
}
