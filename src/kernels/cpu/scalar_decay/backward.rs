use rayon::prelude::*;

use super::rows::{Dot, Scale, Unscale};
use super::{Fade, Layout, Place, ScalarDecay, Scratch, Shape, SharedMut, gemm, tasks, vectorised};
use crate::kernels::cpu::chunks::Within;
use crate::kernels::cpu::groups::Heads;
use crate::kernels::cpu::lanes::dot;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// What the backward needs besides.
struct Buffers<F> {
    scratch: Scratch<F>,
    /// Of a head's weights, then of its scores, `[len, len]`.
    d_weights: Vec<F>,
    /// Of the scores of all heads.
    d_scores: Vec<F>,
    /// Of queries or keys times their decays, `[len, key_dim]`.
    d_scaled: Vec<F>,
    /// `[len, key_dim]`, of all heads.
    dq: Vec<F>,
    dk: Vec<F>,
    /// Of the sums of log-decays.
    d_sums: Vec<F>,
}

/// Arrays that all tasks fill in.
struct Out<'a, F> {
    /// Of queries and keys, one after the other for each part of a group.
    dq: SharedMut<'a, F>,
    dk: SharedMut<'a, F>,
    dv: SharedMut<'a, F>,
    d_log: SharedMut<'a, F>,
    d_dt: SharedMut<'a, F>,
    /// `[batch, heads]`.
    d_skip: SharedMut<'a, F>,
}

pub(super) fn backward<F: Real>(
    op: &ScalarDecay,
    inputs: &[Array<'_, F>],
    kept: &[F],
    grads: &[&[F]],
) -> Vec<Vec<F>> {
    let shape = op.chunks.shape(inputs);
    let tasks = tasks(shape);
    let len = |input: usize| inputs[input].len();
    let (mut dq, mut dk) = (zeros(tasks.parts * len(0)), zeros(tasks.parts * len(1)));
    let (mut dv, mut d_log) = (zeros(len(2)), zeros(len(3)));
    let (mut d_dt, mut d_skip) = (zeros(len(3)), zeros(shape.batch * shape.heads));
    let mut d_state = grads[1].to_vec();
    let out = Out {
        dq: SharedMut::new(&mut dq),
        dk: SharedMut::new(&mut dk),
        dv: SharedMut::new(&mut dv),
        d_log: SharedMut::new(&mut d_log),
        d_dt: SharedMut::new(&mut d_dt),
        d_skip: SharedMut::new(&mut d_skip),
    };
    let buffers = || Buffers {
        scratch: Scratch::new(shape),
        d_weights: zeros(shape.chunk * shape.chunk),
        d_scores: zeros(shape.chunk * shape.chunk),
        d_scaled: zeros(shape.chunk * shape.key_dim),
        dq: zeros(shape.chunk * shape.key_dim),
        dk: zeros(shape.chunk * shape.key_dim),
        d_sums: zeros(shape.chunk),
    };
    let shares = tasks.shares(&mut d_state, shape.state());
    shares.into_par_iter().for_each_init(buffers, |buffers, (heads, d_states)| {
        let of_task = Task { op, shape, inputs, kept, grad: grads[0], heads, out: &out };
        for (chunk, start) in (0..shape.seq).step_by(shape.chunk).enumerate().rev() {
            of_task.backward([chunk, start], d_states, buffers);
        }
    });
    let [dq, dk] = [dq, dk].map(|parts| sum_of_parts(parts, tasks.parts));
    let mut grads = vec![dq, dk, dv, d_log, d_state];
    if op.scaled {
        grads.push(d_dt);
    }
    if op.skips {
        grads.push(crate::kernels::cpu::total_of_rows(shape.heads, &d_skip));
    }
    grads
}

/// `parts` arrays, one after the other, to their sum.
fn sum_of_parts<F: Real>(mut array: Vec<F>, parts: usize) -> Vec<F> {
    let len = array.len() / parts;
    let (sum, others) = array.split_at_mut(len);
    for part in others.chunks_exact(len.max(1)) {
        const CHUNK: usize = 1 << 14;
        sum.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK)).for_each(|(sum, part)| {
            sum.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
        });
    }
    array.truncate(len);
    array
}

