//! Softmax attention on the CPU: a tile of queries against the keys it can see.
//!
//! A task owns the query heads that read one key head of one row. Scores of a tile of [`TILE`] queries live in a
//! buffer of the task's own; the backward makes them again from the saved normalisers, so memory is linear in the
//! sequence. Keys before a tile's window, and in the future, are skipped, not masked.

use rayon::prelude::*;

use super::gemm::{Layout, gemm};
use super::shared::SharedMut;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::HeadBias;

/// Queries of a tile.
const TILE: usize = 32;

/// The document of every token.
type Ids = std::sync::Arc<[i32]>;

/// Inputs `q [batch, seq, n_heads, head_dim]`, `k, v [batch, keys, n_kv_heads, dim]`, keys in order of age; output as
/// `q`, with the values' `dim`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) scale: f64,
    pub(crate) soft_cap: Option<f64>,
    pub(crate) window: Option<usize>,
    pub(crate) bias: HeadBias,
    /// `[batch, seq]` and `[batch, keys]`: a query sees keys of its own document.
    pub(crate) documents: Option<(Ids, Ids)>,
}

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    keys: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    value_dim: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>]) -> Self {
        let [batch, seq, n_heads, head_dim] = inputs[0].dims.try_into().expect("q has rank 4");
        let [_, keys, n_kv_heads, value_dim] = inputs[2].dims.try_into().expect("v has rank 4");
        Self { batch, seq, keys, n_heads, n_kv_heads, head_dim, value_dim }
    }

    /// Token 0 of a head in an array `[batch, tokens, heads, dim]`: a matrix of tokens by dimensions.
    fn head(row: usize, tokens: usize, heads: usize, dim: usize, head: usize) -> Layout {
        Layout::new((row * tokens * heads + head) * dim, heads * dim, 1)
    }

    fn q(&self, row: usize, head: usize) -> Layout {
        Self::head(row, self.seq, self.n_heads, self.head_dim, head)
    }

    fn k(&self, row: usize, head: usize) -> Layout {
        Self::head(row, self.keys, self.n_kv_heads, self.head_dim, head)
    }

    fn v(&self, row: usize, head: usize) -> Layout {
        Self::head(row, self.keys, self.n_kv_heads, self.value_dim, head)
    }

    fn o(&self, row: usize, head: usize) -> Layout {
        Self::head(row, self.seq, self.n_heads, self.value_dim, head)
    }
}

fn from(layout: Layout, token: usize) -> Layout {
    Layout { start: layout.start + token * layout.rows, ..layout }
}

/// What a head of one row sees.
#[derive(Clone, Copy)]
struct View<'a, F> {
    /// Keys that a query sees at most.
    window: usize,
    /// Position of the first query among the keys.
    offset: usize,
    slope: F,
    soft_cap: Option<F>,
    documents: Option<(&'a [i32], &'a [i32])>,
}

impl<F: Real> View<'_, F> {
    /// The keys that query `i` may see, apart from documents.
    fn range(&self, i: usize) -> std::ops::Range<usize> {
        let end = self.offset + i + 1;
        end.saturating_sub(self.window)..end
    }

    /// The keys that any of the queries `first..last` sees.
    fn tile(&self, first: usize, last: usize) -> std::ops::Range<usize> {
        let mut start = self.range(first).start;
        let end = self.range(last - 1).end;
        if let Some((queries, keys)) = self.documents {
            let wanted = &queries[first..last];
            start = (start..end).find(|&key| wanted.contains(&keys[key])).unwrap_or(end);
        }
        start..end
    }
}

/// Scores of a tile, in place, to weights; keeps the logarithm of each query's sum.
struct Softmax<'a, F> {
    view: View<'a, F>,
    first: usize,
    seen: std::ops::Range<usize>,
    /// `[queries, seen.len()]`.
    scores: &'a mut [F],
    /// Of each query: given in the backward, found in the forward.
    log_sums: &'a mut [F],
    known: bool,
}

