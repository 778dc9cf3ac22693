//! The delta rule on the CPU, chunk by chunk, with a triangular system and matrix products inside a chunk.
//!
//! A task owns the heads that share one key head of one row. With `c` the sums of log-decays within a chunk, `S` the
//! state before it and `T` its last token,
//!
//! ```text
//! W_ij = e^(c_i − c_j) q_i·k_j (j ≤ i)      B_ij = e^(c_i − c_j) k_i·k_j (j < i)
//! e = v − e^c k S − B u                     u = β e                                  (row after row)
//! o = e^c q S + W u                         S ← e^(c_T) S + (e^(c_T − c) k)ᵀ u
//! ```
//!
//! The backward makes all of it again from states saved at the chunks' starts. With `G` the gradient of the state after the
//! chunk and `w = e^(c_T − c)`, in the order of the code:
//!
//! ```text
//! 1  ∂u = (w k) G                      ∂k = w (u Gᵀ)
//! 2  ∂u ← ∂u + Wᵀ ∂o
//! 3  ∂u_i ← ∂u_i − Σ_j>i B_ji ∂e_j     ∂β = e·∂u      ∂e = β ∂u      ∂v = ∂e      (last row first)
//! 4  ∂W = ∂o uᵀ (j ≤ i)                ∂B = −∂e uᵀ (j < i), each times its decay to the scores, and on to q and k
//! 5  ∂(q S) = e^c ∂o                   ∂(k S) = −e^c ∂e, on to q, k and, with e^(c_T) G, to S
//! ```
//!
//! A factor `e^(c_i − c_j)` adds to `∂c` at i what it takes at j; a log-decay is part of `c` from its token on, so that its
//! gradient is the sum of `∂c` from there to the end.
//!
//! Queries and keys of a chunk stand one above the other, so that scores, reads of the state and their gradients are one
//! product each; `∂o` stands above `−∂e`, because `−B` enters `e` as `W` enters `o`.

mod backward;
mod forward;

use super::chunks::{Chunks, Decays, Shape, reads_views};
use super::gemm::{Layout, gemm};
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs `q, k [batch, seq, groups, key_dim]`, `v [batch, seq, heads, value_dim]`, `beta, log_decay [batch, seq, heads]`,
/// `state [batch, heads, key_dim, value_dim]`; output as `v`, then the last state.
#[derive(Clone, Debug)]
pub(crate) struct DeltaRule(pub(crate) Chunks);

impl HostOp for DeltaRule {
    fn reads_views(&self, input: usize) -> bool {
        reads_views(input)
    }

    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        forward::forward(&self.0, inputs, keep)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        backward::backward(&self.0, inputs, kept, grads)
    }
}

/// A chunk of one head.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    group: usize,
    head: usize,
    start: usize,
    len: usize,
}

impl Place {
    /// Where the chunk's numbers lie in `beta` and `log_decay`: the first, and the distance to the next.
    fn numbers(&self, shape: Shape) -> (usize, usize) {
        ((self.row * shape.seq + self.start) * shape.heads + self.head, shape.heads)
    }
}

/// What the forward and the backward need of a chunk; rows are contiguous.
struct Chunk<F> {
    /// Queries, then keys, `[2 · len, key_dim]`.
    stacked: Vec<F>,
    /// `W`, then `B` with its diagonal, `[2 · len, len]`.
    weights: Vec<F>,
    decays: Decays<F>,
    /// `q S`, then `k S`, `[2 · len, value_dim]`.
    reads: Vec<F>,
    beta: Vec<F>,
    /// `e`, `[len, value_dim]`.
    errors: Vec<F>,
    /// `u`, `[len, value_dim]`.
    writes: Vec<F>,
}

impl<F: Real> Chunk<F> {
    fn new(shape: Shape) -> Self {
        let Shape { chunk, key_dim, value_dim, .. } = shape;
        let zeros = |len: usize| vec![F::zero(); len];
        Self {
            stacked: zeros(2 * chunk * key_dim),
            weights: zeros(2 * chunk * chunk),
            decays: Decays::new(shape),
            reads: zeros(2 * chunk * value_dim),
            beta: zeros(chunk),
            errors: zeros(chunk * value_dim),
            writes: zeros(chunk * value_dim),
        }
    }

