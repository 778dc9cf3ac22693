//! From the state before to the outputs.

use burn::backend::ops::FloatTensorOps;
use burn_wgpu::CubeBackend;

use super::*;
use crate::kernels::gpu::chunks::{carried, end_of};
use crate::kernels::gpu::{arg, empty, threads};

/// One thread for a number of a chunk's state: what the chunk comes to from zeros, and what it leaves of a state before.
#[cube(launch, address_type = "dynamic")]
fn chunk_ends<F: Float>(
    u: &Tensor<F>,
    delta: &Tensor<F>,
    a: &Tensor<F>,
    b: &Tensor<F>,
    survival: &Tensor<F>,
    ends: &mut Tensor<F>,
    through: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (chunks, d_inner, d_state) = (ends.shape(1), a.shape(0), a.shape(1));
    let here = ABSOLUTE_POS;
    if here >= ends.shape(0) * chunks * d_inner * d_state {
        terminate!();
    }
    let n = here % d_state;
    let d = (here / d_state) % d_inner;
    let start = ((here / (d_state * d_inner)) % chunks) * chunk;
    let row = here / (d_state * d_inner * chunks);
    let end = end_of(start, u.shape(1), chunk);
    let rate = a[d * a.stride(0) + n * a.stride(1)];
    let mut h = F::new(0.0_f32);
    let mut kept = F::new(1.0_f32);
    for t in start..end {
        let decay = decay::<F>(delta, survival, rate, row, t, d);
        h = decay * h + write::<F>(u, delta, b, row, t, d, n);
        kept *= decay;
    }
    ends[here] = h;
    through[here] = kept;
}

/// One thread for a channel of a chunk, its states in registers.
#[cube(launch, address_type = "dynamic")]
fn read_chunks<F: Float>(
    u: &Tensor<F>,
    delta: &Tensor<F>,
    a: &Tensor<F>,
    b: &Tensor<F>,
    c: &Tensor<F>,
    survival: &Tensor<F>,
    before: &Tensor<F>,
    y: &mut Tensor<F>,
    after: &mut Tensor<F>,
    #[comptime] chunk: usize,
    #[comptime] d_state: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, chunks, d_inner) = (u.shape(1), before.shape(1), a.shape(0));
    let here = ABSOLUTE_POS;
    if here >= before.shape(0) * chunks * d_inner {
        terminate!();
    }
    let d = here % d_inner;
    let index = (here / d_inner) % chunks;
    let row = here / (d_inner * chunks);
    let start = index * chunk;
    let end = end_of(start, seq, chunk);
    let mut h = Array::<F>::new(d_state);
    let mut rates = Array::<F>::new(d_state);
    for n in 0..d_state {
        h[n] = at::<F>(before, row, index, d * d_state + n);
        rates[n] = a[d * a.stride(0) + n * a.stride(1)];
    }
    for t in start..end {
        let step = at::<F>(delta, row, t, d);
        let write = step * at::<F>(u, row, t, d);
        let survives = survival[row * survival.stride(0) + t * survival.stride(1)];
        let mut read = F::new(0.0_f32);
        for n in 0..d_state {
            let value = (step * rates[n]).exp() * survives * h[n] + write * at::<F>(b, row, t, n);
            h[n] = value;
            read += value * at::<F>(c, row, t, n);
        }
        y[(row * seq + t) * d_inner + d] = read;
    }
    if end == seq {
        for n in 0..d_state {
            after[(row * d_inner + d) * d_state + n] = h[n];
        }
    }
}

/// The outputs, the state after, and the states that chunks begin with.
pub(super) fn forward(inputs: &Inputs, state: CubeTensor) -> [CubeTensor; 3] {
    let Inputs { u, delta, a, b, c, survival } = inputs;
    let between = inputs.between();
    let ([batch, chunks, _], [d_inner, d_state]) = (between.dims(), a.meta.shape().dims());
    let (address, elem, client) = (inputs.address_type(0), f32::elem_type_native(), &u.client);
    let (y, after) = (empty(u, u.meta.shape().clone()), empty(u, state.meta.shape().clone()));
    let before = if chunks == 1 {
        CubeBackend::float_reshape(state, between)
    } else {
        let (states, through) = (empty(u, between.clone()), empty(u, between.clone()));
        let (count, dim) = threads(u, between.num_elements());
        chunk_ends::launch(
            client,
            count,
            dim,
            address,
            arg(u),
            arg(delta),
            arg(a),
            arg(b),
            arg(survival),
            arg(&states),
            arg(&through),
            CHUNK,
            elem,
        );
        carried(&state, &through, &states, address);
        states
    };
    let (count, dim) = threads(u, batch * chunks * d_inner);
    read_chunks::launch(
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
        arg(&before),
        arg(&y),
        arg(&after),
        CHUNK,
        d_state,
        elem,
    );
    [y, after, before]
}