impl<F: Real> Work for Softmax<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.seen.len();
        let one = F::one();
        let least = F::min_value() / (one + one);
        for (t, scores) in self.scores.chunks_exact_mut(width).enumerate() {
            let i = self.first + t;
            let range = self.view.range(i);
            let low = range.start.max(self.seen.start) - self.seen.start;
            let high = range.end.max(self.seen.start) - self.seen.start;
            let low = low.min(high);
            scores[..low].fill(F::zero());
            scores[high..].fill(F::zero());
            let row = &mut scores[low..high];
            if let Some(cap) = self.view.soft_cap {
                for score in row.iter_mut() {
                    *score = cap * tanh::<F, FMA>(*score / cap);
                }
            }
            if self.view.slope > F::zero() {
                // The last key of the row is the query's own: distance 0.
                let mut distance = F::from_usize(row.len().saturating_sub(1)).expect("a length");
                for score in row.iter_mut() {
                    *score = F::fma::<FMA>(-self.view.slope, distance, *score);
                    distance = distance - one;
                }
            }
            if let Some((queries, keys)) = self.view.documents {
                let keys = &keys[self.seen.start + low..self.seen.start + high];
                for (score, &key) in row.iter_mut().zip(keys) {
                    *score = if key == queries[i] { *score } else { least };
                }
            }
            if !self.known {
                let mut greatest = [least; 16];
                let chunks = row.chunks_exact(16);
                for (g, &score) in greatest.iter_mut().zip(chunks.remainder()) {
                    *g = if score > *g { score } else { *g };
                }
                for chunk in chunks {
                    for l in 0..16 {
                        greatest[l] = if chunk[l] > greatest[l] { chunk[l] } else { greatest[l] };
                    }
                }
                let greatest = greatest.into_iter().fold(least, F::max);
                let mut sums = [F::zero(); 16];
                for chunk in row.chunks(16) {
                    for (sum, &score) in sums.iter_mut().zip(chunk) {
                        *sum += F::fast_exp::<FMA>(score - greatest);
                    }
                }
                let sum = sums.into_iter().fold(F::zero(), |sum, part| sum + part);
                // A query that sees nothing gives weights of 0: e^(least − ∞).
                self.log_sums[t] = if greatest > least { greatest + sum.ln() } else { F::infinity() };
            }
            let log_sum = self.log_sums[t];
            if log_sum == F::infinity() {
                row.fill(F::zero());
                continue;
            }
            for score in row.iter_mut() {
                let weight = F::fast_exp::<FMA>(*score - log_sum);
                *score = if *score > least { weight } else { F::zero() };
            }
        }
    }
}

#[inline(always)]
fn tanh<F: Real, const FMA: bool>(x: F) -> F {
    let one = F::one();
    let e = F::fast_exp::<FMA>(-(x.abs() + x.abs()));
    let y = (one - e) / (one + e);
    if x < F::zero() { -y } else { y }
}

/// `d score ← weight · (d weight − Σ weight · d weight)`, through the soft cap.
struct SoftmaxBackward<'a, F> {
    width: usize,
    weights: &'a [F],
    grads: &'a mut [F],
    /// Scores before the cap, and the cap.
    capped: Option<(&'a [F], F)>,
}

impl<F: Real> Work for SoftmaxBackward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let one = F::one();
        let rows = self.weights.chunks_exact(self.width).zip(self.grads.chunks_exact_mut(self.width));
        for (t, (weights, grads)) in rows.enumerate() {
            let mut sums = [F::zero(); 16];
            for (weights, grads) in weights.chunks(16).zip(grads.chunks(16)) {
                for (sum, (&weight, &grad)) in sums.iter_mut().zip(weights.iter().zip(grads)) {
                    *sum = F::fma::<FMA>(weight, grad, *sum);
                }
            }
            let mean = sums.into_iter().fold(F::zero(), |sum, part| sum + part);
            for (grad, &weight) in grads.iter_mut().zip(weights) {
                *grad = weight * (*grad - mean);
            }
            if let Some((scores, cap)) = self.capped {
                let scores = &scores[t * self.width..(t + 1) * self.width];
                for (grad, &score) in grads.iter_mut().zip(scores) {
                    let tanh = tanh::<F, FMA>(score / cap);
                    *grad = *grad * (one - tanh * tanh);
                }
            }
        }
    }
}