    /// Fills everything in, from the state before the chunk; returns the decay through it.
    fn fill(
        &mut self,
        chunks: &Chunks,
        shape: Shape,
        inputs: &[Array<'_, F>],
        place: Place,
        state: &[F],
    ) -> F {
        let Place { row, group, head, start, len } = place;
        let (key_dim, value_dim) = (shape.key_dim, shape.value_dim);
        for (input, rows) in self.stacked.chunks_exact_mut(len * key_dim).take(2).enumerate() {
            let keys = Layout::of(&inputs[input], row, start, group);
            for (t, out) in rows.chunks_exact_mut(key_dim).enumerate() {
                let from = keys.start + t * keys.rows;
                out.copy_from_slice(&inputs[input].data[from..from + key_dim]);
            }
        }
        // All rows at once, so that the processor waits for memory once and not at every row of the system.
        let values = Layout::of(&inputs[2], row, start, head);
        for (t, error) in self.errors.chunks_exact_mut(value_dim).take(len).enumerate() {
            let from = values.start + t * values.rows;
            error.copy_from_slice(&inputs[2].data[from..from + value_dim]);
        }
        let (first, step) = place.numbers(shape);
        for (t, beta) in self.beta[..len].iter_mut().enumerate() {
            *beta = inputs[3].data[first + t * step];
        }

        let (of_keys, of_values, square) = layouts(shape, len);
        gemm(
            [2 * len, len, key_dim],
            (&mut self.weights, square),
            false,
            (&self.stacked, of_keys),
            (&self.stacked, below(of_keys, len).t()),
            F::one(),
        );
        let weights = &mut self.weights[..2 * len * len];
        let through = chunks.weigh(shape, inputs[4].data, [row, head, start, len], weights, &mut self.decays);
        gemm(
            [2 * len, value_dim, key_dim],
            (&mut self.reads, of_values),
            false,
            (&self.stacked, of_keys),
            (state, of_values),
            F::one(),
        );
        vectorised(Solve {
            len,
            reads: &self.reads[len * value_dim..2 * len * value_dim],
            from_state: &self.decays.from_state,
            overlaps: &self.weights[len * len..2 * len * len],
            beta: &self.beta,
            errors: &mut self.errors,
            writes: &mut self.writes,
            width: value_dim,
        });
        through
    }
}

/// Of contiguous rows of keys, of values, and of weights.
fn layouts(shape: Shape, len: usize) -> (Layout, Layout, Layout) {
    (Layout::new(0, shape.key_dim, 1), Layout::new(0, shape.value_dim, 1), Layout::new(0, len, 1))
}

/// The lower of two stacked matrices of `len` rows.
fn below(at: Layout, len: usize) -> Layout {
    Layout { start: at.start + len * at.rows, ..at }
}

/// `e = v − e^c k S − B u`, `u = β e`, from the first row to the last.
struct Solve<'a, F> {
    len: usize,
    width: usize,
    /// `k S`.
    reads: &'a [F],
    from_state: &'a [F],
    /// `B`; what is on its diagonal and above is not read.
    overlaps: &'a [F],
    beta: &'a [F],
    /// `v` in, `e` out.
    errors: &'a mut [F],
    writes: &'a mut [F],
}

impl<F: Real> Work for Solve<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (len, width) = (self.len, self.width);
        for i in 0..len {
            let (earlier, later) = self.writes.split_at_mut(i * width);
            let error = &mut self.errors[i * width..(i + 1) * width];
            let read = &self.reads[i * width..(i + 1) * width];
            let decay = self.from_state[i];
            for (error, &read) in error.iter_mut().zip(read) {
                *error = F::fma::<FMA>(-decay, read, *error);
            }
            let row = &self.overlaps[i * len..i * len + i];
            subtract_rows::<F, FMA>(error, earlier, |j| row[j]);
            for (write, &error) in later[..width].iter_mut().zip(&*error) {
                *write = self.beta[i] * error;
            }
        }
    }
}

/// `sum ← sum − Σ_j weight(j) rows_j`, four rows at a time.
#[inline(always)]
fn subtract_rows<F: Real, const FMA: bool>(sum: &mut [F], rows: &[F], weight: impl Fn(usize) -> F) {
    let width = sum.len();
    let whole = rows.len() / (4 * width);
    for (four, rows) in rows.chunks_exact(4 * width).enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| -weight(4 * four + j));
        let (front, back) = rows.split_at(2 * width);
        let ((ra, rb), (rc, rd)) = (front.split_at(width), back.split_at(width));
        for i in 0..width {
            let pairs = (F::fma::<FMA>(a, ra[i], b * rb[i]), F::fma::<FMA>(c, rc[i], d * rd[i]));
            sum[i] += pairs.0 + pairs.1;
        }
    }
    for (j, row) in rows.chunks_exact(width).enumerate().skip(4 * whole) {
        let weight = -weight(j);
        for (sum, &value) in sum.iter_mut().zip(row) {
            *sum = F::fma::<FMA>(weight, value, *sum);
        }
    }
}
