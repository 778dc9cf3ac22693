use rayon::prelude::*;

use super::view::{View, exponentials};
use super::{Attention, KEYS, QUERIES, Shape, SharedMut, Transposed, blocks, from};
use crate::kernels::cpu::gemm::{Layout, gemm};
use crate::kernels::cpu::groups::{Heads, Tasks};
use crate::kernels::cpu::lanes::dot;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// So many fill a machine; where a key head has several, each keeps gradients of its keys and values.
const TASKS: usize = 16;

/// What a thread reuses from head to head.
struct Buffers<F> {
    /// `[queries, keys of the block]`.
    weights: Vec<F>,
    grads: Vec<F>,
    /// Before the soft cap.
    scores: Vec<F>,
    /// `[queries, head_dim]`.
    dq: Vec<F>,
    /// Of the keys and values that the head reads, `[keys, dim]`.
    dk: Vec<F>,
    dv: Vec<F>,
    /// Of each query, the mean of its weights' gradients, by weight.
    means: Vec<F>,
}

/// The gradients of queries, keys and values.
pub(super) fn backward<F: Real>(
    op: &Attention,
    shape: Shape,
    inputs: &[Array<'_, F>],
    kept: &[F],
    grad: &[F],
) -> Vec<Vec<F>> {
    let Shape { batch, keys, n_heads, n_kv_heads, head_dim, value_dim, .. } = shape;
    let across = [1, 2].map(|input| Transposed::new(&inputs[input]));
    let [q_len, k_len, v_len] = [0, 1, 2].map(|input| inputs[input].len());
    let mut dq = zeros(q_len);
    let dq_shared = SharedMut::new(&mut dq);
    let buffers = || Buffers {
        weights: vec![F::zero(); QUERIES * KEYS],
        grads: vec![F::zero(); QUERIES * KEYS],
        scores: vec![F::zero(); if op.soft_cap.is_some() { QUERIES * KEYS } else { 0 }],
        dq: vec![F::zero(); QUERIES * head_dim],
        dk: vec![F::zero(); keys * head_dim],
        dv: vec![F::zero(); keys * value_dim],
        means: vec![F::zero(); QUERIES],
    };
    let [mut dk, mut dv] = [k_len, v_len].map(|len| zeros(len));
    let (dk_shared, dv_shared) = (SharedMut::new(&mut dk), SharedMut::new(&mut dv));
    // The query heads that read one key head go to several tasks where there would be few: then their parts of its gradients
    // are added afterwards, in order.
    let tasks = Tasks::new(batch, n_heads, n_kv_heads, TASKS);
    let parts: Vec<Option<[Vec<F>; 2]>> = (0..tasks.count())
        .into_par_iter()
        .map_init(buffers, |buffers, task| {
            let Heads { row, group: kv_head, first, count, .. } = tasks.heads(task);
            buffers.dk.fill(F::zero());
            buffers.dv.fill(F::zero());
            for head in first..first + count {
                let of_head = Head { op, shape, inputs, row, kv_head, head, kept, grad };
                of_head.backward(&across, buffers, &dq_shared);
            }
            if tasks.parts > 1 {
                return Some([buffers.dk.clone(), buffers.dv.clone()]);
            }
            let add = |rows, sum, at, dim| vectorised(Add { rows, sum, at, dim });
            add(&buffers.dk, &dk_shared, shape.k(row, kv_head), head_dim);
            add(&buffers.dv, &dv_shared, shape.v(row, kv_head), value_dim);
            None
        })
        .collect();
    parts.par_chunks(tasks.parts).enumerate().for_each(|(task, parts)| {
        let (row, kv_head) = (task / n_kv_heads, task % n_kv_heads);
        for [dk, dv] in parts.iter().flatten() {
            vectorised(Add { rows: dk, sum: &dk_shared, at: shape.k(row, kv_head), dim: head_dim });
            vectorised(Add { rows: dv, sum: &dv_shared, at: shape.v(row, kv_head), dim: value_dim });
        }
    });
    vec![dq, dk, dv]
}

/// Adds contiguous rows to those of a matrix that belongs to one task.
struct Add<'a, F> {
    rows: &'a [F],
    sum: &'a SharedMut<'a, F>,
    at: Layout,
    dim: usize,
}

impl<F: Real> Work for Add<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (t, row) in self.rows.chunks_exact(self.dim).enumerate() {
            // SAFETY: the gradients of a key head's keys, and of its values, belong to one task.
            let sum = unsafe { self.sum.at(self.at.start + t * self.at.rows, self.dim) };
            sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        }
    }
}

/// One query head of one row.
#[derive(Clone, Copy)]
struct Head<'a, F> {
    op: &'a Attention,
    shape: Shape,
    inputs: &'a [Array<'a, F>],
    row: usize,
    kv_head: usize,
    head: usize,
    kept: &'a [F],
    grad: &'a [F],
}

