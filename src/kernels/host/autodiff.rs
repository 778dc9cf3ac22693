//! The backward of a [`HostOp`] as a step of Burn's graph.

use super::*;
use crate::kernels::outputs::{self, Mailbox};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

/// The gradients of the inputs for which they are asked.
fn backward<B: HostMemory, F: Real>(
    op: &(impl Typed<F> + ?Sized),
    asked: [bool; PARENTS],
    inputs: Vec<FloatTensor<B>>,
    kept: &[F],
    mailbox: &Mailbox<B>,
) -> Vec<Option<FloatTensor<B>>> {
    let dims: Vec<Vec<usize>> = inputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let grads: Vec<B::Lent> = mailbox.take(&inputs[0]).into_iter().map(|grad| B::lend(grad, false)).collect();
    let grads: Vec<&[F]> = grads.iter().map(B::slice).collect();
    let grads = with_arrays::<B, F, _>(
        inputs,
        |input| op.reads_views(input),
        |arrays| op.backward(&asked, arrays, kept, &grads),
    );
    let grads = grads.into_iter().zip(&dims).zip(asked);
    grads.map(|((grad, dims), asked)| asked.then(|| B::tensor(grad, dims))).collect()
}

/// Inputs of the operation that has most.
const PARENTS: usize = 8;

#[derive(Debug)]
struct Step(Arc<dyn AnyOp>);

impl<B: HostMemory> Backward<B, PARENTS> for Step {
    type State = (Vec<FloatTensor<B>>, Kept, Arc<Mailbox<B>>);

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<B>(&ops.node);
        let (inputs, kept, mailbox) = ops.state;
        let asked = ops.parents.each_ref().map(Option::is_some);
        let input_grads = match kept {
            Kept::F32(kept) => backward::<B, f32>(&*self.0, asked, inputs, &kept, &mailbox),
            Kept::F64(kept) => backward::<B, f64>(&*self.0, asked, inputs, &kept, &mailbox),
        };
        for (parent, grad) in ops.parents.into_iter().zip(input_grads) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

impl<B: HostMemory + HostExtension, C: CheckpointStrategy> HostExtension for Autodiff<B, C> {
    fn host_op(inputs: Tensors<Self>, op: Arc<dyn AnyOp>) -> Tensors<Self> {
        let inputs = inputs.0;
        let nobody = outputs::nobody::<B, C>(&inputs[0]);
        let nodes = std::array::from_fn(|index| inputs.get(index).unwrap_or(&nobody).node());
        let inputs: Vec<_> = inputs.into_iter().map(|input| input.into_primitive()).collect();
        assert!(inputs.len() <= PARENTS);
        match Backward::<B, PARENTS>::prepare::<C>(Step(op.clone()), nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let mark = outputs::placeholder::<B>(&inputs[0]);
                let (Tensors(outputs), kept) = forward::<B>(&*op, inputs.clone(), true);
                let mailbox = Mailbox::of(&outputs);
                let operation = step.finish((inputs, kept, mailbox.clone()), mark);
                Tensors(outputs::track::<B, C>(&operation, &mailbox, outputs))
            }
            OpsKind::UnTracked(_) => {
                let Tensors(outputs) = forward::<B>(&*op, inputs, false).0;
                let constant = |output| <Self as burn::backend::AutodiffBackend>::from_inner(output);
                Tensors(outputs.into_iter().map(constant).collect())
            }
        }
    }
}
