use rayon::prelude::*;

use super::forward::ScaleRows;
use super::{Chunk, Place, below, layouts, subtract_rows};
use crate::kernels::cpu::chunks::{Chunks, Fade, Shape, Within};
use crate::kernels::cpu::gemm::gemm;
use crate::kernels::cpu::groups::{Heads, Tasks};
use crate::kernels::cpu::lanes::dot;
use crate::kernels::cpu::shared::SharedMut;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// Buffers of one task, beside the chunk itself.
struct Scratch<F> {
    /// `∂o`, then `−∂e`, `[2 · len, value_dim]`.
    d_reads: Vec<F>,
    /// `∂u`, `[len, value_dim]`.
    d_writes: Vec<F>,
    /// `∂W`, then `∂B`, `[2 · len, len]`.
    d_weights: Vec<F>,
    /// Of queries, then keys, summed over the heads that share them, `[2 · len, key_dim]`.
    d_stacked: Vec<F>,
    /// `w k`, then its gradient, `[len, key_dim]`.
    keys: Vec<F>,
    d_beta: Vec<F>,
    /// Of the sums of log-decays.
    d_sums: Vec<F>,
}

impl<F: Real> Scratch<F> {
    fn new(shape: Shape) -> Self {
        let Shape { chunk, key_dim, value_dim, .. } = shape;
        let zeros = |len: usize| vec![F::zero(); len];
        Self {
            d_reads: zeros(2 * chunk * value_dim),
            d_writes: zeros(chunk * value_dim),
            d_weights: zeros(2 * chunk * chunk),
            d_stacked: zeros(2 * chunk * key_dim),
            keys: zeros(chunk * key_dim),
            d_beta: zeros(chunk),
            d_sums: zeros(chunk),
        }
    }
}

