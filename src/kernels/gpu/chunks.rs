//! What recurrences over chunks share: the way of states between them.
//!
//! Every chunk is read from a state of zeros, which gives what it adds to a state; then one thread for each number of a state
//! goes from chunk to chunk; then every chunk is read once more from the state that it really begins with. Back the
//! same way, with gradients for states. Only states between chunks are kept for the backward.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::Shape;
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::ir::AddressType;
use cubecl::prelude::*;

use super::{arg, empty, place_of, threads};

/// Where a block ends that begins at `start`, of `len` in all.
#[cube]
pub(super) fn end_of(start: usize, len: usize, #[comptime] block: usize) -> usize {
    let mut end = start + block;
    if end > len {
        end = len;
    }
    end
}

/// One thread for a number of the state, from chunk to chunk.
///
/// `states [rows, chunks, wide]`: before, what chunks come to from zeros, and after, the states that they begin with;
/// `through [rows, chunks, wide / alike]`: what a chunk leaves of a number of a state, the same for `alike` of them.
#[cube(launch, address_type = "dynamic")]
fn carry<F: Float>(
    state: &Tensor<F>,
    through: &Tensor<F>,
    states: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let (chunks, wide, decays) = (states.shape(1), states.shape(2), through.shape(2));
    let here = ABSOLUTE_POS;
    if here >= states.shape(0) * wide {
        terminate!();
    }
    let (row, number) = (here / wide, here % wide);
    let decay = number / (wide / decays);
    let mut h = state[place_of::<F>(state, here)];
    for chunk in 0..chunks {
        let place = (row * chunks + chunk) * wide + number;
        let end = states[place];
        states[place] = h;
        h = through[(row * chunks + chunk) * decays + decay] * h + end;
    }
}

/// One thread for a number of the state, from the last chunk to the first.
///
/// `grads`: before, the gradients of the states that chunks begin with where none comes from after the chunk; after, the
/// gradients of the states that chunks end with.
#[cube(launch, address_type = "dynamic")]
fn carry_back<F: Float>(
    grad_after: &Tensor<F>,
    through: &Tensor<F>,
    grads: &mut Tensor<F>,
    grad_before: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let (chunks, wide, decays) = (grads.shape(1), grads.shape(2), through.shape(2));
    let here = ABSOLUTE_POS;
    if here >= grads.shape(0) * wide {
        terminate!();
    }
    let (row, number) = (here / wide, here % wide);
    let decay = number / (wide / decays);
    let mut grad = grad_after[place_of::<F>(grad_after, here)];
    for back in 0..chunks {
        let chunk = row * chunks + chunks - 1 - back;
        let own = grads[chunk * wide + number];
        grads[chunk * wide + number] = grad;
        grad = through[chunk * decays + decay] * grad + own;
    }
    grad_before[here] = grad;
}

/// From what chunks come to, to the states that they begin with, in place.
pub(super) fn carried(state: &CubeTensor, through: &CubeTensor, states: &CubeTensor, address: AddressType) {
    let [rows, _, wide] = states.meta.shape().dims();
    let (count, dim) = threads(states, rows * wide);
    let elem = f32::elem_type_native();
    carry::launch(&states.client, count, dim, address, arg(state), arg(through), arg(states), elem);
}

/// From the gradients of the states that chunks begin with to those of the states that they end with, in place; and that of
/// the state before, shaped as the state after.
pub(super) fn carried_back(
    grad_after: &CubeTensor,
    through: &CubeTensor,
    grads: &CubeTensor,
    address: AddressType,
) -> CubeTensor {
    let [rows, _, wide] = grads.meta.shape().dims();
    let grad_before = empty(grads, grad_after.meta.shape().clone());
    let (count, dim) = threads(grads, rows * wide);
    let (after, before, elem) = (arg(grad_after), arg(&grad_before), f32::elem_type_native());
    carry_back::launch(&grads.client, count, dim, address, after, arg(through), arg(grads), before, elem);
    grad_before
}

/// Room for so many parts of a sum that is shaped as `like [batch, …]`: `[count · batch, …]`.
pub(super) fn parts(like: &CubeTensor, count: usize) -> CubeTensor {
    let mut shape = like.meta.shape().clone();
    shape[0] *= count;
    empty(like, shape)
}

/// `parts [before, count, …]` summed over its middle, shaped as `shape`.
pub(super) fn sum_parts(parts: CubeTensor, [before, count]: [usize; 2], shape: &Shape) -> CubeTensor {
    let after = shape.num_elements() / before;
    let parts = CubeBackend::float_reshape(parts, Shape::new([before, count, after]));
    let sum = if count > 1 { CubeBackend::float_sum_dim(parts, 1) } else { parts };
    CubeBackend::float_reshape(sum, shape.clone())
}
