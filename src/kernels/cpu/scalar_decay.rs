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

use super::gemm::{Layout, gemm};
use super::shared::SharedMut;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs `q, k [batch, seq, groups, key_dim]`, `v [batch, seq, heads, value_dim]`, `log_decay [batch, seq, heads]`,
/// `state [batch, heads, key_dim, value_dim]`; output as `v`, then the last state.
#[derive(Clone, Debug)]
pub(crate) struct ScalarDecay {
    pub(crate) chunk_size: usize,
    /// Log-decays count as no less.
    pub(crate) least: f64,
    /// `[batch, seq]`, the document of every token.
    pub(crate) documents: Option<std::sync::Arc<[i32]>>,
}

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    groups: usize,
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    chunk: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>], chunk: usize) -> Self {
        let [batch, seq, groups, key_dim] = inputs[0].dims.try_into().expect("q has rank 4");
        let [_, _, heads, value_dim] = inputs[2].dims.try_into().expect("v has rank 4");
        Self { batch, seq, groups, heads, key_dim, value_dim, chunk: chunk.min(seq) }
    }

    fn state(&self) -> usize {
        self.key_dim * self.value_dim
    }

    fn chunks(&self) -> usize {
        self.seq.div_ceil(self.chunk)
    }

    /// Where the state of a head before a chunk is kept.
    fn kept(&self, row: usize, head: usize, chunk: usize) -> usize {
        ((row * self.heads + head) * self.chunks() + chunk) * self.state()
    }

    fn keys(&self, row: usize, t: usize, group: usize) -> Layout {
        let start = ((row * self.seq + t) * self.groups + group) * self.key_dim;
        Layout::new(start, self.groups * self.key_dim, 1)
    }

    fn values(&self, row: usize, t: usize, head: usize) -> Layout {
        let start = ((row * self.seq + t) * self.heads + head) * self.value_dim;
        Layout::new(start, self.heads * self.value_dim, 1)
    }
}

/// The decays within a chunk of one head.
struct Decays<'a, F> {
    shape: Shape,
    log_decay: &'a [F],
    documents: Option<&'a [i32]>,
    least: F,
    row: usize,
    head: usize,
    start: usize,
    len: usize,
    /// Scores `q kᵀ` in, weights out, `[len, len]`.
    weights: &'a mut [F],
    /// What the scores were multiplied by, `[len, len]`.
    decays: &'a mut [F],
    /// From the state before to each token.
    from_state: &'a mut [F],
    /// From each token to the end.
    to_end: &'a mut [F],
}

impl<F: Real> Work for Decays<'_, F> {
    /// From the state before to the state after.
    type Output = F;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> F {
        let (len, heads) = (self.len, self.shape.heads);
        let mut sum = F::zero();
        for i in 0..len {
            let log = self.log_decay[(self.row * self.shape.seq + self.start + i) * heads + self.head];
            sum += if log < self.least { self.least } else { log };
            self.from_state[i] = sum;
        }
        let sums = &*self.from_state;
        for (i, row) in self.decays.chunks_exact_mut(len).enumerate() {
            let at = sums[i];
            for (decay, &sum) in row[..=i].iter_mut().zip(sums) {
                *decay = F::fast_exp::<FMA>(at - sum);
            }
            row[i + 1..].fill(F::zero());
        }
        for (to_end, &before) in self.to_end.iter_mut().zip(sums) {
            *to_end = F::fast_exp::<FMA>(sum - before);
        }
        for value in self.from_state.iter_mut() {
            *value = F::fast_exp::<FMA>(*value);
        }
        let mut through = F::fast_exp::<FMA>(sum);
        if let Some(documents) = self.documents {
            let before = documents[self.start.saturating_sub(1)];
            let inside = &documents[self.start..self.start + len];
            let last = inside[len - 1];
            for (i, row) in self.decays.chunks_exact_mut(len).enumerate() {
                for (decay, &document) in row[..=i].iter_mut().zip(inside) {
                    *decay = if document == inside[i] { *decay } else { F::zero() };
                }
                self.from_state[i] = if inside[i] == before { self.from_state[i] } else { F::zero() };
                self.to_end[i] = if inside[i] == last { self.to_end[i] } else { F::zero() };
            }
            through = if last == before { through } else { F::zero() };
        }
        for (weight, &decay) in self.weights.iter_mut().zip(&*self.decays) {
            *weight = *weight * decay;
        }
        through
    }
}

/// Gradients of weights to gradients of scores, in place, and what they say of the sums of log-decays:
/// `∂W_ij / ∂c_i = W_ij = −∂W_ij / ∂c_j`.
struct Within<'a, F> {
    len: usize,
    weights: &'a [F],
    decays: &'a [F],
    d_weights: &'a mut [F],
    d_sums: &'a mut [F],
}

impl<F: Real> Work for Within<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let len = self.len;
        for i in 0..len {
            let row = i * len..i * len + i + 1;
            let (weights, decays) = (&self.weights[row.clone()], &self.decays[row.clone()]);
            let mut along = F::zero();
            for (j, ((d, &weight), &decay)) in
                self.d_weights[row].iter_mut().zip(weights).zip(decays).enumerate()
            {
                let through = *d * weight;
                along += through;
                self.d_sums[j] = self.d_sums[j] - through;
                *d = *d * decay;
            }
            self.d_sums[i] += along;
            self.d_weights[i * len + i + 1..(i + 1) * len].fill(F::zero());
        }
    }
}

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
    decays: Vec<F>,
    from_state: Vec<F>,
    to_end: Vec<F>,
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
            decays: zeros(chunk * chunk),
            from_state: zeros(chunk),
            to_end: zeros(chunk),
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
    fn documents(&self, shape: Shape, row: usize) -> Option<&[i32]> {
        self.documents.as_ref().map(|documents| &documents[row * shape.seq..(row + 1) * shape.seq])
    }

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
        vectorised(Decays {
            shape,
            log_decay: inputs[3].data,
            documents: self.documents(shape, row),
            least: F::from_f64(self.least).expect("a float"),
            row,
            head,
            start,
            len,
            weights,
            decays: &mut scratch.decays[..len * len],
            from_state: &mut scratch.from_state[..len],
            to_end: &mut scratch.to_end[..len],
        })
    }
}

impl HostOp for ScalarDecay {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs, self.chunk_size);
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
                    let Scratch { weights, from_state, to_end, scaled, values: o, .. } = scratch;
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
                    state.iter_mut().for_each(|value| *value = *value * through);
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
        let shape = Shape::of(inputs, self.chunk_size);
        let (key_dim, value_dim, one) = (shape.key_dim, shape.value_dim, F::one());
        let least = F::from_f64(self.least).expect("a float");
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
                        let Scratch { weights, decays, from_state, to_end, scaled, values: chunk_dv } =
                            scratch;
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
                        ds.iter_mut().for_each(|value| *value = *value * through);
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
