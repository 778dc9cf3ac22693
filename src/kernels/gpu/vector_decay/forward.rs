//! From the state before to the outputs.

use burn::backend::ops::FloatTensorOps;
use burn_wgpu::CubeBackend;
use cubecl::prelude::*;

use super::*;
use crate::kernels::gpu::chunks::{carried, end_of, parts, sum_parts};
use crate::kernels::gpu::heads::{at, decay, place, walk};
use crate::kernels::gpu::{arg, empty, place_of, threads};

/// One thread for a number of a chunk's state: what the chunk comes to from zeros, and what it leaves of a state before.
#[cube(launch, address_type = "dynamic")]
fn chunk_ends<F: Float>(
    k: &Tensor<F>,
    v: &Tensor<F>,
    log_decay: &Tensor<F>,
    ends: &mut Tensor<F>,
    through: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (chunks, key_dim, value_dim) = (ends.shape(1), k.shape(3), v.shape(3));
    let here = ABSOLUTE_POS;
    if here >= ends.shape(0) * chunks * key_dim * value_dim {
        terminate!();
    }
    let value = here % value_dim;
    let key = (here / value_dim) % key_dim;
    let start = ((here / (value_dim * key_dim)) % chunks) * chunk;
    let row = here / (value_dim * key_dim * chunks);
    let end = end_of(start, k.shape(1), chunk);
    let (keys, values, decays) = (walk::<F>(k, row), walk::<F>(v, row), walk::<F>(log_decay, row));
    let mut h = F::new(0.0_f32);
    let mut kept = F::new(1.0_f32);
    for t in start..end {
        let decay = decay::<F>(log_decay, &decays, t, key);
        h = decay * h + at::<F>(k, &keys, t, key) * at::<F>(v, &values, t, value);
        kept *= decay;
    }
    ends[here] = h;
    if value == 0 {
        through[here / value_dim] = kept;
    }
}

/// One thread for a value of a chunk and a block of keys, whose numbers of the state are in registers: the block's part of
/// the output, `[blocks · batch, seq, heads, value_dim]`.
#[cube(launch, address_type = "dynamic")]
fn read_chunks<F: Float>(
    q: &Tensor<F>,
    k: &Tensor<F>,
    v: &Tensor<F>,
    log_decay: &Tensor<F>,
    before: &Tensor<F>,
    o: &mut Tensor<F>,
    after: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] block: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, key_dim, value_dim) = (k.shape(1), k.shape(3), v.shape(3));
    let (rows, chunks) = (before.shape(0), before.shape(1));
    let blocks = o.shape(0) / k.shape(0);
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
    let (values, decays) = (walk::<F>(v, row), walk::<F>(log_decay, row));
    let state = (row * chunks + index) * key_dim * value_dim + value;
    let mut h = Array::<F>::new(block);
    #[unroll]
    for i in 0..block {
        h[i] = F::new(0.0_f32);
        if first + i < key_dim {
            h[i] = before[place_of::<F>(before, state + (first + i) * value_dim)];
        }
    }
    let outs = walk::<F>(&*o, part * rows + row);
    for t in start..end {
        let written = at::<F>(v, &values, t, value);
        let mut read = F::new(0.0_f32);
        #[unroll]
        for i in 0..block {
            if first + i < key_dim {
                let key = first + i;
                h[i] = decay::<F>(log_decay, &decays, t, key) * h[i] + at::<F>(k, &keys, t, key) * written;
                read += at::<F>(q, &queries, t, key) * h[i];
            }
        }
        o[place(&outs, t, value)] = read;
    }
    if end == seq {
        #[unroll]
        for i in 0..block {
            if first + i < key_dim {
                after[(row * key_dim + first + i) * value_dim + value] = h[i];
            }
        }
    }
}

/// The outputs, the state after, and the states that chunks begin with.
pub(super) fn forward(inputs: &Inputs, state: CubeTensor) -> [CubeTensor; 3] {
    let Inputs { q, k, v, log_decay } = inputs;
    let [_, rows, chunks, key_dim, value_dim] = inputs.dims();
    let (address, elem, client) = (inputs.address_type(), f32::elem_type_native(), &v.client);
    let after = empty(v, state.meta.shape().clone());
    let between = between(v.meta.shape(), state.meta.shape());
    let before = if chunks == 1 {
        CubeBackend::float_reshape(state, between)
    } else {
        let (states, through) = (empty(v, between), empty(v, Shape::new([rows, chunks, key_dim])));
        let (count, dim) = threads(v, rows * chunks * key_dim * value_dim);
        chunk_ends::launch(
            client,
            count,
            dim,
            address,
            arg(k),
            arg(v),
            arg(log_decay),
            arg(&states),
            arg(&through),
            CHUNK,
            elem,
        );
        carried(&state, &through, &states, address);
        states
    };
    let block = block(rows * chunks * value_dim);
    let blocks = key_dim.div_ceil(block);
    let parts = parts(v, blocks);
    let (count, dim) = threads(v, rows * chunks * blocks * value_dim);
    read_chunks::launch(
        client,
        count,
        dim,
        address,
        arg(q),
        arg(k),
        arg(v),
        arg(log_decay),
        arg(&before),
        arg(&parts),
        arg(&after),
        CHUNK,
        block,
        elem,
    );
    [sum_parts(parts, [1, blocks], v.meta.shape()), after, before]
}
