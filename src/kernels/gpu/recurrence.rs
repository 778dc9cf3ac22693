//! One mechanism for every fused recurrence on GPUs: Burn's backend extension, over tensors of CubeCL.

use std::sync::Arc;

use burn::backend::{Backend, Cube, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::Shape;
use burn_wgpu::CubeTensor;

use super::same;
use crate::kernels::tensors::Tensors;

/// A recurrence in kernels, with a hand-written backward.
pub(crate) trait Recurrence: std::fmt::Debug + Send + Sync + 'static {
    /// Shapes of what [`forward`](Self::forward) gives.
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape>;

    /// The output, the state after, and what the backward wants to see again.
    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor>;

    /// Inputs that have gradients: the first ones.
    fn learns(&self) -> usize;

    /// The gradients of those inputs, from the inputs, what was kept, and the gradients of the output and of the state after.
    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor>;
}

/// The outputs of a [`Recurrence`]: what tokens read, and the state after. What follows them is kept for the backward.
pub(super) const OUTPUTS: usize = 2;

/// Runs `op`, differentiably: its output, and the state after.
pub(crate) fn run(op: impl Recurrence, inputs: Vec<DispatchTensor>) -> [DispatchTensor; OUTPUTS] {
    let outputs = <Dispatch as GpuExtension>::gpu_op(Tensors(inputs), Arc::new(op)).0;
    outputs.try_into().unwrap_or_else(|_| panic!("an output and a state"))
}

#[backend_extension(Cube, Autodiff: cfg(feature = "autodiff"))]
pub(crate) trait GpuExtension: Backend {
    fn gpu_op(#[extension_type] inputs: Tensors<Self>, op: Arc<dyn Recurrence>) -> Tensors<Self>;
}

impl GpuExtension for Cube {
    fn gpu_op(inputs: Tensors<Self>, op: Arc<dyn Recurrence>) -> Tensors<Self> {
        let mut outputs = Self::gpu_forward(inputs, op);
        outputs.0.truncate(OUTPUTS);
        outputs
    }
}

/// Kernels alone, without a graph.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait GpuKernels: Backend {
    /// [`Recurrence::forward`].
    #[fusion(meta = specs::forward)]
    fn gpu_forward(#[extension_type] inputs: Tensors<Self>, op: Arc<dyn Recurrence>) -> Tensors<Self>;

    /// [`Recurrence::backward`].
    #[fusion(meta = specs::backward)]
    fn gpu_backward(#[extension_type] tensors: Tensors<Self>, op: Arc<dyn Recurrence>) -> Tensors<Self>;
}

/// The backend that kernels are written for.
#[cfg(feature = "fusion")]
type Kernels = burn_wgpu::CubeBackend;
/// With `burn/fusion`, which another crate may turn on, this is another backend, and [`super::reaches_kernels`] says no: then none
/// of this runs, but it compiles.
#[cfg(not(feature = "fusion"))]
type Kernels = Cube;

impl GpuKernels for Kernels {
    fn gpu_forward(inputs: Tensors<Self>, op: Arc<dyn Recurrence>) -> Tensors<Self> {
        through(inputs, |inputs| {
            let shapes: Vec<_> = inputs.iter().map(|input| input.meta.shape().clone()).collect();
            let outputs = op.forward(inputs);
            debug_assert!(
                op.shapes(&shapes.iter().collect::<Vec<_>>())
                    .iter()
                    .eq(outputs.iter().map(|x| x.meta.shape())),
                "{op:?}"
            );
            outputs
        })
    }

    fn gpu_backward(tensors: Tensors<Self>, op: Arc<dyn Recurrence>) -> Tensors<Self> {
        through(tensors, |tensors| {
            let grads = op.backward(tensors);
            debug_assert_eq!(grads.len(), op.learns(), "{op:?}");
            grads
        })
    }
}

fn through(
    tensors: Tensors<Kernels>,
    kernels: impl FnOnce(Vec<CubeTensor>) -> Vec<CubeTensor>,
) -> Tensors<Kernels> {
    Tensors(kernels(tensors.0.into_iter().map(same).collect()).into_iter().map(same).collect())
}

/// Shapes and dtypes, known before the kernels run.
#[cfg(feature = "fusion")]
mod specs {
    use burn::backend::fusion::custom::TensorSpec;

    use super::*;

    pub(super) fn forward(inputs: &[TensorSpec], op: &Arc<dyn Recurrence>) -> Vec<TensorSpec> {
        let shapes: Vec<_> = inputs.iter().map(|input| &input.shape).collect();
        op.shapes(&shapes).into_iter().map(|shape| TensorSpec::new(shape, inputs[0].dtype)).collect()
    }

    pub(super) fn backward(tensors: &[TensorSpec], op: &Arc<dyn Recurrence>) -> Vec<TensorSpec> {
        tensors[..op.learns()].to_vec()
    }
}
