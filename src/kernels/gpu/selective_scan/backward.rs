//! From the gradients of the outputs and of the state after to those of everything that was read.
//!
//! With `g_t` the gradient for `h_t`: `g_t = C_t dy_t + exp(Δ_{t+1} A) s_{t+1} ⊙ g_{t+1}`.

use super::*;
use crate::kernels::gpu::chunks::{carried_back, end_of, sum_parts};
use crate::kernels::gpu::{arg, empty, threads};

/// Channels whose gradients for B and C one thread adds up.
const BLOCK: usize = 16;

/// One thread for a number of a chunk's state: its gradient where none comes from after the chunk, and what the chunk leaves of
/// one that does.
#[cube(launch, address_type = "dynamic")]
fn chunk_starts<F: Float>(
    delta: &Tensor<F>,
    a: &Tensor<F>,
    c: &Tensor<F>,
    survival: &Tensor<F>,
    grad_y: &Tensor<F>,
    starts: &mut Tensor<F>,
    through: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (chunks, d_inner, d_state) = (starts.shape(1), a.shape(0), a.shape(1));
    let here = ABSOLUTE_POS;
    if here >= starts.shape(0) * chunks * d_inner * d_state {
        terminate!();
    }
    let n = here % d_state;
    let d = (here / d_state) % d_inner;
    let start = ((here / (d_state * d_inner)) % chunks) * chunk;
    let row = here / (d_state * d_inner * chunks);
    let end = end_of(start, delta.shape(1), chunk);
    let rate = a[d * a.stride(0) + n * a.stride(1)];
    let mut grad = F::new(0.0_f32);
    let mut kept = F::new(1.0_f32);
    for back in start..end {
        let t = end - 1 - (back - start);
        let decay = decay::<F>(delta, survival, rate, row, t, d);
        grad += at::<F>(grad_y, row, t, d) * at::<F>(c, row, t, n);
        grad *= decay;
        kept *= decay;
    }
    starts[here] = grad;
    through[here] = kept;
}

/// One thread for a channel of a chunk: the gradients of `u` and `delta`, and the chunk's part of that of `a`.
#[cube(launch, address_type = "dynamic")]
fn channel_grads<F: Float>(
    u: &Tensor<F>,
    delta: &Tensor<F>,
    a: &Tensor<F>,
    b: &Tensor<F>,
    c: &Tensor<F>,
    survival: &Tensor<F>,
    before: &Tensor<F>,
    grad_y: &Tensor<F>,
    grads: &Tensor<F>,
    grad_u: &mut Tensor<F>,
    grad_delta: &mut Tensor<F>,
    grad_a: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, chunks, d_inner, d_state) = (u.shape(1), grads.shape(1), a.shape(0), a.shape(1));
    let here = ABSOLUTE_POS;
    if here >= grads.shape(0) * chunks * d_inner {
        terminate!();
    }
    let d = here % d_inner;
    let index = (here / d_inner) % chunks;
    let row = here / (d_inner * chunks);
    let start = index * chunk;
    let end = end_of(start, seq, chunk);
    let mut of_u = Array::<F>::new(chunk);
    let mut of_delta = Array::<F>::new(chunk);
    // States before each token.
    let mut states = Array::<F>::new(chunk);
    for t in start..end {
        of_u[t - start] = F::new(0.0_f32);
        of_delta[t - start] = F::new(0.0_f32);
    }
    for n in 0..d_state {
        let rate = a[d * a.stride(0) + n * a.stride(1)];
        let mut h = at::<F>(before, row, index, d * d_state + n);
        for t in start..end {
            states[t - start] = h;
            h = decay::<F>(delta, survival, rate, row, t, d) * h + write::<F>(u, delta, b, row, t, d, n);
        }
        let mut grad = grads[here * d_state + n];
        let mut of_rate = F::new(0.0_f32);
        for back in start..end {
            let i = end - 1 - back;
            let t = start + i;
            let step = at::<F>(delta, row, t, d);
            let write = at::<F>(b, row, t, n);
            grad += at::<F>(grad_y, row, t, d) * at::<F>(c, row, t, n);
            let kept = grad * decay::<F>(delta, survival, rate, row, t, d);
            of_u[i] += grad * step * write;
            of_delta[i] += grad * at::<F>(u, row, t, d) * write + kept * states[i] * rate;
            of_rate += kept * states[i] * step;
            grad = kept;
        }
        grad_a[here * d_state + n] = of_rate;
    }
    for t in start..end {
        grad_u[(row * seq + t) * d_inner + d] = of_u[t - start];
        grad_delta[(row * seq + t) * d_inner + d] = of_delta[t - start];
    }
}

