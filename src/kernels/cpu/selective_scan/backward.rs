use rayon::prelude::*;

use super::{
    Block, CHUNK, LANES, Lanes, SelectiveScan, Shape, SharedMut, Token, Work, advance, load, sum, times,
    tokens, vectorised,
};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::total;
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
    let scratch = || Scratch::new(shape);
    let partial: Vec<(Vec<F>, Vec<F>)> = (0..shape.batch * groups)
        .into_par_iter()
        .map_init(scratch, |scratch, task| {
            let (row, group) = (task / groups, task % groups);
            let tokens = &tokens[row * shape.seq..(row + 1) * shape.seq];
            let indices = (group..shape.blocks()).step_by(groups);
            let mut blocks: Vec<Carry<'_, F>> = indices
                .map(|index| Carry::new(Block::new(op, shape, row, index, inputs, tokens), index, grad_last))
                .collect();
            let [mut grad_b, mut grad_c] = [(); 2].map(|()| vec![F::zero(); shape.seq * shape.d_state]);
            for chunk in (0..shape.chunks()).rev() {
                scratch.to_b.fill([F::zero(); LANES]);
                scratch.to_c.fill([F::zero(); LANES]);
                for carry in &mut blocks {
                    vectorised(Chunk { carry, chunk, kept, grad_y, grads: &grads, scratch });
                }
                let tokens =
                    chunk * CHUNK * shape.d_state..shape.seq.min((chunk + 1) * CHUNK) * shape.d_state;
                vectorised(Sums { lanes: &scratch.to_b, sums: &mut grad_b[tokens.clone()] });
                vectorised(Sums { lanes: &scratch.to_c, sums: &mut grad_c[tokens] });
            }
            blocks.iter().for_each(|carry| carry.finish(&grads));
            (grad_b, grad_c)
        })
        .collect();
    let [mut b, mut c] = [(); 2].map(|()| Vec::with_capacity(shape.batch * shape.seq * shape.d_state));
    for row in partial.chunks_exact(groups) {
        b.extend(total(row.iter().map(|sums| &sums.0)));
        c.extend(total(row.iter().map(|sums| &sums.1)));
    }
    let over_batch = |rows: Vec<F>, len: usize| {
        let rows: Vec<Vec<F>> = rows.chunks_exact(len).map(<[F]>::to_vec).collect();
        total(rows.iter())
    };
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

/// What a task reuses from chunk to chunk.
struct Scratch<F> {
    /// `[CHUNK, d_state]`: the state before each token, and each token's decay.
    before: Vec<Lanes<F>>,
    decays: Vec<Lanes<F>>,
    /// `[d_state]`.
    h: Vec<Lanes<F>>,
    /// `[CHUNK, d_state]`: gradients of b and c, of all blocks of the task, one sum a lane.
    to_b: Vec<Lanes<F>>,
    to_c: Vec<Lanes<F>>,
}

impl<F: Real> Scratch<F> {
    fn new(shape: Shape) -> Self {
        let lanes = |tokens: usize| vec![[F::zero(); LANES]; tokens * shape.d_state];
        let [before, decays, to_b, to_c] = [(); 4].map(|()| lanes(CHUNK));
        Self { before, decays, h: lanes(1), to_b, to_c }
    }
}

/// What a block passes from a chunk to the one before.
struct Carry<'a, F> {
    block: Block<'a, F>,
    index: usize,
    a: Vec<Lanes<F>>,
    skip: Lanes<F>,
    dh: Vec<Lanes<F>>,
    da: Vec<Lanes<F>>,
    d_skip: Lanes<F>,
}

impl<'a, F: Real> Carry<'a, F> {
    fn new(block: Block<'a, F>, index: usize, grad_last: &[F]) -> Self {
        let size = block.shape.d_inner * block.shape.d_state;
        let zero = [F::zero(); LANES];
        Self {
            index,
            a: block.transposed(block.inputs[2].data),
            skip: block.skip(),
            dh: block.transposed(&grad_last[block.state_row()..block.state_row() + size]),
            da: vec![zero; block.shape.d_state],
            d_skip: zero,
            block,
        }
    }

