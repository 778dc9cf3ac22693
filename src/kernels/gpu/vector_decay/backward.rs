//! From the gradients of the outputs and of the state after to those of everything that was read.
//!
//! With `G_t` the gradient for `S_t`: `G_t = q_t do_tᵀ + Diag(exp(log_decay_{t+1})) G_{t+1}`.

use cubecl::prelude::*;

use super::*;
use crate::kernels::gpu::chunks::{carried_back, end_of, parts, sum_parts};
use crate::kernels::gpu::heads::{at, decay, place, walk};
use crate::kernels::gpu::{arg, empty, threads};

/// One thread for a number of a chunk's state: its gradient where none comes from after the chunk, and what the chunk leaves of
/// one that does.
#[cube(launch, address_type = "dynamic")]
fn chunk_starts<F: Float>(
    q: &Tensor<F>,
    log_decay: &Tensor<F>,
    grad_o: &Tensor<F>,
    starts: &mut Tensor<F>,
    through: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (chunks, key_dim, value_dim) = (starts.shape(1), q.shape(3), grad_o.shape(3));
    let here = ABSOLUTE_POS;
    if here >= starts.shape(0) * chunks * key_dim * value_dim {
        terminate!();
    }
    let value = here % value_dim;
    let key = (here / value_dim) % key_dim;
    let start = ((here / (value_dim * key_dim)) % chunks) * chunk;
    let row = here / (value_dim * key_dim * chunks);
    let end = end_of(start, q.shape(1), chunk);
    let (queries, decays, outs) = (walk::<F>(q, row), walk::<F>(log_decay, row), walk::<F>(grad_o, row));
    let mut grad = F::new(0.0_f32);
    let mut kept = F::new(1.0_f32);
    for back in start..end {
        let t = end - 1 - (back - start);
        let decay = decay::<F>(log_decay, &decays, t, key);
        grad += at::<F>(q, &queries, t, key) * at::<F>(grad_o, &outs, t, value);
        grad *= decay;
        kept *= decay;
    }
    starts[here] = grad;
    if value == 0 {
        through[here / value_dim] = kept;
    }
}

/// One thread for a value of a chunk and a block of keys, whose gradients of the state are in registers: the block's part of the
/// gradients of `v`, `[blocks · batch, seq, heads, value_dim]`.
#[cube(launch, address_type = "dynamic")]
fn value_grads<F: Float>(
    q: &Tensor<F>,
    k: &Tensor<F>,
    log_decay: &Tensor<F>,
    grad_o: &Tensor<F>,
    grads: &Tensor<F>,
    grad_v: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] block: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, key_dim, value_dim) = (k.shape(1), k.shape(3), grad_o.shape(3));
    let (rows, chunks) = (grads.shape(0), grads.shape(1));
    let blocks = grad_v.shape(0) / k.shape(0);
    let here = ABSOLUTE_POS;
    if here >= rows * chunks * blocks * value_dim {
        terminate!();
    }
    let value = here % value_dim;
    let part = (here / value_dim) % blocks;
    let index = (here / (value_dim * blocks)) % chunks;
    let row = here / (value_dim * blocks * chunks);
    let start = index * chunk;
    let end = end_of(start, seq, chunk);
    let first = part * block;
    let (queries, keys) = (walk::<F>(q, row), walk::<F>(k, row));
    let (decays, outs) = (walk::<F>(log_decay, row), walk::<F>(grad_o, row));
    let state = (row * chunks + index) * key_dim * value_dim + value;
    let mut grad = Array::<F>::new(block);
    #[unroll]
    for i in 0..block {
        grad[i] = F::new(0.0_f32);
        if first + i < key_dim {
            grad[i] = grads[state + (first + i) * value_dim];
        }
    }
    let of_v = walk::<F>(&*grad_v, part * rows + row);
    for back in start..end {
        let t = end - 1 - (back - start);
        let out = at::<F>(grad_o, &outs, t, value);
        let mut sum = F::new(0.0_f32);
        #[unroll]
        for i in 0..block {
            if first + i < key_dim {
                let key = first + i;
                grad[i] += at::<F>(q, &queries, t, key) * out;
                sum += grad[i] * at::<F>(k, &keys, t, key);
                grad[i] *= decay::<F>(log_decay, &decays, t, key);
            }
        }
        grad_v[place(&of_v, t, value)] = sum;
    }
}

/// The gradients of `q`, `k`, `v`, `log_decay` and the state before.
pub(super) fn backward(
    inputs: &Inputs,
    before: &CubeTensor,
    grad_o: &CubeTensor,
    grad_after: &CubeTensor,
) -> [CubeTensor; 5] {
    let Inputs { q, k, v, log_decay } = inputs;
    let [_, rows, chunks, key_dim, value_dim] = inputs.dims();
    let (address, elem, client) = (inputs.address_type(), f32::elem_type_native(), &v.client);

    let grads = empty(v, before.meta.shape().clone());
    let through = empty(v, Shape::new([rows, chunks, key_dim]));
    let (count, dim) = threads(v, rows * chunks * key_dim * value_dim);
    chunk_starts::launch(
        client,
        count,
        dim,
        address,
        arg(q),
        arg(log_decay),
        arg(grad_o),
        arg(&grads),
        arg(&through),
        CHUNK,
        elem,
    );
    let grad_before = carried_back(grad_after, &through, &grads, address);

    let [of_q, of_k, of_decay] = key_grads(inputs, before, grad_o, &grads, None);

    let block = block(rows * chunks * value_dim);
    let blocks = key_dim.div_ceil(block);
    let of_v = parts(v, blocks);
    let (count, dim) = threads(v, rows * chunks * blocks * value_dim);
    value_grads::launch(
        client,
        count,
        dim,
        address,
        arg(q),
        arg(k),
        arg(log_decay),
        arg(grad_o),
        arg(&grads),
        arg(&of_v),
        CHUNK,
        block,
        elem,
    );
    [of_q, of_k, sum_parts(of_v, [1, blocks], v.meta.shape()), of_decay, grad_before]
}
