//! From the state before to the outputs.

use cubecl::prelude::*;

use super::*;
use crate::kernels::gpu::heads::{at, decay, place, walk};
use crate::kernels::gpu::{arg, empty, place_of, threads};

/// One thread for a value of a state.
#[cube(launch, address_type = "dynamic")]
fn go<F: Float>(
    q: &Tensor<F>,
    k: &Tensor<F>,
    v: &Tensor<F>,
    log_decay: &Tensor<F>,
    beta: &Tensor<F>,
    state: &Tensor<F>,
    o: &mut Tensor<F>,
    after: &mut Tensor<F>,
    before: &mut Tensor<F>,
    written: &mut Tensor<F>,
    missing: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] key_dim: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, value_dim) = (k.shape(1), v.shape(3));
    let (rows, chunks) = (before.shape(0), before.shape(1));
    let here = ABSOLUTE_POS;
    if here >= rows * value_dim {
        terminate!();
    }
    let (row, value) = (here / value_dim, here % value_dim);
    let (queries, keys, values) = (walk::<F>(q, row), walk::<F>(k, row), walk::<F>(v, row));
    let (decays, betas) = (walk::<F>(log_decay, row), walk::<F>(beta, row));
    let mut h = Array::<F>::new(key_dim);
    #[unroll]
    for i in 0..key_dim {
        h[i] = state[place_of::<F>(state, (row * key_dim + i) * value_dim + value)];
    }
    let found = walk::<F>(&*o, row);
    for t in 0..seq {
        if t % chunk == 0 {
            #[unroll]
            for i in 0..key_dim {
                before[((row * chunks + t / chunk) * key_dim + i) * value_dim + value] = h[i];
            }
        }
        let kept = decay::<F>(log_decay, &decays, t, 0);
        let mut known = F::new(0.0_f32);
        #[unroll]
        for i in 0..key_dim {
            h[i] *= kept;
            known += h[i] * at::<F>(k, &keys, t, i);
        }
        let error = at::<F>(v, &values, t, value) - known;
        let write = at::<F>(beta, &betas, t, 0) * error;
        let mut read = F::new(0.0_f32);
        #[unroll]
        for i in 0..key_dim {
            h[i] += at::<F>(k, &keys, t, i) * write;
            read += h[i] * at::<F>(q, &queries, t, i);
        }
        let place = place(&found, t, value);
        o[place] = read;
        written[place] = write;
        missing[place] = error;
    }
    #[unroll]
    for i in 0..key_dim {
        after[(row * key_dim + i) * value_dim + value] = h[i];
    }
}

/// The outputs, the state after, the states that chunks begin with, what is written, and what it is before `beta`.
pub(super) fn forward(inputs: &Inputs, beta: &CubeTensor, state: &CubeTensor) -> [CubeTensor; 5] {
    let Inputs { q, k, v, log_decay } = inputs;
    let [_, rows, _, key_dim, value_dim] = inputs.dims();
    let [o, written, missing] = [(); 3].map(|()| empty(v, v.meta.shape().clone()));
    let after = empty(v, state.meta.shape().clone());
    let before = empty(v, between(v.meta.shape(), state.meta.shape()));
    let (count, dim) = threads(v, rows * value_dim);
    go::launch(
        &v.client,
        count,
        dim,
        inputs.address_type(),
        arg(q),
        arg(k),
        arg(v),
        arg(log_decay),
        arg(beta),
        arg(state),
        arg(&o),
        arg(&after),
        arg(&before),
        arg(&written),
        arg(&missing),
        CHUNK,
        key_dim,
        f32::elem_type_native(),
    );
    [o, after, before, written, missing]
}
