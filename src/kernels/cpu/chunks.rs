//! What chunked recurrences with one decay for a head and a token share: how a sequence is cut, and the decays
//! within a chunk.

use std::sync::Arc;

use super::gemm::Layout;
use super::lanes::dot;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// How a sequence is cut, and which of its tokens belong together.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    pub(crate) chunk_size: usize,
    /// Log-decays count as no less.
    pub(crate) least: f64,
    /// `[batch, seq]`, the document of every token.
    pub(crate) documents: Option<Arc<[i32]>>,
}

/// The decays within a chunk of one head.
pub(crate) struct Decays<F> {
    /// From token `j` to token `i`, `[len, len]`; 0 above the diagonal, and between documents.
    pub(crate) within: Vec<F>,
    /// From the state before to each token.
    pub(crate) from_state: Vec<F>,
    /// From each token to the end.
    pub(crate) to_end: Vec<F>,
}

impl<F: Real> Decays<F> {
    pub(crate) fn new(shape: Shape) -> Self {
        let zeros = |len: usize| vec![F::zero(); len];
        Self {
            within: zeros(shape.chunk * shape.chunk),
            from_state: zeros(shape.chunk),
            to_end: zeros(shape.chunk),
        }
    }
}

impl Chunks {
    /// The sizes of inputs that begin with `q`, `k` and `v`.
    pub(crate) fn shape<F>(&self, inputs: &[Array<'_, F>]) -> Shape {
        let [batch, seq, groups, key_dim] = inputs[0].dims.try_into().expect("q has rank 4");
        let [_, _, heads, value_dim] = inputs[2].dims.try_into().expect("v has rank 4");
        Shape { batch, seq, groups, heads, key_dim, value_dim, chunk: self.chunk_size.min(seq) }
    }

    pub(crate) fn least<F: Real>(&self) -> F {
        F::from_f64(self.least).expect("a float")
    }

    /// Fills in the decays of a chunk, and multiplies `scores`, one or more squares `[len, len]`, by those within it.
    /// Returns the decay through the chunk.
    pub(crate) fn weigh<F: Real>(
        &self,
        shape: Shape,
        log_decay: &[F],
        [row, head, start, len]: [usize; 4],
        scores: &mut [F],
        decays: &mut Decays<F>,
    ) -> F {
        let documents =
            self.documents.as_ref().map(|documents| &documents[row * shape.seq..(row + 1) * shape.seq]);
        let least = self.least();
        vectorised(Weigh { shape, log_decay, documents, least, row, head, start, len, scores, decays })
    }
}

/// The sizes of `q, k [batch, seq, groups, key_dim]` and `v [batch, seq, heads, value_dim]`, cut into chunks.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) seq: usize,
    pub(crate) groups: usize,
    pub(crate) heads: usize,
    pub(crate) key_dim: usize,
    pub(crate) value_dim: usize,
    pub(crate) chunk: usize,
}

impl Shape {
    pub(crate) fn state(&self) -> usize {
        self.key_dim * self.value_dim
    }

    pub(crate) fn chunks(&self) -> usize {
        self.seq.div_ceil(self.chunk)
    }

    /// Where the state of a head before a chunk is kept.
    pub(crate) fn kept(&self, row: usize, head: usize, chunk: usize) -> usize {
        ((row * self.heads + head) * self.chunks() + chunk) * self.state()
    }

    /// Where the gradients of keys and queries lie.
    pub(crate) fn keys(&self, row: usize, t: usize, group: usize) -> Layout {
        let start = ((row * self.seq + t) * self.groups + group) * self.key_dim;
        Layout::new(start, self.groups * self.key_dim, 1)
    }

    /// Where outputs, their gradients, and the gradients of values lie.
    pub(crate) fn values(&self, row: usize, t: usize, head: usize) -> Layout {
        let start = ((row * self.seq + t) * self.heads + head) * self.value_dim;
        Layout::new(start, self.heads * self.value_dim, 1)
    }
}

struct Weigh<'a, F> {
    shape: Shape,
    log_decay: &'a [F],
    documents: Option<&'a [i32]>,
    least: F,
    row: usize,
    head: usize,
    start: usize,
    len: usize,
    scores: &'a mut [F],
    decays: &'a mut Decays<F>,
}

