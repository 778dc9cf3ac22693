//! From the gradients of the outputs and of the state after to those of everything that was read.
//!
//! With `G_t` the gradient for `S_t`:
//!
//! ```text
//! G_t = q_t do_tᵀ + a_{t+1} (G_{t+1} − k_{t+1} dv_{t+1}ᵀ)        du_t = G_tᵀ k_t        dv_t = β_t du_t
//! ```

use burn::backend::ops::FloatTensorOps;
use burn_wgpu::CubeBackend;
use cubecl::prelude::*;

use super::*;
use crate::kernels::gpu::heads::{at, decay, place, walk};
use crate::kernels::gpu::vector_decay::key_grads;
use crate::kernels::gpu::{arg, empty, place_of, threads};

/// One thread for a value of a state, from the last token to the first.
#[cube(launch, address_type = "dynamic")]
fn back<F: Float>(
    q: &Tensor<F>,
    k: &Tensor<F>,
    log_decay: &Tensor<F>,
    beta: &Tensor<F>,
    grad_o: &Tensor<F>,
    grad_after: &Tensor<F>,
    grads: &mut Tensor<F>,
    grad_written: &mut Tensor<F>,
    grad_v: &mut Tensor<F>,
    grad_before: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] key_dim: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, value_dim) = (k.shape(1), grad_o.shape(3));
    let (rows, chunks) = (grads.shape(0), grads.shape(1));
    let here = ABSOLUTE_POS;
    if here >= rows * value_dim {
        terminate!();
    }
    let (row, value) = (here / value_dim, here % value_dim);
    let (queries, keys, outs) = (walk::<F>(q, row), walk::<F>(k, row), walk::<F>(grad_o, row));
    let (decays, betas) = (walk::<F>(log_decay, row), walk::<F>(beta, row));
    let mut grad = Array::<F>::new(key_dim);
    #[unroll]
    for i in 0..key_dim {
        grad[i] = grad_after[place_of::<F>(grad_after, (row * key_dim + i) * value_dim + value)];
    }
    let found = walk::<F>(&*grad_v, row);
    for back in 0..seq {
        let t = seq - 1 - back;
        if back == 0 || (t + 1) % chunk == 0 {
            #[unroll]
            for i in 0..key_dim {
                grads[((row * chunks + t / chunk) * key_dim + i) * value_dim + value] = grad[i];
            }
        }
        let out = at::<F>(grad_o, &outs, t, value);
        let mut of_written = F::new(0.0_f32);
        #[unroll]
        for i in 0..key_dim {
            grad[i] += at::<F>(q, &queries, t, i) * out;
            of_written += grad[i] * at::<F>(k, &keys, t, i);
        }
        let of_v = at::<F>(beta, &betas, t, 0) * of_written;
        let kept = decay::<F>(log_decay, &decays, t, 0);
        #[unroll]
        for i in 0..key_dim {
            grad[i] = kept * (grad[i] - at::<F>(k, &keys, t, i) * of_v);
        }
        let place = place(&found, t, value);
        grad_written[place] = of_written;
        grad_v[place] = of_v;
    }
    #[unroll]
    for i in 0..key_dim {
        grad_before[(row * key_dim + i) * value_dim + value] = grad[i];
    }
}

/// The gradients of `q`, `k`, `v`, `log_decay`, the state before and `beta`; `inputs` have what is written for `v`.
pub(super) fn backward(
    inputs: &Inputs,
    beta: &CubeTensor,
    before: &CubeTensor,
    missing: CubeTensor,
    grad_o: &CubeTensor,
    grad_after: &CubeTensor,
) -> [CubeTensor; 6] {
    let Inputs { q, k, v, log_decay } = inputs;
    let [_, rows, _, key_dim, value_dim] = inputs.dims();
    let grads = empty(v, before.meta.shape().clone());
    let [grad_written, grad_v] = [(); 2].map(|()| empty(v, v.meta.shape().clone()));
    let grad_before = empty(v, grad_after.meta.shape().clone());
    let (count, dim) = threads(v, rows * value_dim);
    back::launch(
        &v.client,
        count,
        dim,
        inputs.address_type(),
        arg(q),
        arg(k),
        arg(log_decay),
        arg(beta),
        arg(grad_o),
        arg(grad_after),
        arg(&grads),
        arg(&grad_written),
        arg(&grad_v),
        arg(&grad_before),
        CHUNK,
        key_dim,
        f32::elem_type_native(),
    );
    let [grad_q, grad_k, grad_decay] = key_grads(inputs, before, grad_o, &grads, Some(&grad_v));
    let grad_beta = CubeBackend::float_sum_dim(CubeBackend::float_mul(grad_written, missing), 3);
    [grad_q, grad_k, grad_v, grad_decay, grad_before, grad_beta]
}
