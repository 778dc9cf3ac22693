use rayon::prelude::*;

use super::{
    Block, CHUNK, LANES, Lanes, SelectiveScan, Shape, SharedMut, Token, Work, advance, load, sum, times,
    tokens, vectorised,
};
use crate::kernels::cpu::lanes::fade;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::{total, total_of_rows};
use crate::kernels::host::Array;
use crate::kernels::real::Real;

pub(super) fn backward<F: Real>(
    op: &SelectiveScan,
    inputs: &[Array<'_, F>],
    kept: &[F],
    grads: &[&[F]],
) -> Vec<Vec<F>> {
    let shape = Shape::of(inputs);
    let tokens = tokens(op.segments.as_ref(), shape.batch, shape.seq);
    let (grad_y, grad_last) = (grads[0], grads[1]);
    let states = shape.batch * shape.d_inner * shape.d_state;
    let [mut u, mut delta] = [(); 2].map(|()| zeros(grad_y.len()));
    let mut z = zeros(if op.gated { grad_y.len() } else { 0 });
    let mut d_rows = zeros(shape.batch * shape.d_inner);
    let [mut state, mut a_rows] = [(); 2].map(|()| zeros(states));
    let grads = Gradients {
        u: SharedMut::new(&mut u),
        delta: SharedMut::new(&mut delta),
        state: SharedMut::new(&mut state),
        a: SharedMut::new(&mut a_rows),
        d: SharedMut::new(&mut d_rows),
        z: SharedMut::new(&mut z),
    };
    // Blocks of a row go in groups, each with its own sums for b and c: enough groups to fill a machine,
    // few enough that the sums stay small.
    let groups = (64 / shape.batch).clamp(1, shape.blocks());
    let partial: Vec<(Vec<F>, Vec<F>)> = (0..shape.batch * groups)
        .into_par_iter()
        .map(|task| {
            let (row, group) = (task / groups, task % groups);
            let [mut grad_b, mut grad_c] = [(); 2].map(|()| vec![F::zero(); shape.seq * shape.d_state]);
            for index in (group..shape.blocks()).step_by(groups) {
                let tokens = &tokens[row * shape.seq..(row + 1) * shape.seq];
                vectorised(Backward {
                    block: Block::new(op, shape, row, index, inputs, tokens),
                    index,
                    kept,
                    grad_y,
                    grad_last,
                    grads: &grads,
                    grad_b: &mut grad_b,
                    grad_c: &mut grad_c,
                });
            }
            (grad_b, grad_c)
        })
        .collect();
    let [mut b, mut c] = [(); 2].map(|()| Vec::with_capacity(shape.batch * shape.seq * shape.d_state));
    for row in partial.chunks_exact(groups) {
        let (of_b, of_c): (Vec<&Vec<F>>, Vec<&Vec<F>>) = row.iter().map(|(b, c)| (b, c)).unzip();
        b.extend(total(shape.seq * shape.d_state, &of_b));
        c.extend(total(shape.seq * shape.d_state, &of_c));
    }
    let over_batch = |rows: Vec<F>, len: usize| total_of_rows(len, &rows);
    let mut grads = vec![u, delta, over_batch(a_rows, shape.d_inner * shape.d_state), b, c, state];
    if op.skips {
        grads.push(over_batch(d_rows, shape.d_inner));
    }
    if op.gated {
        grads.push(z);
    }
    grads
}

/// The gradients that tasks fill: of `u`, `delta`, `z` and `state` in place, of the others as partial sums.
struct Gradients<'a, F> {
    u: SharedMut<'a, F>,
    delta: SharedMut<'a, F>,
    state: SharedMut<'a, F>,
    /// `[batch, d_inner, d_state]`.
    a: SharedMut<'a, F>,
    /// `[batch, d_inner]`.
    d: SharedMut<'a, F>,
    z: SharedMut<'a, F>,
}

struct Backward<'a, F> {
    block: Block<'a, F>,
    index: usize,
    kept: &'a [F],
    grad_y: &'a [F],
    grad_last: &'a [F],
    grads: &'a Gradients<'a, F>,
    /// `[seq, d_state]`, of the group of blocks this one is in.
    grad_b: &'a mut [F],
    grad_c: &'a mut [F],
}