#[derive(Clone, Copy)]
struct Task<'a, F> {
    op: &'a ScalarDecay,
    shape: Shape,
    inputs: &'a [Array<'a, F>],
    kept: &'a [F],
    grad: &'a [F],
    heads: Heads,
    out: &'a Out<'a, F>,
}

impl<F: Real> Task<'_, F> {
    /// One chunk; `d_states` are the gradients of the states after it, then of those before.
    fn backward(&self, [chunk, start]: [usize; 2], d_states: &mut [F], buffers: &mut Buffers<F>) {
        let Self { op, shape, inputs, kept, grad, heads, out } = *self;
        let (key_dim, value_dim, one) = (shape.key_dim, shape.value_dim, F::one());
        let [q, k, v] = [0, 1, 2].map(|input| inputs[input].data);
        let (of_keys, of_values) = (Layout::new(0, key_dim, 1), Layout::new(0, value_dim, 1));
        let len = shape.chunk.min(shape.seq - start);
        let keys = shape.keys(heads.row, start, heads.group);
        let [q_at, k_at] = [0, 1].map(|input| Layout::of(&inputs[input], heads.row, start, heads.group));
        let square = Layout::new(0, len, 1);
        let Buffers { scratch, d_weights, d_scores, d_scaled, dq, dk, d_sums } = buffers;
        let (dq, dk, d_sums) = (&mut dq[..len * key_dim], &mut dk[..len * key_dim], &mut d_sums[..len]);
        scratch.score(shape, [(q, q_at), (k, k_at)], len);
        dq.fill(F::zero());
        dk.fill(F::zero());
        d_scores.fill(F::zero());
        for (head, ds) in (heads.first..).zip(d_states.chunks_exact_mut(shape.state())) {
            let place = Place { row: heads.row, head, start, len };
            let through = scratch.weigh(op, shape, inputs, place);
            let at = shape.values(heads.row, start, head);
            let before = &kept[shape.kept(heads.row, head, chunk)..][..shape.state()];
            let Scratch { weights, decays, dt, scaled, written, values: d_written, .. } = &mut *scratch;
            let weights = &weights[..len * len];
            d_sums.fill(F::zero());

            // The state after the chunk: w, k, and the decays to the end and through.
            let to_end = &decays.to_end[..len];
            vectorised(Scale { x: k, at: k_at, width: key_dim, factors: to_end, to: scaled });
            let size = [len, value_dim, key_dim];
            gemm(size, (d_written, of_values), false, (scaled, of_keys), (ds, of_values), one);
            let size = [len, key_dim, value_dim];
            gemm(size, (d_scaled, of_keys), false, (written, of_values), (ds, of_values.t()), one);
            let mut d_total = through * vectorised(Dot(before, ds));
            let (width, d) = (key_dim, &d_scaled[..len * key_dim]);
            let (dx, d_log) = (&mut *dk, &mut *d_sums);
            d_total +=
                vectorised(Unscale { d, x: k, at: k_at, width, factors: to_end, dx, d_log, sign: -one });

            // The outputs, through the state before the chunk.
            gemm(size, (d_scaled, of_keys), false, (grad, at), (before, of_values.t()), one);
            let (from_state, d) = (&decays.from_state[..len], &d_scaled[..len * key_dim]);
            let (dx, d_log) = (&mut *dq, &mut *d_sums);
            vectorised(Unscale { d, x: q, at: q_at, width, factors: from_state, dx, d_log, sign: one });
            vectorised(Fade { state: ds, through });
            vectorised(Scale { x: q, at: q_at, width, factors: from_state, to: scaled });
            let size = [key_dim, value_dim, len];
            gemm(size, (ds, of_values), true, (scaled, of_keys.t()), (grad, at), one);

            // The outputs, within the chunk.
            let size = [len, value_dim, len];
            gemm(size, (d_written, of_values), true, (weights, square.t()), (grad, at), one);
            let size = [len, len, value_dim];
            gemm(size, (d_weights, square), false, (grad, at), (written, of_values.t()), one);
            vectorised(Within {
                len,
                weights,
                decays: &decays.within,
                d_weights: &mut d_weights[..len * len],
                d_sums,
            });
            for (sum, &d) in d_scores[..len * len].iter_mut().zip(&*d_weights) {
                *sum += d;
            }

            self.decays(place, d_sums, d_total);
            let skip = op.d(inputs).map_or(F::zero(), |d| d[head]);
            // SAFETY: a head of a row belongs to one task.
            let d_skip = unsafe { out.d_skip.at(heads.row * shape.heads + head, 1) };
            d_skip[0] += vectorised(Values {
                d_written: &d_written[..len * value_dim],
                grad,
                v,
                v_at: Layout::of(&inputs[2], heads.row, start, head),
                at,
                width: value_dim,
                dt: &dt[..len],
                skip,
                numbers: place.numbers(shape),
                dv: &out.dv,
                d_dt: &out.d_dt,
            });
        }
        let size = [len, key_dim, len];
        gemm(size, (dq, of_keys), true, (d_scores, square), (k, k_at), one);
        gemm(size, (dk, of_keys), true, (d_scores, square.t()), (q, q_at), one);
        for (to, rows) in [(&out.dq, dq), (&out.dk, dk)] {
            let part = heads.part * inputs[0].len();
            for (t, row) in rows.chunks_exact(key_dim).enumerate() {
                // SAFETY: a task writes the queries and keys of its group to its own part.
                unsafe { to.at(part + keys.start + t * keys.rows, key_dim) }.copy_from_slice(row);
            }
        }
    }

    /// Gradients of sums of log-decays to those of log-decays.
    fn decays(&self, place: Place, d_sums: &mut [F], d_total: F) {
        let least = self.op.chunks.least::<F>();
        let log_decay = self.inputs[3].data;
        let (first, step) = place.numbers(self.shape);
        let mut sum = d_total;
        for (t, &d_sum) in d_sums.iter().enumerate().rev() {
            sum += d_sum;
            let at = first + t * step;
            let gradient = if log_decay[at] < least { F::zero() } else { sum };
            // SAFETY: the decays of a head belong to its task.
            unsafe { self.out.d_log.at(at, 1) }.fill(gradient);
        }
    }
}

