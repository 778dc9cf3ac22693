//! Burn's autodiff steps have one output; an operation here has several.
//!
//! So the operation becomes a step whose own output is a placeholder, and every output a step that follows it. Back
//! comes first what follows: an output leaves its gradient in a [`Mailbox`], and the operation finds all of them
//! there. Nothing is concatenated on the way forward, and nothing padded on the way back.
//!
//! ```text
//! forward    inputs → the operation (a placeholder) → Output 0, Output 1, …
//! backward   inputs ← the operation ← Mailbox ← Output 0, Output 1, …
//! ```
//!
//! It relies on three things. Burn goes back through every step that follows before the one followed. An output that nothing
//! used never comes back, and its gradient is taken for zeros. A graph goes back once: the mailbox is empty after.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::{DType, Shape};

/// The gradients of an operation's outputs; `None` for an output that nothing used.
pub(super) struct Mailbox<B: Backend> {
    outputs: Vec<(Shape, DType)>,
    grads: Mutex<Vec<Option<FloatTensor<B>>>>,
}

impl<B: Backend> std::fmt::Debug for Mailbox<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

impl<B: Backend> Mailbox<B> {
    pub(super) fn of(outputs: &[FloatTensor<B>]) -> Arc<Self> {
        let grads = Mutex::new(outputs.iter().map(|_| None).collect());
        Arc::new(Self {
            outputs: outputs.iter().map(|output| (output.shape(), output.dtype())).collect(),
            grads,
        })
    }

    /// Whether it is the first to come.
    fn put(&self, output: usize, grad: FloatTensor<B>) -> bool {
        let mut grads = self.grads.lock().unwrap_or_else(PoisonError::into_inner);
        let first = grads.iter().all(Option::is_none);
        grads[output] = Some(grad);
        first
    }

    /// All of them, on the device of `like`.
    pub(super) fn take(&self, like: &FloatTensor<B>) -> Vec<FloatTensor<B>> {
        let grads = std::mem::take(&mut *self.grads.lock().unwrap_or_else(PoisonError::into_inner));
        let zeros =
            |(shape, dtype): &(Shape, DType)| B::float_zeros(shape.clone(), &like.device(), (*dtype).into());
        grads
            .into_iter()
            .zip(&self.outputs)
            .map(|(grad, output)| grad.unwrap_or_else(|| zeros(output)))
            .collect()
    }
}

/// What the operation itself puts out, and what stands for its gradient, on the device of `like`: nobody reads it.
pub(super) fn placeholder<B: Backend>(like: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_empty(Shape::new([1]), &like.device(), like.dtype().into())
}

/// What stands in for a parent where an operation has fewer than its type says: a tensor that is not tracked, so that nobody waits for
/// its gradient.
pub(super) fn nobody<B: Backend, C: CheckpointStrategy>(
    like: &FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    Autodiff::<B, C>::from_inner(placeholder::<B>(&like.clone().into_primitive()))
}

/// The outputs of an operation, which is tracked, as tensors that come back through it.
pub(super) fn track<B: Backend, C: CheckpointStrategy>(
    operation: &FloatTensor<Autodiff<B, C>>,
    mailbox: &Arc<Mailbox<B>>,
    outputs: Vec<FloatTensor<B>>,
) -> Vec<FloatTensor<Autodiff<B, C>>> {
    let tracked = |(index, output)| match Backward::<B, 1>::prepare::<C>(Output(index), [operation.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(step) => step.finish(mailbox.clone(), output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    outputs.into_iter().enumerate().map(tracked).collect()
}

/// One output of an operation.
#[derive(Debug)]
struct Output(usize);

impl<B: Backend> Backward<B, 1> for Output {
    type State = Arc<Mailbox<B>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let mark = placeholder::<B>(&grad);
        let first = ops.state.put(self.0, grad);
        if let ([Some(operation)], true) = (ops.parents, first) {
            grads.register::<B>(operation.id, mark);
        }
    }
}