/// The gradients of all inputs.
pub(super) fn backward<F: Real>(
    chunks: &Chunks,
    inputs: &[Array<'_, F>],
    kept: &[F],
    grads: &[&[F]],
) -> Vec<Vec<F>> {
    let shape = chunks.shape(inputs);
    let (key_dim, value_dim, least) = (shape.key_dim, shape.value_dim, chunks.least::<F>());
    let (grad_o, mut d_state) = (grads[0], grads[1].to_vec());
    let mut grads = [0, 1, 2, 3, 4].map(|input| zeros(inputs[input].len()));
    let [dq, dk, dv, d_beta, d_log] = grads.each_mut().map(|grad| SharedMut::new(grad));
    let tasks = Tasks::new(shape.batch, shape.heads, shape.groups, 1);
    tasks.shares(&mut d_state, shape.state()).into_par_iter().for_each_init(
        || (Chunk::new(shape), Scratch::new(shape)),
        |(chunk, scratch), (Heads { row, group, first, .. }, d_states)| {
            for (index, start) in (0..shape.seq).step_by(shape.chunk).enumerate().rev() {
                let len = shape.chunk.min(shape.seq - start);
                scratch.d_stacked.fill(F::zero());
                for (head, d_state) in (first..).zip(d_states.chunks_exact_mut(shape.state())) {
                    let place = Place { row, group, head, start, len };
                    let kept_at = shape.kept(row, place.head, index);
                    let before = &kept[kept_at..kept_at + shape.state()];
                    let through = chunk.fill(chunks, shape, inputs, place, before);
                    of_chunk(shape, place, chunk, scratch, (before, through), grad_o, d_state);

                    // Every log-decay is part of all sums from its token on.
                    let ((numbers, step), mut sum) = (place.numbers(shape), F::zero());
                    for t in (0..len).rev() {
                        sum += scratch.d_sums[t];
                        let place = numbers + t * step;
                        let clamped = inputs[4].data[place] < least;
                        // SAFETY: the decays of a head belong to its task; so do its β and its values, below.
                        unsafe { d_log.at(place, 1) }.fill(if clamped { F::zero() } else { sum });
                        // SAFETY: as above.
                        unsafe { d_beta.at(place, 1) }.fill(scratch.d_beta[t]);
                    }
                    let values = shape.values(row, start, place.head);
                    let of_v = &scratch.d_reads[len * value_dim..2 * len * value_dim];
                    for (t, negative) in of_v.chunks_exact(value_dim).enumerate() {
                        // SAFETY: as above.
                        let out = unsafe { dv.at(values.start + t * values.rows, value_dim) };
                        out.iter_mut().zip(negative).for_each(|(out, &value)| *out = -value);
                    }
                }
                let keys = shape.keys(row, start, group);
                let (queries_of, keys_of) = scratch.d_stacked.split_at(len * key_dim);
                for t in 0..len {
                    let (from, to) = (t * key_dim, keys.start + t * keys.rows);
                    // SAFETY: the keys and queries of a group belong to its task.
                    unsafe { dq.at(to, key_dim) }.copy_from_slice(&queries_of[from..from + key_dim]);
                    // SAFETY: as above.
                    unsafe { dk.at(to, key_dim) }.copy_from_slice(&keys_of[from..from + key_dim]);
                }
            }
        },
    );
    let [dq, dk, dv, d_beta, d_log] = grads;
    vec![dq, dk, dv, d_beta, d_log, d_state]
}

/// The gradients of a chunk of one head, into `scratch`, and that of the state after it to that of the state before.
fn of_chunk<F: Real>(
    shape: Shape,
    place: Place,
    chunk: &mut Chunk<F>,
    scratch: &mut Scratch<F>,
    (before, through): (&[F], F),
    grad_o: &[F],
    d_state: &mut [F],
) {
    let (len, key_dim, value_dim, one) = (place.len, shape.key_dim, shape.value_dim, F::one());
    let (of_keys, of_values, square) = layouts(shape, len);
    let lower_keys = below(of_keys, len);
    let Chunk { stacked, weights, decays, reads, beta, errors, writes } = chunk;
    let Scratch { d_reads, d_writes, d_weights, d_stacked, keys, d_beta, d_sums } = scratch;
    let (to_end, from_state) = (&decays.to_end[..len], &decays.from_state[..len]);
    let d_sums = &mut d_sums[..len];
    let values = shape.values(place.row, place.start, place.head);
    for (t, out) in d_reads.chunks_exact_mut(value_dim).take(len).enumerate() {
        let from = values.start + t * values.rows;
        out.copy_from_slice(&grad_o[from..from + value_dim]);
    }

    // 1. The state after the chunk: to u, to k, to the decays to the end and through.
    keys[..len * key_dim].copy_from_slice(&stacked[lower_keys.start..][..len * key_dim]);
    vectorised(ScaleRows { rows: keys, width: key_dim, factors: to_end });
    gemm([len, value_dim, key_dim], (d_writes, of_values), false, (keys, of_keys), (d_state, of_values), one);
    gemm(
        [len, key_dim, value_dim],
        (keys, of_keys),
        false,
        (writes, of_values),
        (d_state, of_values.t()),
        one,
    );
    let (k, d_k) = (&stacked[lower_keys.start..], &mut d_stacked[lower_keys.start..]);
    vectorised(Ends { d_keys: keys, k, d_k, width: key_dim, to_end, before, through, d_state, d_sums });

    // 2 and 3. The outputs, to u; and u, to the errors.
    gemm(
        [len, value_dim, len],
        (d_writes, of_values),
        true,
        (weights, square.t()),
        (d_reads, of_values),
        one,
    );
    let overlaps = &weights[len * len..2 * len * len];
    let d_errors = &mut d_reads[len * value_dim..];
    vectorised(Unsolve { len, width: value_dim, overlaps, beta, errors, d_writes, d_errors, d_beta });

    // 4. The weights, to their scores, and these to q and k.
    gemm(
        [2 * len, len, value_dim],
        (d_weights, square),
        false,
        (d_reads, of_values),
        (writes, of_values.t()),
        one,
    );
    // A token's own write is not among those that its error knows of.
    d_weights[len * len..2 * len * len].iter_mut().step_by(len + 1).for_each(|d| *d = F::zero());
    let squares = d_weights.chunks_exact_mut(len * len).zip(weights.chunks_exact(len * len));
    for (d_weights, weights) in squares.take(2) {
        vectorised(Within { len, weights, decays: &decays.within, d_weights, d_sums });
    }
    gemm(
        [2 * len, key_dim, len],
        (d_stacked, of_keys),
        true,
        (d_weights, square),
        (stacked, lower_keys),
        one,
    );
    gemm(
        [len, key_dim, 2 * len],
        (d_stacked, lower_keys),
        true,
        (d_weights, square.t()),
        (stacked, of_keys),
        one,
    );

    // 5. The reads of the state before, whose place their gradients take.
    vectorised(Reads { len, width: value_dim, from_state, d_reads, reads, d_sums });
    gemm(
        [2 * len, key_dim, value_dim],
        (d_stacked, of_keys),
        true,
        (reads, of_values),
        (before, of_values.t()),
        one,
    );
    gemm(
        [key_dim, value_dim, 2 * len],
        (d_state, of_values),
        true,
        (stacked, of_keys.t()),
        (reads, of_values),
        one,
    );
}

/// What the state after a chunk says of its decays and keys; scales the state's gradient to what came through.
struct Ends<'a, F> {
    /// Of the keys times their decays to the end.
    d_keys: &'a [F],
    k: &'a [F],
    d_k: &'a mut [F],
    width: usize,
    to_end: &'a [F],
    before: &'a [F],
    through: F,
    d_state: &'a mut [F],
    d_sums: &'a mut [F],
}