    /// Writes what is known after the first chunk.
    fn finish(&self, grads: &Gradients<'_, F>) {
        let Self { block, dh, da, d_skip, .. } = self;
        let n_states = block.shape.d_state;
        let place = block.state_row() + block.first * n_states;
        // SAFETY: the states of a block belong to its task, in both arrays.
        block.untransposed(dh, unsafe { grads.state.at(place, block.width * n_states) });
        // SAFETY: as above.
        block.untransposed(da, unsafe { grads.a.at(place, block.width * n_states) });
        let place = block.row * block.shape.d_inner + block.first;
        // SAFETY: a block of a row belongs to one task.
        unsafe { grads.d.at(place, block.width) }.copy_from_slice(&d_skip[..block.width]);
    }
}

/// One chunk of one block.
struct Chunk<'a, 'b, F> {
    carry: &'a mut Carry<'b, F>,
    chunk: usize,
    kept: &'a [F],
    grad_y: &'a [F],
    grads: &'a Gradients<'a, F>,
    scratch: &'a mut Scratch<F>,
}

impl<F: Real> Work for Chunk<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { carry, chunk, kept, grad_y, grads, scratch } = self;
        let Carry { block, index, a, skip, dh, da, d_skip } = carry;
        let Scratch { before, decays, h, to_b, to_c } = scratch;
        let n_states = block.shape.d_state;
        let zero = [F::zero(); LANES];
        let start = chunk * CHUNK;
        let end = block.shape.seq.min(start + CHUNK);
        let place = block.shape.kept(block.row, chunk, *index);
        for (h, kept) in h.iter_mut().zip(kept[place..place + n_states * LANES].chunks_exact(LANES)) {
            *h = load(kept);
        }
        for t in start..end {
            let at = (t - start) * n_states;
            if block.tokens[t] == Token::Reset {
                h.fill(zero);
            }
            before[at..at + n_states].copy_from_slice(h);
            let delta = block.delta(t);
            let write = times(&delta, &block.channels(0, t));
            let b = block.vector(3, t);
            for n in 0..n_states {
                decays[at + n] = advance::<F, FMA>(&mut h[n], &a[n], &delta, &write, b[n]);
            }
        }

        for t in (start..end).rev() {
            let here = (t - start) * n_states..(t - start + 1) * n_states;
            let (before, decays) = (&before[here.clone()], &decays[here.clone()]);
            let (to_b, to_c) = (&mut to_b[here.clone()], &mut to_c[here]);
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
            let mut y = times(skip, &u);
            for n in 0..n_states {
                for l in 0..LANES {
                    let h_after = F::fma::<FMA>(decays[n][l], before[n][l], write[l] * b[n]);
                    let d_h = F::fma::<FMA>(dy[l], c[n], dh[n][l]);
                    y[l] = F::fma::<FMA>(h_after, c[n], y[l]);
                    to_c[n][l] = F::fma::<FMA>(dy[l], h_after, to_c[n][l]);
                    to_b[n][l] = F::fma::<FMA>(d_h, write[l], to_b[n][l]);
                    d_write[l] = F::fma::<FMA>(d_h, b[n], d_write[l]);
                    let decayed = d_h * decays[n][l];
                    let d_exponent = decayed * before[n][l];
                    d_delta[l] = F::fma::<FMA>(d_exponent, a[n][l], d_delta[l]);
                    da[n][l] = F::fma::<FMA>(d_exponent, delta[l], da[n][l]);
                    dh[n][l] = decayed;
                }
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
                unsafe { grads.z.at(place, block.width) }.copy_from_slice(&times(d_gate, &y)[..block.width]);
            }
        }
    }
}

/// The sum of each vector.
struct Sums<'a, F> {
    lanes: &'a [Lanes<F>],
    sums: &'a mut [F],
}

impl<F: Real> Work for Sums<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (total, lanes) in self.sums.iter_mut().zip(self.lanes) {
            *total = sum(lanes);
        }
    }
}