impl<F: Real> Work for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, index, kept, grad_y, grad_last, grads, grad_b, grad_c } = self;
        let n_states = block.shape.d_state;
        let zero = [F::zero(); LANES];
        let a = block.transposed(block.inputs[2].data);
        let size = block.shape.d_inner * n_states;
        let mut dh = block.transposed(&grad_last[block.state_row()..block.state_row() + size]);
        let mut da = vec![zero; n_states];
        let (skip, mut d_skip) = (block.skip(), zero);
        // Of one chunk: the state before each token, and each token's decay.
        let mut before = vec![zero; CHUNK * n_states];
        let mut decays = vec![zero; CHUNK * n_states];

        for chunk in (0..block.shape.chunks()).rev() {
            let start = chunk * CHUNK;
            let end = block.shape.seq.min(start + CHUNK);
            let place = block.shape.kept(block.row, chunk, index);
            let mut h: Vec<Lanes<F>> =
                kept[place..place + n_states * LANES].chunks_exact(LANES).map(load).collect();
            for t in start..end {
                let at = (t - start) * n_states;
                if block.tokens[t] == Token::Reset {
                    h.fill(zero);
                }
                before[at..at + n_states].copy_from_slice(&h);
                let delta = block.delta(t);
                let write = times(&delta, &block.channels(0, t));
                let b = block.vector(3, t);
                for n in 0..n_states {
                    decays[at + n] = advance::<F, FMA>(&mut h[n], &a[n], &delta, &write, b[n]);
                }
            }

            for t in (start..end).rev() {
                let at = (t - start) * n_states;
                let (delta, u) = (block.delta(t), block.channels(0, t));
                let write = times(&delta, &u);
                let (b, c) = (block.vector(3, t), block.vector(4, t));
                let place = block.place(t);
                let mut dy = load(&grad_y[place..place + block.width]);
                let gated = block.gate::<FMA>(t).map(|(gate, slope)| (gate, times(&dy, &slope)));
                if let Some((gate, _)) = &gated {
                    dy = times(&dy, gate);
                }
                let (mut d_delta, mut d_write) = (zero, zero);
                // What the gate multiplied.
                let mut y = times(&skip, &u);
                for n in 0..n_states {
                    let (h_before, decay) = (&before[at + n], &decays[at + n]);
                    let (mut to_b, mut to_c) = (zero, zero);
                    for l in 0..LANES {
                        let h_after = F::fma::<FMA>(decay[l], h_before[l], write[l] * b[n]);
                        let d_h = F::fma::<FMA>(dy[l], c[n], dh[n][l]);
                        y[l] = F::fma::<FMA>(h_after, c[n], y[l]);
                        to_c[l] = dy[l] * h_after;
                        to_b[l] = d_h * write[l];
                        d_write[l] = F::fma::<FMA>(d_h, b[n], d_write[l]);
                        let d_exponent = d_h * h_before[l] * decay[l];
                        d_delta[l] = F::fma::<FMA>(d_exponent, a[n][l], d_delta[l]);
                        da[n][l] = F::fma::<FMA>(d_exponent, delta[l], da[n][l]);
                        dh[n][l] = d_h * decay[l];
                    }
                    grad_b[t * n_states + n] += sum(&to_b);
                    grad_c[t * n_states + n] += sum(&to_c);
                }
                if block.tokens[t] == Token::Reset {
                    dh.fill(zero);
                }
                for l in 0..LANES {
                    d_delta[l] = F::fma::<FMA>(d_write[l], u[l], d_delta[l]);
                    d_write[l] = F::fma::<FMA>(d_write[l], delta[l], dy[l] * skip[l]);
                    d_skip[l] = F::fma::<FMA>(dy[l], u[l], d_skip[l]);
                }
                if block.tokens[t] == Token::Padding {
                    d_delta = zero;
                }
                // SAFETY: the channels of a block belong to its task.
                unsafe { grads.delta.at(place, block.width) }.copy_from_slice(&d_delta[..block.width]);
                // SAFETY: as above.
                unsafe { grads.u.at(place, block.width) }.copy_from_slice(&d_write[..block.width]);
                if let Some((_, d_gate)) = &gated {
                    // SAFETY: as above.
                    unsafe { grads.z.at(place, block.width) }
                        .copy_from_slice(&times(d_gate, &y)[..block.width]);
                }
            }
            dh.iter_mut().for_each(fade);
        }
        let place = block.state_row() + block.first * n_states;
        // SAFETY: the states of a block belong to its task, in both arrays.
        block.untransposed(&dh, unsafe { grads.state.at(place, block.width * n_states) });
        // SAFETY: as above.
        block.untransposed(&da, unsafe { grads.a.at(place, block.width * n_states) });
        let place = block.row * block.shape.d_inner + block.first;
        // SAFETY: a block of a row belongs to one task.
        unsafe { grads.d.at(place, block.width) }.copy_from_slice(&d_skip[..block.width]);
    }
}
