//! Gradients of every input.
//!
//! That of a log-decay at token `t` is the sum of all that crosses it: of what was written before it and is read at or
//! after it. Four sums of positive and negative terms that each cross, never the difference of what was read and what
//! was written, which would leave the rounding of everything that does not cross:
//!
//! ```text
//! A  from the state before to the state after      crosses every t
//! B  from the state before to token i              crosses t ≤ i
//! C  from token j to the state after               crosses t > j
//! D  from token j to token i                       crosses j < t ≤ i
//! ```

use rayon::prelude::*;

use super::super::gemm::{Layout, gemm};
use super::super::lanes::{LANES, Lanes, dot, faded, fma, plus, times};
use super::super::shared::SharedMut;
use super::super::vectorised::{Work, vectorised};
use super::Shape;
use super::block::{BLOCK, Block, Column, Rows, SQUARE};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

pub(super) fn run<F: Real>(shape: Shape, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
    let v = inputs[2].data;
    let (grad_o, mut d_state) = (grads[0], grads[1].to_vec());
    let mut grads = [0, 1, 2, 3].map(|input| zeros(inputs[input].len()));
    let [dq, dk, dv, d_log] = grads.each_mut().map(|grad| SharedMut::new(grad));
    d_state.par_chunks_mut(shape.state()).enumerate().for_each_init(
        || Scratch::new(shape),
        |scratch, (task, d_state)| {
            let (row, head) = (task / shape.heads, task % shape.heads);
            for chunk in (0..shape.chunks()).rev() {
                let start = chunk * shape.chunk;
                let len = shape.chunk.min(shape.seq - start);
                let place = shape.kept(row, head, chunk);
                let before = &kept[place..place + shape.state()];
                scratch.replay(shape, inputs, before, [row, head, start, len]);
                for index in (0..len.div_ceil(BLOCK)).rev() {
                    let start = start + index * BLOCK;
                    let values = shape.values(row, start, head);
                    let v_at = Layout::of(&inputs[2], row, start, head);
                    scratch.pull(shape, index, d_state, (v, v_at), (grad_o, values));
                    let Scratch { blocks, d_q, d_k, d_log: d_logs, d_v, .. } = &*scratch;
                    for t in 0..blocks[index].len {
                        let place = shape.key(row, start + t, head);
                        for (grad, rows) in [(&dq, d_q), (&dk, d_k), (&d_log, d_logs)] {
                            // SAFETY: the queries, keys and decays of a head belong to its task.
                            unsafe { grad.at(place, shape.key_dim) }
                                .copy_from_slice(&rows.row(t).as_flattened()[..shape.key_dim]);
                        }
                        let d_v = &d_v[t * shape.value_dim..(t + 1) * shape.value_dim];
                        // SAFETY: so do its values.
                        unsafe { dv.at(values.start + t * values.rows, shape.value_dim) }
                            .copy_from_slice(d_v);
                    }
                }
            }
        },
    );
    grads.into_iter().chain([d_state]).collect()
}

/// Buffers of one task.
struct Scratch<F> {
    /// Of one chunk: its blocks, and the state before each.
    blocks: Vec<Block<F>>,
    states: Vec<F>,
    d_q: Rows<F>,
    d_k: Rows<F>,
    d_log: Rows<F>,
    /// `[BLOCK, value_dim]`.
    d_v: Vec<F>,
    /// `[BLOCK, BLOCK]`.
    d_weights: Vec<F>,
    /// Of each key: the gradient of its decay through the block, times that decay.
    d_through: Vec<Lanes<F>>,
}

impl<F: Real> Scratch<F> {
    fn new(shape: Shape) -> Self {
        let blocks: Vec<Block<F>> = (0..shape.chunk / BLOCK).map(|_| Block::new(shape)).collect();
        let rows = || Rows::new(shape);
        Self {
            states: vec![F::zero(); blocks.len() * shape.state()],
            d_q: rows(),
            d_k: rows(),
            d_log: rows(),
            d_v: vec![F::zero(); BLOCK * shape.value_dim],
            d_weights: vec![F::zero(); BLOCK * BLOCK],
            d_through: vec![[F::zero(); LANES]; shape.key_vectors()],
            blocks,
        }
    }

    /// The blocks of a chunk and the states before them, from the state before the chunk.
    fn replay(
        &mut self,
        shape: Shape,
        inputs: &[Array<'_, F>],
        before: &[F],
        [row, head, start, len]: [usize; 4],
    ) {
        self.states[..shape.state()].copy_from_slice(before);
        for (index, at) in (0..len).step_by(BLOCK).enumerate() {
            let block = &mut self.blocks[index];
            block.fill(shape, inputs, [row, head, start + at, BLOCK.min(len - at)]);
            if at + BLOCK < len {
                let (done, next) = self.states.split_at_mut((index + 1) * shape.state());
                let next = &mut next[..shape.state()];
                next.copy_from_slice(&done[index * shape.state()..]);
                block.advance(shape, next, (inputs[2].data, Layout::of(&inputs[2], row, start + at, head)));
            }
        }
    }

    /// The gradients of a block, and in `d_state` that of the state before it from that of the state after.
    fn pull(
        &mut self,
        shape: Shape,
        index: usize,
        d_state: &mut [F],
        (v, values): (&[F], Layout),
        d_o: (&[F], Layout),
    ) {
        let (key_dim, value_dim, one) = (shape.key_dim, shape.value_dim, F::one());
        let of_values = Layout::new(0, value_dim, 1);
        let Self { blocks, states, d_q, d_k, d_log, d_v, d_weights, d_through } = self;
        let block = &blocks[index];
        let state = &states[index * shape.state()..(index + 1) * shape.state()];
        let len = block.len;

        let sizes = [len, value_dim, key_dim];
        gemm(sizes, (d_v, of_values), false, block.writes.matrix(), (d_state, of_values), one);
        let sizes = [len, value_dim, len];
        gemm(sizes, (d_v, of_values), true, (&block.weights, SQUARE.t()), d_o, one);
        // Gradients of the decayed queries and keys.
        let sizes = [len, key_dim, value_dim];
        gemm(sizes, d_q.matrix_mut(), false, d_o, (state, of_values.t()), one);
        gemm(sizes, d_k.matrix_mut(), false, (v, values), (d_state, of_values.t()), one);
        let sizes = [len, len, value_dim];
        gemm(sizes, (d_weights, SQUARE), false, d_o, (v, values.t()), one);

        let through = block.through.as_flattened();
        let d_throughs = d_through.as_flattened_mut();
        vectorised(Through { state, d_state, value_dim, through, d_through: d_throughs });
        vectorised(Pull { block, d_q, d_k, d_log, d_weights, d_through });
        let (reads, of_keys) = block.reads.matrix();
        let sizes = [key_dim, value_dim, len];
        gemm(sizes, (d_state, of_values), true, (reads, of_keys.t()), d_o, one);
    }
}

/// From the state before to the state after.
struct Through<'a, F> {
    state: &'a [F],
    /// Of the state after; then, of the state before, this part.
    d_state: &'a mut [F],
    value_dim: usize,
    through: &'a [F],
    d_through: &'a mut [F],
}

