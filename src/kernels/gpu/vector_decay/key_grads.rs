//! The gradients of what reads, writes and decays by keys, for the recurrence as it stands and for the delta rule.

use burn_wgpu::CubeTensor;
use cubecl::prelude::*;

use super::{CHUNK, Inputs, block};
use crate::kernels::gpu::chunks::{end_of, parts, sum_parts};
use crate::kernels::gpu::heads::{at, decay, place, walk};
use crate::kernels::gpu::{arg, place_of, threads};

/// One thread for a key of a chunk and a block of values: the block's part of the gradients of `q`, `k` and `log_decay`,
/// `[blocks · batch, seq, heads, key_dim]`.
#[cube(launch, address_type = "dynamic")]
fn by_keys<F: Float>(
    q: &Tensor<F>,
    k: &Tensor<F>,
    v: &Tensor<F>,
    log_decay: &Tensor<F>,
    before: &Tensor<F>,
    grad_o: &Tensor<F>,
    grads: &Tensor<F>,
    taken: &Tensor<F>,
    grad_q: &mut Tensor<F>,
    grad_k: &mut Tensor<F>,
    grad_decay: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] block: usize,
    #[comptime] overwrites: bool,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, key_dim, value_dim) = (k.shape(1), k.shape(3), v.shape(3));
    let (rows, chunks) = (grads.shape(0), grads.shape(1));
    let blocks = grad_q.shape(0) / k.shape(0);
    let here = ABSOLUTE_POS;
    if here >= rows * chunks * blocks * key_dim {
        terminate!();
    }
    let key = here % key_dim;
    let part = (here / key_dim) % blocks;
    let index = (here / (key_dim * blocks)) % chunks;
    let row = here / (key_dim * blocks * chunks);
    let start = index * chunk;
    let end = end_of(start, seq, chunk);
    let (queries, keys, values) = (walk::<F>(q, row), walk::<F>(k, row), walk::<F>(v, row));
    let (decays, outs, takes) = (walk::<F>(log_decay, row), walk::<F>(grad_o, row), walk::<F>(taken, row));
    let mut of_q = Array::<F>::new(chunk);
    let mut of_k = Array::<F>::new(chunk);
    let mut of_decay = Array::<F>::new(chunk);
    // States before each token.
    let mut states = Array::<F>::new(chunk);
    for t in start..end {
        of_q[t - start] = F::new(0.0_f32);
        of_k[t - start] = F::new(0.0_f32);
        of_decay[t - start] = F::new(0.0_f32);
    }
    let last = end_of(part * block, value_dim, block);
    for value in part * block..last {
        let state = ((row * chunks + index) * key_dim + key) * value_dim + value;
        let mut h = before[place_of::<F>(before, state)];
        for t in start..end {
            states[t - start] = h;
            let decay = decay::<F>(log_decay, &decays, t, key);
            h = decay * h + at::<F>(k, &keys, t, key) * at::<F>(v, &values, t, value);
            of_q[t - start] += h * at::<F>(grad_o, &outs, t, value);
        }
        let mut grad = grads[state];
        for back in start..end {
            let i = end - 1 - back;
            let t = start + i;
            grad += at::<F>(q, &queries, t, key) * at::<F>(grad_o, &outs, t, value);
            of_k[i] += grad * at::<F>(v, &values, t, value);
            let decay = decay::<F>(log_decay, &decays, t, key);
            if overwrites {
                let taken = at::<F>(taken, &takes, t, value);
                of_k[i] -= decay * states[i] * taken;
                grad -= at::<F>(k, &keys, t, key) * taken;
            }
            grad *= decay;
            of_decay[i] += grad * states[i];
        }
    }
    let found = walk::<F>(&*grad_q, part * rows + row);
    for t in start..end {
        let place = place(&found, t, key);
        grad_q[place] = of_q[t - start];
        grad_k[place] = of_k[t - start];
        grad_decay[place] = of_decay[t - start];
    }
}

/// The gradients of `q`, `k` and `log_decay`, from the states that chunks begin with and the gradients of those that they end with.
///
/// `taken`, of the delta rule, whose `v` is what tokens write: the gradient of its values, shaped as `v`. What a token writes there
/// depends on the state it decayed, so that state's gradient is `G − k takenᵀ`, and `k` has a second one, `−taken` of the state.
pub(in crate::kernels::gpu) fn key_grads(
    inputs: &Inputs,
    before: &CubeTensor,
    grad_o: &CubeTensor,
    grads: &CubeTensor,
    taken: Option<&CubeTensor>,
) -> [CubeTensor; 3] {
    let Inputs { q, k, v, log_decay } = inputs;
    let [_, rows, chunks, key_dim, value_dim] = inputs.dims();
    let block = block(rows * chunks * key_dim);
    let blocks = value_dim.div_ceil(block);
    let found = [(); 3].map(|()| parts(k, blocks));
    let [of_q, of_k, of_decay] = &found;
    let (count, dim) = threads(v, rows * chunks * blocks * key_dim);
    by_keys::launch(
        &v.client,
        count,
        dim,
        inputs.address_type(),
        arg(q),
        arg(k),
        arg(v),
        arg(log_decay),
        arg(before),
        arg(grad_o),
        arg(grads),
        arg(taken.unwrap_or(v)),
        arg(of_q),
        arg(of_k),
        arg(of_decay),
        CHUNK,
        block,
        taken.is_some(),
        f32::elem_type_native(),
    );
    found.map(|parts| sum_parts(parts, [1, blocks], k.meta.shape()))
}
