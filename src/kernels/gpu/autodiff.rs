//! The backward of a [`GpuOp`] as a step of Burn's graph.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend};

use super::op::{GpuExtension, GpuKernels, GpuOp};
use crate::kernels::outputs::{self, Mailbox};
use crate::kernels::tensors::Tensors;

/// Inputs of the operation that has most.
const PARENTS: usize = 7;

#[derive(Debug)]
struct Step(Arc<dyn GpuOp>);

impl<B: Backend + GpuKernels> Backward<B, PARENTS> for Step {
    /// The inputs and what was kept, and where the gradients of the outputs come.
    type State = (Vec<FloatTensor<B>>, Arc<Mailbox<B>>);

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<B>(&ops.node);
        let (mut tensors, mailbox) = ops.state;
        tensors.extend(mailbox.take(&tensors[0]));
        let input_grads = B::gpu_backward(Tensors(tensors), self.0).0;
        for (parent, grad) in ops.parents.into_iter().zip(input_grads) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

impl<B: Backend + GpuKernels, C: CheckpointStrategy> GpuExtension for Autodiff<B, C> {
    fn gpu_op(inputs: Tensors<Self>, op: Arc<dyn GpuOp>) -> Tensors<Self> {
        let inputs = inputs.0;
        assert!(inputs.len() <= PARENTS);
        let nobody = outputs::nobody::<B, C>(&inputs[0]);
        let nodes = std::array::from_fn(|index| inputs.get(index).unwrap_or(&nobody).node());
        let mut inputs: Vec<_> = inputs.into_iter().map(|input| input.into_primitive()).collect();
        let mut outputs = B::gpu_forward(Tensors(inputs.clone()), op.clone()).0;
        let kept = outputs.split_off(op.counts().outputs);
        match Backward::<B, PARENTS>::prepare::<C>(Step(op), nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let mark = outputs::placeholder::<B>(&inputs[0]);
                inputs.extend(kept);
                let mailbox = Mailbox::of(&outputs);
                let operation = step.finish((inputs, mailbox.clone()), mark);
                Tensors(outputs::track::<B, C>(&operation, &mailbox, outputs))
            }
            OpsKind::UnTracked(_) => Tensors(outputs.into_iter().map(Self::from_inner).collect()),
        }
    }
}