impl<F: Real> Work for Through<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let rows = self.state.chunks_exact(self.value_dim).zip(self.d_state.chunks_exact_mut(self.value_dim));
        for ((state, d_state), (&through, d_through)) in rows.zip(self.through.iter().zip(self.d_through)) {
            *d_through = through * dot::<F, FMA>(state, d_state);
            d_state.iter_mut().for_each(|value| *value = (*value * through).or_nothing());
        }
    }
}

/// From gradients of decayed queries and keys, and of weights, to those of queries, keys and log-decays.
struct Pull<'a, F> {
    block: &'a Block<F>,
    d_q: &'a mut Rows<F>,
    d_k: &'a mut Rows<F>,
    d_log: &'a mut Rows<F>,
    d_weights: &'a [F],
    d_through: &'a [Lanes<F>],
}

impl<F: Real> Work for Pull<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, d_q, d_k, d_log, d_weights, d_through } = self;
        for (n, d_through) in d_through.iter().enumerate() {
            let inputs = [block.q.column(n), block.k.column(n), block.decay.column(n)];
            let mut grads = [d_q.column(n), d_k.column(n), [[F::zero(); LANES]; BLOCK]];
            states::<F, FMA>(block.len, &inputs, d_through, &mut grads);
            if block.fades {
                within::<F, FMA, true>(block.len, &inputs, d_weights, &mut grads);
            } else {
                within::<F, FMA, false>(block.len, &inputs, d_weights, &mut grads);
            }
            d_q.set_column(n, &grads[0]);
            d_k.set_column(n, &grads[1]);
            d_log.set_column(n, &grads[2]);
        }
    }
}

/// Through the states before and after; in, the gradients are of decayed queries and keys, out, of their own.
#[inline(always)]
fn states<F: Real, const FMA: bool>(
    len: usize,
    [q, k, decay]: &[Column<F>; 3],
    d_through: &Lanes<F>,
    [d_q, d_k, d_log]: &mut [Column<F>; 3],
) {
    let mut product = [F::one(); LANES];
    for t in 0..len {
        product = faded(&product, &decay[t]);
        d_q[t] = times(&d_q[t], &product);
    }
    // B: the reads of t and later.
    let mut crossing = [F::zero(); LANES];
    product = [F::one(); LANES];
    for t in (0..len).rev() {
        d_k[t] = times(&d_k[t], &product);
        product = faded(&product, &decay[t]);
        crossing = fma::<F, FMA>(&d_q[t], &q[t], &crossing);
        d_log[t] = crossing;
    }
    // A, and C: the writes of tokens before t.
    crossing = *d_through;
    for t in 0..len {
        d_log[t] = plus(&d_log[t], &crossing);
        crossing = fma::<F, FMA>(&d_k[t], &k[t], &crossing);
    }
}

/// From token to token: what token `j` writes, on its way to each later one.
#[inline(always)]
fn within<F: Real, const FMA: bool, const FADES: bool>(
    len: usize,
    [q, k, decay]: &[Column<F>; 3],
    d_weights: &[F],
    [d_q, d_k, d_log]: &mut [Column<F>; 3],
) {
    let through = if FADES { faded } else { times };
    let mut arrives = [[F::zero(); LANES]; BLOCK];
    for j in 0..len {
        let here = [d_weights[j * BLOCK + j]; LANES];
        d_q[j] = fma::<F, FMA>(&here, &k[j], &d_q[j]);
        let mut d_key = fma::<F, FMA>(&here, &q[j], &d_k[j]);
        let mut product = [F::one(); LANES];
        for i in j + 1..len {
            product = through(&product, &decay[i]);
            let weight = times(&product, &[d_weights[i * BLOCK + j]; LANES]);
            let to_query = times(&weight, &k[j]);
            d_q[i] = plus(&d_q[i], &to_query);
            d_key = fma::<F, FMA>(&weight, &q[i], &d_key);
            arrives[i] = times(&to_query, &q[i]);
        }
        d_k[j] = d_key;
        // D: what arrives at t and later.
        let mut crossing = [F::zero(); LANES];
        for i in (j + 1..len).rev() {
            crossing = plus(&crossing, &arrives[i]);
            d_log[i] = plus(&d_log[i], &crossing);
        }
    }
}