impl<F: Real> Work for Ends<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let mut d_total = self.through * dot::<F, FMA>(self.before, self.d_state);
        Fade { state: self.d_state, through: self.through }.run::<FMA>();
        let rows = self.d_keys.chunks_exact(self.width).zip(self.k.chunks_exact(self.width));
        let rows = rows.zip(self.d_k.chunks_exact_mut(self.width));
        for (t, (((d_key, k), d_k), &to_end)) in rows.zip(self.to_end).enumerate() {
            let d_decay = to_end * dot::<F, FMA>(d_key, k);
            d_total += d_decay;
            self.d_sums[t] = -d_decay;
            for (d_k, &d_key) in d_k.iter_mut().zip(d_key) {
                *d_k = F::fma::<FMA>(d_key, to_end, *d_k);
            }
        }
        if let Some(last) = self.d_sums.last_mut() {
            *last += d_total;
        }
    }
}

/// `∂u ← ∂u − Bᵀ ∂e`, `∂β = e·∂u`, `∂e = β ∂u`, from the last row to the first.
struct Unsolve<'a, F> {
    len: usize,
    width: usize,
    overlaps: &'a [F],
    beta: &'a [F],
    errors: &'a [F],
    d_writes: &'a mut [F],
    /// `−∂e`.
    d_errors: &'a mut [F],
    d_beta: &'a mut [F],
}

impl<F: Real> Work for Unsolve<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (len, width) = (self.len, self.width);
        for i in (0..len).rev() {
            let d_write = &mut self.d_writes[i * width..(i + 1) * width];
            let (d_error, later) = self.d_errors[i * width..len * width].split_at_mut(width);
            subtract_rows::<F, FMA>(d_write, later, |j| -self.overlaps[(i + 1 + j) * len + i]);
            self.d_beta[i] = dot::<F, FMA>(&self.errors[i * width..(i + 1) * width], d_write);
            for (d_error, &d_write) in d_error.iter_mut().zip(&*d_write) {
                *d_error = -self.beta[i] * d_write;
            }
        }
    }
}

/// Gradients of decayed reads to gradients of reads, in place of the reads, and what they say of the sums of
/// log-decays.
struct Reads<'a, F> {
    len: usize,
    width: usize,
    from_state: &'a [F],
    d_reads: &'a [F],
    reads: &'a mut [F],
    d_sums: &'a mut [F],
}

impl<F: Real> Work for Reads<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let rows = self.reads.chunks_exact_mut(self.width).zip(self.d_reads.chunks_exact(self.width));
        for (i, (read, d_read)) in rows.take(2 * self.len).enumerate() {
            let (t, decay) = (i % self.len, self.from_state[i % self.len]);
            self.d_sums[t] += decay * dot::<F, FMA>(read, d_read);
            for (read, &d_read) in read.iter_mut().zip(d_read) {
                *read = decay * d_read;
            }
        }
    }
}
