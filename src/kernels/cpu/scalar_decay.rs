//! The scalar-decay recurrence on the CPU, chunk by chunk, with matrix products inside a chunk.
//!
//! A task owns the heads that share one key head of one row. With `c` the sums of log-decays within a chunk, `S` the
//! state before it and `T` its last token,
//!
//! ```text
//! W_ij = e^(c_i − c_j) q_i·k_j (j ≤ i)      o = W v + e^c q S      S ← e^(c_T) S + (e^(c_T − c) k)ᵀ v
//! ```
//!
//! The backward makes `W` again from states saved at the chunks' starts.

use rayon::prelude::*;

use super::chunks::{Chunks, Decays, Shape, Within};
use super::gemm::{Layout, gemm};
use super::shared::SharedMut;
use super::vectorised::vectorised;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs `q, k [batch, seq, groups, key_dim]`, `v [batch, seq, heads, value_dim]`, `log_decay [batch, seq, heads]`,
/// `state [batch, heads, key_dim, value_dim]`; output as `v`, then the last state.
#[derive(Clone, Debug)]
pub(crate) struct ScalarDecay(pub(crate) Chunks);

fn dot<F: Real>(x: &[F], y: &[F]) -> F {
    let mut sums = [F::zero(); 16];
    for (x, y) in x.chunks(16).zip(y.chunks(16)) {
        for (sum, (&x, &y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.into_iter().fold(F::zero(), |sum, part| sum + part)
}

fn add_scaled<F: Real>(sum: &mut [F], x: &[F], by: F) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += x * by;
    }
}

/// Buffers of one task.
struct Scratch<F> {
    weights: Vec<F>,
    decays: Decays<F>,
    /// `[len, key_dim]`.
    scaled: Vec<F>,
    /// `[len, value_dim]`.
    values: Vec<F>,
}

impl<F: Real> Scratch<F> {
    fn new(shape: Shape) -> Self {
        let chunk = shape.chunk;
        let zeros = |len: usize| vec![F::zero(); len];
        Self {
            weights: zeros(chunk * chunk),
            decays: Decays::new(shape),
            scaled: zeros(chunk * shape.key_dim),
            values: zeros(chunk * shape.value_dim),
        }
    }

    /// Rows of `x`, each times its factor, into `scaled`.
    fn scale(scaled: &mut [F], x: &[F], at: Layout, width: usize, factors: &[F]) {
        for (t, (out, &factor)) in scaled.chunks_exact_mut(width).zip(factors).enumerate() {
            let start = at.start + t * at.rows;
            for (out, &x) in out.iter_mut().zip(&x[start..start + width]) {
                *out = x * factor;
            }
        }
    }
}

impl ScalarDecay {
    /// Fills the scratch with a chunk's weights and decays; returns the decay through the chunk.
    fn weigh<F: Real>(
        &self,
        shape: Shape,
        inputs: &[Array<'_, F>],
        [row, group, head, start, len]: [usize; 5],
        scratch: &mut Scratch<F>,
    ) -> F {
        let keys = shape.keys(row, start, group);
        let weights = &mut scratch.weights[..len * len];
        let (q, k) = (inputs[0].data, inputs[1].data);
        let square = Layout::new(0, len, 1);
        gemm([len, len, shape.key_dim], (weights, square), false, (q, keys), (k, keys.t()), F::one());
        self.0.weigh(shape, inputs[3].data, [row, head, start, len], weights, &mut scratch.decays)
    }
}

impl HostOp for ScalarDecay {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = self.0.shape(inputs);
        let (key_dim, value_dim) = (shape.key_dim, shape.value_dim);
        let [q, k, v, initial] = [0, 1, 2, 4].map(|input| inputs[input].data);
        let mut output = vec![F::zero(); shape.batch * shape.seq * shape.heads * value_dim];
        let mut last = initial.to_vec();
        let mut kept = vec![F::zero(); if keep { shape.kept(shape.batch, 0, 0) } else { 0 }];
        let (out, kept_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut kept));
        last.par_chunks_mut(shape.state()).enumerate().for_each_init(
            || Scratch::new(shape),
            |scratch, (task, state)| {
                let (row, head) = (task / shape.heads, task % shape.heads);
                let group = head * shape.groups / shape.heads;
                let (of_keys, of_values) = (Layout::new(0, key_dim, 1), Layout::new(0, value_dim, 1));
                for (chunk, start) in (0..shape.seq).step_by(shape.chunk).enumerate() {
                    let len = shape.chunk.min(shape.seq - start);
                    if keep {
                        // SAFETY: every (row, head, chunk) has its own place, and one task.
                        unsafe { kept_shared.at(shape.kept(row, head, chunk), shape.state()) }
                            .copy_from_slice(state);
                    }
                    let through = self.weigh(shape, inputs, [row, group, head, start, len], scratch);
                    let (keys, values) = (shape.keys(row, start, group), shape.values(row, start, head));
                    let Scratch { weights, decays: Decays { from_state, to_end, .. }, scaled, values: o } =
                        scratch;
                    let square = Layout::new(0, len, 1);
                    gemm(
                        [len, value_dim, len],
                        (o, of_values),
                        false,
                        (weights, square),
                        (v, values),
                        F::one(),
                    );
                    Scratch::scale(scaled, q, keys, key_dim, &from_state[..len]);
                    gemm(
                        [len, value_dim, key_dim],
                        (o, of_values),
                        true,
                        (scaled, of_keys),
                        (state, of_values),
                        F::one(),
                    );
                    for (t, o) in o.chunks_exact(value_dim).take(len).enumerate() {
                        // SAFETY: the outputs of a head belong to its task.
                        unsafe { out.at(values.start + t * values.rows, value_dim) }.copy_from_slice(o);
                    }
                    state.iter_mut().for_each(|value| *value = (*value * through).or_nothing());
                    Scratch::scale(scaled, k, keys, key_dim, &to_end[..len]);
                    gemm(
                        [key_dim, value_dim, len],
                        (state, of_values),
                        true,
                        (scaled, of_keys.t()),
                        (v, values),
                        F::one(),
                    );
                }
            },
        );
        (vec![output, last], kept)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let shape = self.0.shape(inputs);
        let (key_dim, value_dim, one) = (shape.key_dim, shape.value_dim, F::one());
        let least = self.0.least::<F>();
        let [q, k, v, log_decay] = [0, 1, 2, 3].map(|input| inputs[input].data);
        let (grad_o, mut d_state) = (grads[0], grads[1].to_vec());
        let mut grads = [0, 1, 2, 3].map(|input| vec![F::zero(); inputs[input].data.len()]);
        let [dq, dk, dv, d_log] = grads.each_mut().map(|grad| SharedMut::new(grad));
        let per_group = shape.heads / shape.groups;
        let (of_keys, of_values) = (Layout::new(0, key_dim, 1), Layout::new(0, value_dim, 1));
        d_state.par_chunks_mut(per_group * shape.state()).enumerate().for_each_init(
            || (Scratch::<F>::new(shape), vec![F::zero(); shape.chunk * shape.chunk]),
            |(scratch, d_weights), (task, d_states)| {
                let (row, group) = (task / shape.groups, task % shape.groups);
                let mut chunk_dq = vec![F::zero(); shape.chunk * key_dim];
                let mut chunk_dk = vec![F::zero(); shape.chunk * key_dim];
                let mut d_scaled = vec![F::zero(); shape.chunk * key_dim];
                let mut d_sums = vec![F::zero(); shape.chunk];
                for (chunk, start) in (0..shape.seq).step_by(shape.chunk).enumerate().rev() {
                    let len = shape.chunk.min(shape.seq - start);
                    let keys = shape.keys(row, start, group);
                    let square = Layout::new(0, len, 1);
                    chunk_dq.fill(F::zero());
                    chunk_dk.fill(F::zero());
                    for (index, ds) in d_states.chunks_exact_mut(shape.state()).enumerate() {
                        let head = group * per_group + index;
                        let through = self.weigh(shape, inputs, [row, group, head, start, len], scratch);
                        let values = shape.values(row, start, head);
                        let place = shape.kept(row, head, chunk);
                        let before = &kept[place..place + shape.state()];
                        let Scratch { weights, decays, scaled, values: chunk_dv } = scratch;
                        let Decays { within: decays, from_state, to_end } = decays;
                        d_sums[..len].fill(F::zero());

                        // The state after the chunk: d v, d k, and the decays to the end and through.
                        Scratch::scale(scaled, k, keys, key_dim, &to_end[..len]);
                        gemm(
                            [len, value_dim, key_dim],
                            (chunk_dv, of_values),
                            false,
                            (scaled, of_keys),
                            (ds, of_values),
                            one,
                        );
                        gemm(
                            [len, key_dim, value_dim],
                            (&mut d_scaled, of_keys),
                            false,
                            (v, values),
                            (ds, of_values.t()),
                            one,
                        );
                        let mut d_total = through * dot(before, ds);
                        for t in 0..len {
                            let (d_row, k_row) =
                                (&d_scaled[t * key_dim..(t + 1) * key_dim], keys.start + t * keys.rows);
                            let d_decay = to_end[t] * dot(d_row, &k[k_row..k_row + key_dim]);
                            d_total += d_decay;
                            d_sums[t] = d_sums[t] - d_decay;
                            add_scaled(&mut chunk_dk[t * key_dim..(t + 1) * key_dim], d_row, to_end[t]);
                        }

                        // The outputs, through the state before the chunk.
                        gemm(
                            [len, key_dim, value_dim],
                            (&mut d_scaled, of_keys),
                            false,
                            (grad_o, values),
                            (before, of_values.t()),
                            one,
                        );
                        for t in 0..len {
                            let (d_row, q_row) =
                                (&d_scaled[t * key_dim..(t + 1) * key_dim], keys.start + t * keys.rows);
                            d_sums[t] += from_state[t] * dot(d_row, &q[q_row..q_row + key_dim]);
                            add_scaled(&mut chunk_dq[t * key_dim..(t + 1) * key_dim], d_row, from_state[t]);
                        }
                        ds.iter_mut().for_each(|value| *value = (*value * through).or_nothing());
                        Scratch::scale(scaled, q, keys, key_dim, &from_state[..len]);
                        gemm(
                            [key_dim, value_dim, len],
                            (ds, of_values),
                            true,
                            (scaled, of_keys.t()),
                            (grad_o, values),
                            one,
                        );

                        // The outputs, within the chunk.
                        gemm(
                            [len, value_dim, len],
                            (chunk_dv, of_values),
                            true,
                            (weights, square.t()),
                            (grad_o, values),
                            one,
                        );
                        gemm(
                            [len, len, value_dim],
                            (d_weights, square),
                            false,
                            (grad_o, values),
                            (v, values.t()),
                            one,
                        );
                        let at = (row * shape.seq + start) * shape.heads + head;
                        vectorised(Within { len, weights, decays, d_weights, d_sums: &mut d_sums[..len] });
                        gemm(
                            [len, key_dim, len],
                            (&mut chunk_dq, of_keys),
                            true,
                            (d_weights, square),
                            (k, keys),
                            one,
                        );
                        gemm(
                            [len, key_dim, len],
                            (&mut chunk_dk, of_keys),
                            true,
                            (d_weights, square.t()),
                            (q, keys),
                            one,
                        );

                        d_sums[len - 1] += d_total;
                        let mut sum = F::zero();
                        for t in (0..len).rev() {
                            sum += d_sums[t];
                            let place = at + t * shape.heads;
                            let gradient = if log_decay[place] < least { F::zero() } else { sum };
                            // SAFETY: the decays of a head belong to its task; so do its values, below.
                            unsafe { d_log.at(place, 1) }.fill(gradient);
                        }
                        for (t, rows) in chunk_dv.chunks_exact(value_dim).take(len).enumerate() {
                            // SAFETY: as above.
                            unsafe { dv.at(values.start + t * values.rows, value_dim) }.copy_from_slice(rows);
                        }
                    }
                    for t in 0..len {
                        let (from, to) = (t * key_dim, keys.start + t * keys.rows);
                        // SAFETY: the keys and queries of a group belong to its task.
                        unsafe { dq.at(to, key_dim) }.copy_from_slice(&chunk_dq[from..from + key_dim]);
                        // SAFETY: as above.
                        unsafe { dk.at(to, key_dim) }.copy_from_slice(&chunk_dk[from..from + key_dim]);
                    }
                }
            },
        );
        let [dq, dk, dv, d_log] = grads;
        vec![dq, dk, dv, d_log, d_state]
    }
}