/// One thread for a number of a state in a chunk and a block of channels: the block's part of the gradients of `b` and `c`,
/// `[batch, blocks, seq, d_state]`.
#[cube(launch, address_type = "dynamic")]
fn shared_grads<F: Float>(
    u: &Tensor<F>,
    delta: &Tensor<F>,
    a: &Tensor<F>,
    b: &Tensor<F>,
    c: &Tensor<F>,
    survival: &Tensor<F>,
    before: &Tensor<F>,
    grad_y: &Tensor<F>,
    grads: &Tensor<F>,
    grad_b: &mut Tensor<F>,
    grad_c: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] block: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, chunks, d_inner, d_state) = (u.shape(1), grads.shape(1), a.shape(0), a.shape(1));
    let blocks = grad_b.shape(1);
    let here = ABSOLUTE_POS;
    if here >= grads.shape(0) * chunks * blocks * d_state {
        terminate!();
    }
    let n = here % d_state;
    let block_index = (here / d_state) % blocks;
    let index = (here / (d_state * blocks)) % chunks;
    let row = here / (d_state * blocks * chunks);
    let start = index * chunk;
    let end = end_of(start, seq, chunk);
    let first = block_index * block;
    let last = end_of(first, d_inner, block);
    let mut of_b = Array::<F>::new(chunk);
    let mut of_c = Array::<F>::new(chunk);
    // States after each token.
    let mut states = Array::<F>::new(chunk);
    for t in start..end {
        of_b[t - start] = F::new(0.0_f32);
        of_c[t - start] = F::new(0.0_f32);
    }
    for d in first..last {
        let rate = a[d * a.stride(0) + n * a.stride(1)];
        let mut h = at::<F>(before, row, index, d * d_state + n);
        for t in start..end {
            h = decay::<F>(delta, survival, rate, row, t, d) * h + write::<F>(u, delta, b, row, t, d, n);
            states[t - start] = h;
        }
        let mut grad = grads[((row * chunks + index) * d_inner + d) * d_state + n];
        for back in start..end {
            let i = end - 1 - back;
            let t = start + i;
            let out = at::<F>(grad_y, row, t, d);
            grad += out * at::<F>(c, row, t, n);
            of_c[i] += out * states[i];
            of_b[i] += grad * at::<F>(delta, row, t, d) * at::<F>(u, row, t, d);
            grad *= decay::<F>(delta, survival, rate, row, t, d);
        }
    }
    for t in start..end {
        let place = ((row * blocks + block_index) * seq + t) * d_state + n;
        grad_b[place] = of_b[t - start];
        grad_c[place] = of_c[t - start];
    }
}

/// The gradients of `u`, `delta`, `a`, `b`, `c` and the state before.
pub(super) fn backward(
    inputs: &Inputs,
    before: &CubeTensor,
    grad_y: &CubeTensor,
    grad_after: &CubeTensor,
) -> [CubeTensor; 6] {
    let Inputs { u, delta, a, b, c, survival } = inputs;
    let between = inputs.between();
    let ([batch, chunks, _], [d_inner, d_state]) = (between.dims(), a.meta.shape().dims());
    let (seq, blocks) = (u.meta.shape()[1], d_inner.div_ceil(BLOCK));
    let parts = Shape::new([batch, blocks, seq, d_state]);
    let (address, elem, client) =
        (inputs.address_type(parts.num_elements()), f32::elem_type_native(), &u.client);

    let (grads, through) = (empty(u, between.clone()), empty(u, between.clone()));
    let (count, dim) = threads(u, between.num_elements());
    chunk_starts::launch(
        client,
        count,
        dim,
        address,
        arg(delta),
        arg(a),
        arg(c),
        arg(survival),
        arg(grad_y),
        arg(&grads),
        arg(&through),
        CHUNK,
        elem,
    );
    let grad_before = carried_back(grad_after, &through, &grads, address);
    let (grad_u, grad_delta) = (empty(u, u.meta.shape().clone()), empty(u, u.meta.shape().clone()));
    // Where `through` was, which nobody reads any more.
    let grad_a = through;
    let (count, dim) = threads(u, batch * chunks * d_inner);
    channel_grads::launch(
        client,
        count,
        dim,
        address,
        arg(u),
        arg(delta),
        arg(a),
        arg(b),
        arg(c),
        arg(survival),
        arg(before),
        arg(grad_y),
        arg(&grads),
        arg(&grad_u),
        arg(&grad_delta),
        arg(&grad_a),
        CHUNK,
        elem,
    );
    let (grad_b, grad_c) = (empty(u, parts.clone()), empty(u, parts));
    let (count, dim) = threads(u, batch * chunks * blocks * d_state);
    shared_grads::launch(
        client,
        count,
        dim,
        address,
        arg(u),
        arg(delta),
        arg(a),
        arg(b),
        arg(c),
        arg(survival),
        arg(before),
        arg(grad_y),
        grads.into_tensor_arg(),
        arg(&grad_b),
        arg(&grad_c),
        CHUNK,
        BLOCK,
        elem,
    );
    let grad_a = sum_parts(grad_a, [1, batch * chunks], a.meta.shape());
    let grad_b = sum_parts(grad_b, [batch, blocks], b.meta.shape());
    let grad_c = sum_parts(grad_c, [batch, blocks], c.meta.shape());
    [grad_u, grad_delta, grad_a, grad_b, grad_c, grad_before]
}
