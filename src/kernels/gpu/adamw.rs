//! AdamW's update in one launch for a parameter.

use burn::tensor::Shape;
use burn_wgpu::CubeTensor;
use cubecl::prelude::*;

use super::op::{Counts, GpuOp};
use super::{address_type, arg, empty, entry, in_order, threads};

/// Inputs: a parameter, its gradient, the moments before; outputs: the parameter, the moments after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWStep {
    pub(crate) betas: [f32; 2],
    /// `1 / (1 − βⁿ)` of both, after n steps.
    pub(crate) scales: [f32; 2],
    pub(crate) epsilon: f32,
    pub(crate) learning_rate: f32,
    /// `1 − η λ`.
    pub(crate) kept: f32,
}

/// One thread for a number.
#[cube(launch, address_type = "dynamic")]
fn update<F: Float>(
    x: &Tensor<F>,
    grad: &Tensor<F>,
    first: &Tensor<F>,
    second: &Tensor<F>,
    new_x: &mut Tensor<F>,
    new_first: &mut Tensor<F>,
    new_second: &mut Tensor<F>,
    beta_1: f32,
    beta_2: f32,
    scale_1: f32,
    scale_2: f32,
    epsilon: f32,
    learning_rate: f32,
    kept: f32,
    #[comptime] ordered: bool,
    #[define(F)] _dtype: ElemType,
) {
    let here = ABSOLUTE_POS;
    if here >= new_x.len() {
        terminate!();
    }
    let grad = entry::<F>(grad, here, ordered);
    let (beta_1, beta_2) = (F::cast_from(beta_1), F::cast_from(beta_2));
    let one = F::new(1.0_f32);
    let first = beta_1 * entry::<F>(first, here, ordered) + (one - beta_1) * grad;
    let second = beta_2 * entry::<F>(second, here, ordered) + (one - beta_2) * grad * grad;
    let root = (second * F::cast_from(scale_2)).sqrt() + F::cast_from(epsilon);
    let step = first * F::cast_from(scale_1) / root;
    new_x[here] = F::cast_from(kept) * entry::<F>(x, here, ordered) - F::cast_from(learning_rate) * step;
    new_first[here] = first;
    new_second[here] = second;
}

impl GpuOp for AdamWStep {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone(); 3]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [x, grad, first, second] = inputs.try_into().expect("four inputs");
        let shape = x.meta.shape();
        let outputs = [(); 3].map(|()| empty(&x, shape.clone()));
        let [new_x, new_first, new_second] = &outputs;
        let (count, dim) = threads(&x, shape.num_elements());
        update::launch(
            &x.client,
            count,
            dim,
            address_type(&[&x, &grad, &first, &second], shape.num_elements()),
            arg(&x),
            arg(&grad),
            arg(&first),
            arg(&second),
            arg(new_x),
            arg(new_first),
            arg(new_second),
            self.betas[0],
            self.betas[1],
            self.scales[0],
            self.scales[1],
            self.epsilon,
            self.learning_rate,
            self.kept,
            in_order(&[&x, &grad, &first, &second]),
            f32::elem_type_native(),
        );
        outputs.into()
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 3, learnt: 0 }
    }

    fn backward(&self, _: Vec<CubeTensor>) -> Vec<CubeTensor> {
        unreachable!("an optimiser's parameters are not tracked")
    }
}