impl Attention {
    fn view<F: Real>(&self, shape: Shape, row: usize, head: usize) -> View<'_, F> {
        let window = match &self.bias {
            HeadBias::Windows(windows) => windows.get(head).copied().unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let slope = match &self.bias {
            HeadBias::Slopes(slopes) => F::from_f64(slopes[head]).expect("a float"),
            _ => F::zero(),
        };
        View {
            window: window.min(self.window.unwrap_or(usize::MAX)),
            offset: shape.keys - shape.seq,
            slope,
            soft_cap: self.soft_cap.map(|cap| F::from_f64(cap).expect("a float")),
            documents: self.documents.as_ref().map(|(queries, keys)| {
                (
                    &queries[row * shape.seq..(row + 1) * shape.seq],
                    &keys[row * shape.keys..(row + 1) * shape.keys],
                )
            }),
        }
    }

    /// Calls `visit(query head, first query, end, keys seen)` for every tile of the group of `kv_head`.
    fn tiles<F: Real>(
        &self,
        shape: Shape,
        row: usize,
        kv_head: usize,
        mut visit: impl FnMut(View<'_, F>, usize, std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let group = shape.n_heads / shape.n_kv_heads;
        for head in kv_head * group..(kv_head + 1) * group {
            let view = self.view::<F>(shape, row, head);
            for first in (0..shape.seq).step_by(TILE) {
                let last = shape.seq.min(first + TILE);
                let seen = view.tile(first, last);
                if !seen.is_empty() {
                    visit(view, head, first..last, seen);
                }
            }
        }
    }
}

impl HostOp for Attention {
    /// Keeps the logarithm of every query's sum, `[batch, n_heads, seq]`.
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let [q, k, v] = [inputs[0].data, inputs[1].data, inputs[2].data];
        let scale = F::from_f64(self.scale).expect("a float");
        let mut output = vec![F::zero(); shape.batch * shape.seq * shape.n_heads * shape.value_dim];
        let mut log_sums = vec![F::infinity(); shape.batch * shape.n_heads * shape.seq];
        let (out, sums) = (SharedMut::new(&mut output), SharedMut::new(&mut log_sums));
        (0..shape.batch * shape.n_kv_heads).into_par_iter().for_each_init(Vec::new, |scores, task| {
            let (row, kv_head) = (task / shape.n_kv_heads, task % shape.n_kv_heads);
            let mut tile_out = vec![F::zero(); TILE * shape.value_dim];
            self.tiles::<F>(shape, row, kv_head, |view, head, queries, seen| {
                let (m, n) = (queries.len(), seen.len());
                scores.resize(m * n, F::zero());
                let k_seen = from(shape.k(row, kv_head), seen.start);
                let q_tile = from(shape.q(row, head), queries.start);
                let square = Layout::new(0, n, 1);
                gemm([m, n, shape.head_dim], (scores, square), false, (q, q_tile), (k, k_seen.t()), scale);
                // SAFETY: the sums of a head belong to its task.
                let tile_sums =
                    unsafe { sums.at((row * shape.n_heads + head) * shape.seq + queries.start, m) };
                let (first, seen_) = (queries.start, seen.clone());
                vectorised(Softmax { view, first, seen: seen_, scores, log_sums: tile_sums, known: false });
                let v_seen = from(shape.v(row, kv_head), seen.start);
                let dense = Layout::new(0, shape.value_dim, 1);
                gemm(
                    [m, shape.value_dim, n],
                    (&mut tile_out, dense),
                    false,
                    (scores, square),
                    (v, v_seen),
                    F::one(),
                );
                let o_tile = from(shape.o(row, head), queries.start);
                for (t, o) in tile_out.chunks_exact(shape.value_dim).take(m).enumerate() {
                    // SAFETY: the outputs of a head belong to its task.
                    unsafe { out.at(o_tile.start + t * o_tile.rows, shape.value_dim) }.copy_from_slice(o);
                }
            });
        });
        (vec![output], log_sums)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let (shape, grad) = (Shape::of(inputs), grads[0]);
        let [q, k, v] = [inputs[0].data, inputs[1].data, inputs[2].data];
        let scale = F::from_f64(self.scale).expect("a float");
        let one = F::one();
        let mut grads = [q.len(), k.len(), v.len()].map(|len| vec![F::zero(); len]);
        let [dq, dk, dv] = grads.each_mut().map(|grad| SharedMut::new(grad));
        let (head_dim, value_dim) = (shape.head_dim, shape.value_dim);
        (0..shape.batch * shape.n_kv_heads).into_par_iter().for_each_init(
            Buffers::default,
            |buffers, task| {
                let (row, kv_head) = (task / shape.n_kv_heads, task % shape.n_kv_heads);
                let [keys_k, keys_v] = [head_dim, value_dim].map(|dim| Layout::new(0, dim, 1));
                let mut head_dk = vec![F::zero(); shape.keys * head_dim];
                let mut head_dv = vec![F::zero(); shape.keys * value_dim];
                let mut tile_dq = vec![F::zero(); TILE * head_dim];
                self.tiles::<F>(shape, row, kv_head, |view, head, queries, seen| {
                    let (m, n) = (queries.len(), seen.len());
                    let Buffers { weights, grads, scores } = buffers;
                    weights.resize(m * n, F::zero());
                    grads.resize(m * n, F::zero());
                    let k_seen = from(shape.k(row, kv_head), seen.start);
                    let v_seen = from(shape.v(row, kv_head), seen.start);
                    let q_tile = from(shape.q(row, head), queries.start);
                    let o_tile = from(shape.o(row, head), queries.start);
                    let square = Layout::new(0, n, 1);
                    gemm([m, n, head_dim], (weights, square), false, (q, q_tile), (k, k_seen.t()), scale);
                    if view.soft_cap.is_some() {
                        scores.clone_from(weights);
                    }
                    let start = (row * shape.n_heads + head) * shape.seq + queries.start;
                    let mut log_sums = [F::zero(); TILE];
                    log_sums[..m].copy_from_slice(&kept[start..start + m]);
                    let (first, seen_, log_sums) = (queries.start, seen.clone(), &mut log_sums[..m]);
                    vectorised(Softmax { view, first, seen: seen_, scores: weights, log_sums, known: true });
                    let dv_seen = from(keys_v, seen.start);
                    gemm(
                        [n, value_dim, m],
                        (&mut head_dv, dv_seen),
                        true,
                        (weights, square.t()),
                        (grad, o_tile),
                        one,
                    );
                    gemm([m, n, value_dim], (grads, square), false, (grad, o_tile), (v, v_seen.t()), one);
                    let capped = view.soft_cap.map(|cap| (scores.as_slice(), cap));
                    vectorised(SoftmaxBackward { width: n, weights, grads, capped });
                    let dense = Layout::new(0, head_dim, 1);
                    gemm([m, head_dim, n], (&mut tile_dq, dense), false, (grads, square), (k, k_seen), scale);
                    let dk_seen = from(keys_k, seen.start);
                    gemm(
                        [n, head_dim, m],
                        (&mut head_dk, dk_seen),
                        true,
                        (grads, square.t()),
                        (q, q_tile),
                        scale,
                    );
                    for (t, tile) in tile_dq.chunks_exact(head_dim).take(m).enumerate() {
                        // SAFETY: the queries of a head belong to its task.
                        unsafe { dq.at(q_tile.start + t * q_tile.rows, head_dim) }.copy_from_slice(tile);
                    }
                });
                let (k_at, v_at) = (shape.k(row, kv_head), shape.v(row, kv_head));
                for key in 0..shape.keys {
                    let (from_k, from_v) = (key * head_dim, key * value_dim);
                    // SAFETY: the keys of a key head belong to its task.
                    unsafe { dk.at(k_at.start + key * k_at.rows, head_dim) }
                        .copy_from_slice(&head_dk[from_k..from_k + head_dim]);
                    // SAFETY: as above, of values.
                    unsafe { dv.at(v_at.start + key * v_at.rows, value_dim) }
                        .copy_from_slice(&head_dv[from_v..from_v + value_dim]);
                }
            },
        );
        grads.into()
    }
}

/// What a thread reuses from tile to tile.
struct Buffers<F> {
    weights: Vec<F>,
    grads: Vec<F>,
    scores: Vec<F>,
}

impl<F> Default for Buffers<F> {
    fn default() -> Self {
        Self { weights: Vec::new(), grads: Vec::new(), scores: Vec::new() }
    }
}