impl<F: Real> Head<'_, F> {
    /// Adds the gradients of the keys and values that the head reads to the buffers; those of its queries go to their place.
    fn backward(
        &self,
        [keys_across, values_across]: &[Transposed<F>; 2],
        buffers: &mut Buffers<F>,
        all_dq: &SharedMut<'_, F>,
    ) {
        let Self { op, shape, inputs, row, kv_head, head, grad, .. } = *self;
        let (q, k) = (inputs[0].data, inputs[1].data);
        let Shape { batch, seq, n_heads, head_dim, value_dim, .. } = shape;
        let (scale, one) = (F::from_f64(op.scale).expect("a float"), F::one());
        let view = op.view::<F>(shape, row, head);
        let (log_sums, outputs) = self.kept.split_at(batch * n_heads * seq);
        let log_sums = &log_sums[(row * n_heads + head) * seq..(row * n_heads + head + 1) * seq];
        let Buffers { weights, grads, scores, dq, dk, dv, means } = buffers;
        let of_keys = Layout::new(0, head_dim, 1);
        for first in (0..seq).step_by(QUERIES) {
            let m = QUERIES.min(seq - first);
            let q_tile = Layout::of(&inputs[0], row, first, head);
            let o_tile = from(shape.o(row, head), first);
            let dim = value_dim;
            vectorised(Means { grad, outputs, at: o_tile, dim, means: &mut means[..m] });
            dq.fill(F::zero());
            for (block, seen) in blocks(view.tile(first, first + m)) {
                let n = seen.len();
                let at = |query: usize, key: usize| Layout::new((query - first) * n + key - seen.start, n, 1);
                let groups = || view.groups(first, first + m, seen.clone());
                for (queries, keys) in groups() {
                    let (at, size) = (at(queries.start, keys.start), [queries.len(), keys.len()]);
                    let to = (weights.as_mut_slice(), at);
                    let across = keys_across.block(row, kv_head, block, keys.start);
                    let rows = from(q_tile, queries.start - first);
                    gemm([size[0], size[1], head_dim], to, false, (q, rows), across, scale);
                    let to = (grads.as_mut_slice(), at);
                    let across = values_across.block(row, kv_head, block, keys.start);
                    let rows = from(o_tile, queries.start - first);
                    gemm([size[0], size[1], dim], to, false, (grad, rows), across, one);
                }
                if op.soft_cap.is_some() {
                    scores[..m * n].copy_from_slice(&weights[..m * n]);
                }
                vectorised(Block {
                    view,
                    first,
                    seen: seen.clone(),
                    weights: &mut weights[..m * n],
                    grads: &mut grads[..m * n],
                    scores,
                    log_sums: &log_sums[first..first + m],
                    means,
                });
                for (queries, keys) in groups() {
                    let (at, size) = (at(queries.start, keys.start), [keys.len(), queries.len()]);
                    let [q_rows, o_rows, dq_rows] =
                        [q_tile, o_tile, of_keys].map(|tile| from(tile, queries.start - first));
                    let to = (dv.as_mut_slice(), Layout::new(keys.start * dim, dim, 1));
                    gemm([size[0], dim, size[1]], to, true, (weights, at.t()), (grad, o_rows), one);
                    let to = (dk.as_mut_slice(), Layout::new(keys.start * head_dim, head_dim, 1));
                    gemm([size[0], head_dim, size[1]], to, true, (grads, at.t()), (q, q_rows), scale);
                    let k_seen = Layout::of(&inputs[1], row, keys.start, kv_head);
                    let to = (dq.as_mut_slice(), dq_rows);
                    gemm([size[1], head_dim, size[0]], to, true, (grads, at), (k, k_seen), scale);
                }
            }
            let dq_tile = from(shape.q(row, head), first);
            for (t, tile) in dq.chunks_exact(head_dim).take(m).enumerate() {
                // SAFETY: the queries of a head belong to its task.
                unsafe { all_dq.at(dq_tile.start + t * dq_tile.rows, head_dim) }.copy_from_slice(tile);
            }
        }
    }
}

/// `Σ weight · d weight` over all keys, which is the output times its gradient.
struct Means<'a, F> {
    grad: &'a [F],
    outputs: &'a [F],
    at: Layout,
    dim: usize,
    means: &'a mut [F],
}

impl<F: Real> Work for Means<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (t, mean) in self.means.iter_mut().enumerate() {
            let row = self.at.start + t * self.at.rows;
            let row = row..row + self.dim;
            *mean = dot::<F, FMA>(&self.grad[row.clone()], &self.outputs[row]);
        }
    }
}

/// Scores of a block to weights, and gradients of weights to gradients of scores,
/// `weight · (d weight − mean)`, through the soft cap; both in place.
struct Block<'a, F> {
    view: View<'a, F>,
    first: usize,
    seen: std::ops::Range<usize>,
    weights: &'a mut [F],
    grads: &'a mut [F],
    scores: &'a [F],
    log_sums: &'a [F],
    means: &'a [F],
}

impl<F: Real> Work for Block<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.seen.len();
        let rows = self.weights.chunks_exact_mut(width).zip(self.grads.chunks_exact_mut(width));
        for (t, (weights, grads)) in rows.enumerate() {
            let range = self.view.apply::<FMA>(self.first + t, &self.seen, weights);
            if self.log_sums[t] == F::infinity() {
                weights.fill(F::zero());
            } else {
                exponentials::<F, FMA>(&mut weights[range], self.log_sums[t]);
            }
            for (grad, &weight) in grads.iter_mut().zip(&*weights) {
                *grad = weight * (*grad - self.means[t]);
            }
            if let Some(cap) = self.view.soft_cap {
                let scores = &self.scores[t * width..(t + 1) * width];
                for (grad, &score) in grads.iter_mut().zip(scores) {
                    let tanh = F::fast_tanh::<FMA>(score / cap);
                    *grad = *grad * (F::one() - tanh * tanh);
                }
            }
        }
    }
}