impl<F: Real> Work for Weigh<'_, F> {
    /// From the state before to the state after.
    type Output = F;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> F {
        let (len, heads) = (self.len, self.shape.heads);
        let Decays { within, from_state, to_end } = self.decays;
        let (within, from_state, to_end) =
            (&mut within[..len * len], &mut from_state[..len], &mut to_end[..len]);
        // Sums, and beside each what its rounding lost: differences of large sums must not drown small logarithms.
        let (mut sum, mut lost) = (F::zero(), F::zero());
        for (t, (sum_to, lost_to)) in from_state.iter_mut().zip(&mut *to_end).enumerate() {
            let log = self.log_decay[(self.row * self.shape.seq + self.start + t) * heads + self.head];
            let log = if log < self.least { self.least } else { log };
            let next = sum + log;
            let added = next - sum;
            lost += (sum - (next - added)) + (log - added);
            sum = next;
            (*sum_to, *lost_to) = (sum, lost);
        }
        let (sums, losses) = (&*from_state, &*to_end);
        for (i, row) in within.chunks_exact_mut(len).enumerate() {
            let (at, at_lost) = (sums[i], losses[i]);
            for (decay, (&sum, &lost)) in row[..=i].iter_mut().zip(sums.iter().zip(losses)) {
                *decay = F::fast_exp::<FMA>((at - sum) + (at_lost - lost)).or_nothing();
            }
            row[i + 1..].fill(F::zero());
        }
        for (to_end, &before) in to_end.iter_mut().zip(sums) {
            *to_end = F::fast_exp::<FMA>((sum - before) + (lost - *to_end)).or_nothing();
        }
        for value in from_state.iter_mut() {
            *value = F::fast_exp::<FMA>(*value).or_nothing();
        }
        let mut through = F::fast_exp::<FMA>(sum).or_nothing();
        if let Some(documents) = self.documents {
            // The state before the first token is that of document 0.
            let before = self.start.checked_sub(1).map_or(0, |before| documents[before]);
            let inside = &documents[self.start..self.start + len];
            let last = inside[len - 1];
            for (i, row) in within.chunks_exact_mut(len).enumerate() {
                for (decay, &document) in row[..=i].iter_mut().zip(inside) {
                    *decay = if document == inside[i] { *decay } else { F::zero() };
                }
                from_state[i] = if inside[i] == before { from_state[i] } else { F::zero() };
                to_end[i] = if inside[i] == last { to_end[i] } else { F::zero() };
            }
            through = if last == before { through } else { F::zero() };
        }
        for square in self.scores.chunks_exact_mut(len * len) {
            for (score, &decay) in square.iter_mut().zip(&*within) {
                *score = *score * decay;
            }
        }
        through
    }
}

/// Gradients of weights to gradients of scores, in place, and what they say of the sums of log-decays:
/// `∂W_ij / ∂c_i = W_ij = −∂W_ij / ∂c_j`.
pub(crate) struct Within<'a, F> {
    pub(crate) len: usize,
    pub(crate) weights: &'a [F],
    pub(crate) decays: &'a [F],
    pub(crate) d_weights: &'a mut [F],
    pub(crate) d_sums: &'a mut [F],
}

impl<F: Real> Work for Within<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let rows = self.d_weights.chunks_exact_mut(self.len).zip(self.weights.chunks_exact(self.len));
        let rows = rows.zip(self.decays.chunks_exact(self.len)).take(self.len);
        // Weights and decays are 0 above the diagonal; whole rows are vectors, and these zeros cost less than their ends.
        for (i, ((d_weights, weights), decays)) in rows.enumerate() {
            let along = dot::<F, FMA>(d_weights, weights);
            let columns = d_weights.iter_mut().zip(weights).zip(decays);
            for (((d, &weight), &decay), d_sum) in columns.zip(&mut *self.d_sums) {
                *d_sum = F::fma::<FMA>(-*d, weight, *d_sum);
                *d = *d * decay;
            }
            self.d_sums[i] += along;
        }
    }
}

/// The inputs of a chunked recurrence that may be views: queries, keys and values.
pub(crate) fn reads_views(input: usize) -> bool {
    input < 3
}

/// A state, or its gradient, times the decay through a chunk.
pub(crate) struct Fade<'a, F> {
    pub(crate) state: &'a mut [F],
    pub(crate) through: F,
}

impl<F: Real> Work for Fade<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for value in self.state {
            *value = (*value * self.through).or_nothing();
        }
    }
}
