//! One mechanism for every fused GPU operation: Burn's backend extension, over tensors of CubeCL.

use std::sync::Arc;

use burn::backend::{Backend, Cube, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::{DType, Shape};
use burn_wgpu::CubeTensor;

use super::same;
use crate::kernels::tensors::Tensors;

/// A fused operation of kernels with a hand-written backward.
pub(crate) trait GpuOp: std::fmt::Debug + Send + Sync + 'static {
    /// Shapes of what [`forward`](Self::forward) gives.
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape>;

    /// The outputs, and then what the backward wants to see again.
    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor>;

    /// How many of which there are.
    fn counts(&self) -> Counts;

    /// The gradients of the inputs that have any, from the inputs, what was kept, and the gradients of the outputs.
    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor>;
}

/// What an operation's lists of tensors consist of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Of what the forward gives: the first ones; what follows them is kept.
    pub(crate) outputs: usize,
    /// Inputs that have gradients: the first ones.
    pub(crate) learnt: usize,
}

/// Runs `op`, differentiably; its outputs.
///
/// # Panics
///
/// If the operation has not `N` outputs.
pub(crate) fn run<const N: usize>(op: impl GpuOp, inputs: Vec<DispatchTensor>) -> [DispatchTensor; N] {
    let outputs = <Dispatch as GpuExtension>::gpu_op(Tensors(inputs), Arc::new(op)).0;
    outputs.try_into().unwrap_or_else(|_| panic!("the operation's outputs"))
}

#[backend_extension(Cube, Autodiff: cfg(feature = "autodiff"))]
pub(crate) trait GpuExtension: Backend {
    fn gpu_op(#[extension_type] inputs: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self>;
}

impl GpuExtension for Cube {
    fn gpu_op(inputs: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self> {
        let count = op.counts().outputs;
        let mut outputs = Self::gpu_forward(inputs, op);
        outputs.0.truncate(count);
        outputs
    }
}

/// Kernels alone, without a graph.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait GpuKernels: Backend {
    /// [`GpuOp::forward`].
    #[fusion(meta = specs::forward)]
    fn gpu_forward(#[extension_type] inputs: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self>;

    /// [`GpuOp::backward`].
    #[fusion(meta = specs::backward)]
    fn gpu_backward(#[extension_type] tensors: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self>;
}

/// The backend that kernels are written for.
#[cfg(feature = "fusion")]
type Kernels = burn_wgpu::CubeBackend;
/// With `burn/fusion`, which another crate may turn on, this is another backend, and [`super::reaches_kernels`] says no: then none
/// of this runs, but it compiles.
#[cfg(not(feature = "fusion"))]
type Kernels = Cube;

impl GpuKernels for Kernels {
    fn gpu_forward(inputs: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self> {
        through(inputs, |inputs| {
            let shapes = cfg!(debug_assertions)
                .then(|| op.shapes(&inputs.iter().map(|input| input.meta.shape()).collect::<Vec<_>>()));
            let outputs = op.forward(inputs);
            if let Some(shapes) = shapes {
                assert!(shapes.iter().eq(outputs.iter().map(|output| output.meta.shape())), "{op:?}");
            }
            outputs
        })
    }

    fn gpu_backward(tensors: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self> {
        through(tensors, |tensors| {
            let grads = op.backward(tensors);
            debug_assert_eq!(grads.len(), op.counts().learnt, "{op:?}");
            grads
        })
    }
}

fn through(
    tensors: Tensors<Kernels>,
    kernels: impl FnOnce(Vec<CubeTensor>) -> Vec<CubeTensor>,
) -> Tensors<Kernels> {
    let tensors: Vec<CubeTensor> = tensors.0.into_iter().map(same).collect();
    assert!(tensors.iter().all(|tensor| tensor.dtype == DType::F32), "kernels for GPUs are of f32");
    Tensors(kernels(tensors).into_iter().map(same).collect())
}

/// Shapes and dtypes, known before the kernels run.
#[cfg(feature = "fusion")]
mod specs {
    use burn::backend::fusion::custom::TensorSpec;

    use super::*;

    pub(super) fn forward(inputs: &[TensorSpec], op: &Arc<dyn GpuOp>) -> Vec<TensorSpec> {
        let shapes: Vec<_> = inputs.iter().map(|input| &input.shape).collect();
        op.shapes(&shapes).into_iter().map(|shape| TensorSpec::new(shape, inputs[0].dtype)).collect()
    }

    pub(super) fn backward(tensors: &[TensorSpec], op: &Arc<dyn GpuOp>) -> Vec<TensorSpec> {
        tensors[..op.counts().learnt].to_vec()
    }
}
