//! Burn's autodiff steps have one output; an operation here has several.
//!
//! So the operation becomes a step whose own output is a placeholder, and every output a step that follows it. Back
//! comes first what follows: an output leaves its gradient in a [`Mailbox`], and the operation finds all of them
//! there. Nothing is concatenated on the way forward, and nothing padded on the way back.
//!
//! ```text
//! forward    inputs → Step (a placeholder) → Output 0, Output 1, …
//! backward   inputs ← Step ← Mailbox ← Output 0, Output 1, …
//! ```
//!
//! It relies on three things. Burn goes back through every step that follows before the one followed. An output that nothing
//! used never comes back, and its gradient is taken for zeros. A graph goes back once: the mailbox is empty after.

use std::sync::{Mutex, PoisonError};

use super::*;
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

/// The gradients of an operation's outputs; `None` for an output that nothing used.
struct Mailbox<B: Backend> {
    lens: Vec<usize>,
    grads: Mutex<Vec<Option<FloatTensor<B>>>>,
}

impl<B: Backend> std::fmt::Debug for Mailbox<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("lens", &self.lens).finish_non_exhaustive()
    }
}

impl<B: Backend> Mailbox<B> {
    fn put(&self, output: usize, grad: FloatTensor<B>) {
        self.grads.lock().unwrap_or_else(PoisonError::into_inner)[output] = Some(grad);
    }

    fn take(&self) -> Vec<Option<FloatTensor<B>>> {
        std::mem::take(&mut *self.grads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a placeholder holds.
fn placeholder<B: HostMemory>() -> FloatTensor<B> {
    B::tensor(vec![0.0_f32], &[1])
}

fn backward<B: HostMemory, F: Real>(
    op: &(impl Typed<F> + ?Sized),
    inputs: Vec<FloatTensor<B>>,
    kept: &[F],
    mailbox: &Mailbox<B>,
) -> Vec<FloatTensor<B>> {
    let dims: Vec<Vec<usize>> = inputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let zeros = |&len: &usize| B::tensor(vec![F::zero(); len], &[len]);
    let grads: Vec<B::Lent> = mailbox
        .take()
        .into_iter()
        .zip(&mailbox.lens)
        .map(|(grad, len)| B::lend(grad.unwrap_or_else(|| zeros(len)), false))
        .collect();
    let grads: Vec<&[F]> = grads.iter().map(B::slice).collect();
    let grads = with_arrays::<B, F, _>(
        inputs,
        |input| op.reads_views(input),
        |arrays| op.backward(arrays, kept, &grads),
    );
    grads.into_iter().zip(&dims).map(|(grad, dims)| B::tensor(grad, dims)).collect()
}

/// Inputs of the operation that has most; others name their first input again, and give it no second gradient.
const PARENTS: usize = 8;

#[derive(Debug)]
struct Step(Arc<dyn AnyOp>);

impl<B: HostMemory> Backward<B, PARENTS> for Step {
    type State = (Vec<FloatTensor<B>>, Kept, Arc<Mailbox<B>>);

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<B>(&ops.node);
        let (inputs, kept, mailbox) = ops.state;
        let input_grads = match kept {
            Kept::F32(kept) => backward::<B, f32>(&*self.0, inputs, &kept, &mailbox),
            Kept::F64(kept) => backward::<B, f64>(&*self.0, inputs, &kept, &mailbox),
        };
        for (parent, grad) in ops.parents.into_iter().zip(input_grads) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// One output of an operation.
#[derive(Debug)]
struct Output(usize);

impl<B: HostMemory> Backward<B, 1> for Output {
    type State = Arc<Mailbox<B>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        ops.state.put(self.0, grads.consume::<B>(&ops.node));
        if let [Some(operation)] = ops.parents {
            grads.register::<B>(operation.id, placeholder::<B>());
        }
    }
}

impl<B: HostMemory + HostExtension, C: CheckpointStrategy> HostExtension for Autodiff<B, C> {
    fn host_op(inputs: Tensors<Self>, op: Arc<dyn AnyOp>) -> Tensors<Self> {
        let inputs = inputs.0;
        let nodes = std::array::from_fn(|index| inputs.get(index).unwrap_or(&inputs[0]).node());
        let inputs: Vec<_> = inputs.into_iter().map(|input| input.into_primitive()).collect();
        assert!(inputs.len() <= PARENTS);
        match Backward::<B, PARENTS>::prepare::<C>(Step(op.clone()), nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (Tensors(outputs), kept) = forward::<B>(&*op, inputs.clone(), true);
                let mailbox = Arc::new(Mailbox {
                    lens: outputs.iter().map(|output| output.shape().num_elements()).collect(),
                    grads: Mutex::new(outputs.iter().map(|_| None).collect()),
                });
                let operation = step.finish((inputs, kept, mailbox.clone()), placeholder::<B>());
                let tracked = |(index, output)| match Output(index)
                    .prepare::<C>([operation.node()])
                    .compute_bound()
                    .stateful()
                {
                    OpsKind::Tracked(step) => step.finish(mailbox.clone(), output),
                    OpsKind::UnTracked(step) => step.finish(output),
                };
                Tensors(outputs.into_iter().enumerate().map(tracked).collect())
            }
            OpsKind::UnTracked(_) => {
                let Tensors(outputs) = forward::<B>(&*op, inputs, false).0;
                let constant = |output| <Self as burn::backend::AutodiffBackend>::from_inner(output);
                Tensors(outputs.into_iter().map(constant).collect())
            }
        }
    }
}
