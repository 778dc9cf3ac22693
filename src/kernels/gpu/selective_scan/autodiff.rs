//! The scan as a step of Burn's graph.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend};

use super::{GpuScan, ScanKernels};
use crate::kernels::outputs::{self, Mailbox};

#[derive(Debug)]
struct Step;

impl<B: Backend + ScanKernels> Backward<B, 6> for Step {
    /// `u`, `delta`, `a`, `b`, `c`, `survival`, the states between chunks.
    type State = ([FloatTensor<B>; 7], Arc<Mailbox<B>>);

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<B>(&ops.node);
        let ([u, delta, a, b, c, survival, before], mailbox) = ops.state;
        let [grad_y, grad_after] = mailbox.take(&u).try_into().expect("two outputs");
        let (u, delta, a, b, c, state) =
            B::selective_scan_backward(u, delta, a, b, c, before, survival, grad_y, grad_after);
        for (parent, grad) in ops.parents.into_iter().zip([u, delta, a, b, c, state]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

impl<B: Backend + ScanKernels, C: CheckpointStrategy> GpuScan for Autodiff<B, C> {
    fn selective_scan_on_gpu(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        state: FloatTensor<Self>,
        survival: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let inputs = [u, delta, a, b, c, state];
        let nodes = std::array::from_fn(|index| inputs[index].node());
        let [u, delta, a, b, c, state] = inputs.map(|input| input.into_primitive());
        let survival = survival.into_primitive();
        let forward = |state| {
            let [u, delta, a, b, c, survival] = [&u, &delta, &a, &b, &c, &survival].map(Clone::clone);
            B::selective_scan_forward(u, delta, a, b, c, state, survival)
        };
        let (y, after, before) = forward(state);
        match Backward::<B, 6>::prepare::<C>(Step, nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (mark, outputs) = (outputs::placeholder::<B>(&u), vec![y, after]);
                let mailbox = Mailbox::of(&outputs);
                let operation = step.finish(([u, delta, a, b, c, survival, before], mailbox.clone()), mark);
                let [y, after] = outputs::track::<B, C>(&operation, &mailbox, outputs)
                    .try_into()
                    .expect("as many as went in");
                (y, after)
            }
            OpsKind::UnTracked(_) => (Self::from_inner(y), Self::from_inner(after)),
        }
    }
}
