//! One mechanism for every fused CPU operation: Burn's backend extension, over slices.
//!
//! A [`HostOp`] maps arrays to arrays and has a hand-written backward. [`run`] makes it a differentiable
//! operation on tensors of the flex and ndarray backends.

#[cfg(feature = "autodiff")]
mod autodiff;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "ndarray")]
mod ndarray;

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchTensor, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor, TensorData};

use super::real::Real;
use super::tensors::Tensors;

/// An array seen by a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array<'a, F> {
    /// The elements, row after row; of a view, what lies between them too.
    pub(crate) data: &'a [F],
    pub(crate) dims: &'a [usize],
    /// From one index of an axis to the next; 1 on the last axis.
    pub(crate) strides: &'a [usize],
}

impl<F> Array<'_, F> {
    /// Elements.
    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }
}

/// The strides of an array whose rows follow each other.
pub(crate) fn contiguous_strides(dims: &[usize]) -> Vec<usize> {
    (1..=dims.len()).map(|axis| dims[axis..].iter().product()).collect()
}

/// A fused operation on host memory with a hand-written backward.
pub(crate) trait HostOp: std::fmt::Debug + Send + Sync + 'static {
    /// Whether it reads an input by its strides; else a view is copied first, on one thread.
    fn reads_views(&self, _input: usize) -> bool {
        false
    }

    /// The outputs, flat, and what the backward wants to keep (checkpoints of a recurrence, normalisers);
    /// `keep` is false where no gradient will be asked for.
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>);

    /// The gradient of every input, in order, from those of the outputs.
    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>>;

    /// As [`backward`](Self::backward) where nobody asks for the gradients of some inputs (weights that are frozen): these may be
    /// empty.
    fn backward_of<F: Real>(
        &self,
        _asked: &[bool],
        inputs: &[Array<'_, F>],
        kept: &[F],
        grads: &[&[F]],
    ) -> Vec<Vec<F>> {
        self.backward(inputs, kept, grads)
    }
}

/// Runs `op` on tensors of a CPU backend, differentiably; its outputs, flat.
///
/// # Panics
///
/// If the operation has not `N` outputs.
pub(crate) fn run<const N: usize>(op: impl HostOp, inputs: Vec<HostInput>) -> [Tensor<1>; N] {
    run_all(op, inputs).try_into().expect("the operation's outputs")
}

/// As [`run`], for an operation whose outputs are counted at run time.
pub(crate) fn run_all(op: impl HostOp, inputs: Vec<HostInput>) -> Vec<Tensor<1>> {
    let inputs = Tensors(inputs.into_iter().map(|input| input.0).collect());
    let Tensors(outputs) = <Dispatch as HostExtension>::host_op(inputs, Arc::new(op));
    outputs.into_iter().map(Tensor::from_dispatch).collect()
}

/// A [`HostOp`] for one float type, without its own type: backends and autodiff are compiled once, not once an
/// operation.
pub(crate) trait Typed<F>: std::fmt::Debug + Send + Sync {
    fn reads_views(&self, input: usize) -> bool;
    fn forward(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>);
    fn backward(&self, asked: &[bool], inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>>;
}

impl<O: HostOp, F: Real> Typed<F> for O {
    fn reads_views(&self, input: usize) -> bool {
        HostOp::reads_views(self, input)
    }

    fn forward(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        HostOp::forward(self, inputs, keep)
    }

    fn backward(&self, asked: &[bool], inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        self.backward_of(asked, inputs, kept, grads)
    }
}

/// A [`HostOp`] for both float types.
pub(crate) trait AnyOp: Typed<f32> + Typed<f64> + 'static {}

impl<O: HostOp> AnyOp for O {}

/// A tensor of any rank on its way into [`run`].
pub(crate) struct HostInput(DispatchTensor);

impl<const D: usize> From<Tensor<D>> for HostInput {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

#[allow(deprecated, reason = "names ndarray, which Burn deprecates from 0.22 on")]
mod extension {
    use super::*;

    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Autodiff: cfg(feature = "autodiff")
    )]
    pub(crate) trait HostExtension: Backend {
        fn host_op(#[extension_type] inputs: Tensors<Self>, op: Arc<dyn AnyOp>) -> Tensors<Self>;
    }
}

use extension::HostExtension;

/// What a backend whose tensors live in host memory offers to kernels.
pub(crate) trait HostMemory: Backend {
    /// A tensor in a form that lends a slice.
    type Lent;

    /// The tensor contiguous, or, where `views` will do, with whole rows anywhere.
    fn lend(tensor: FloatTensor<Self>, views: bool) -> Self::Lent;
    /// From the first element on.
    fn slice<F: Real>(tensor: &Self::Lent) -> &[F];
    fn strides(tensor: &Self::Lent) -> Vec<usize>;
    fn tensor<F: Real>(data: Vec<F>, dims: &[usize]) -> FloatTensor<Self>;
}

/// What a forward keeps for its backward, of either float type.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
}

fn with_arrays<B: HostMemory, F: Real, R>(
    tensors: Vec<FloatTensor<B>>,
    reads_views: impl Fn(usize) -> bool,
    function: impl FnOnce(&[Array<'_, F>]) -> R,
) -> R {
    let dims: Vec<Vec<usize>> = tensors.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let tensors: Vec<B::Lent> =
        tensors.into_iter().enumerate().map(|(input, tensor)| B::lend(tensor, reads_views(input))).collect();
    let strides: Vec<Vec<usize>> = tensors.iter().map(B::strides).collect();
    let arrays: Vec<Array<'_, F>> = tensors
        .iter()
        .zip(dims.iter().zip(&strides))
        .map(|(tensor, (dims, strides))| Array { data: B::slice::<F>(tensor), dims, strides })
        .collect();
    function(&arrays)
}

fn forward<B: HostMemory>(op: &dyn AnyOp, inputs: Vec<FloatTensor<B>>, keep: bool) -> (Tensors<B>, Kept) {
    fn typed<B: HostMemory, F: Real>(
        op: &(impl Typed<F> + ?Sized),
        inputs: Vec<FloatTensor<B>>,
        keep: bool,
    ) -> (Tensors<B>, Vec<F>) {
        let (outputs, kept) =
            with_arrays::<B, F, _>(inputs, |input| op.reads_views(input), |arrays| op.forward(arrays, keep));
        let tensor = |output: Vec<F>| {
            let len = output.len();
            B::tensor(output, &[len])
        };
        (Tensors(outputs.into_iter().map(tensor).collect()), kept)
    }
    match inputs[0].dtype() {
        DType::F64 => {
            let (outputs, kept) = typed::<B, f64>(op, inputs, keep);
            (outputs, Kept::F64(kept.into()))
        }
        _ => {
            let (outputs, kept) = typed::<B, f32>(op, inputs, keep);
            (outputs, Kept::F32(kept.into()))
        }
    }
}