/// Back through `w = dt v` and `o = … + d v`; returns what goes to `d`.
struct Values<'a, F> {
    d_written: &'a [F],
    grad: &'a [F],
    v: &'a [F],
    v_at: Layout,
    at: Layout,
    width: usize,
    dt: &'a [F],
    skip: F,
    /// Where `dt` lies: the first, and the distance to the next.
    numbers: (usize, usize),
    dv: &'a SharedMut<'a, F>,
    d_dt: &'a SharedMut<'a, F>,
}

impl<F: Real> Work for Values<'_, F> {
    type Output = F;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> F {
        let width = self.width;
        let mut d_skip = F::zero();
        for (t, (d_written, &dt)) in self.d_written.chunks_exact(width).zip(self.dt).enumerate() {
            let place = self.at.start + t * self.at.rows;
            let v = &self.v[self.v_at.start + t * self.v_at.rows..][..width];
            let grad = &self.grad[place..place + width];
            // SAFETY: the values of a head belong to its task.
            let dv = unsafe { self.dv.at(place, width) };
            for ((dv, &d), &grad) in dv.iter_mut().zip(d_written).zip(grad) {
                *dv = F::fma::<FMA>(dt, d, self.skip * grad);
            }
            // SAFETY: as above.
            let d_dt = unsafe { self.d_dt.at(self.numbers.0 + t * self.numbers.1, 1) };
            d_dt.fill(dot::<F, FMA>(d_written, v));
            d_skip += dot::<F, FMA>(grad, v);
        }
        d_skip
    }
}
