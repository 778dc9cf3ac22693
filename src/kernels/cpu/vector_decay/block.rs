//! A block of tokens of one head: decayed queries and keys, and the weights within.

use super::super::gemm::{Layout, gemm};
use super::super::lanes::{LANES, Lanes, faded, fma, load, sum, times};
use super::super::vectorised::{Work, vectorised};
use super::Shape;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// Tokens of a block: enough for matrix products, few enough that the work within, [`BLOCK`] / 2 · `key_dim` a token, is
/// small beside them.
pub(super) const BLOCK: usize = 16;

/// Where the weights of a block lie, or any `[BLOCK, BLOCK]`.
pub(super) const SQUARE: Layout = Layout { start: 0, rows: BLOCK, columns: 1 };

/// Rows of keys as vectors, the last filled up with zeros.
pub(super) struct Rows<F> {
    /// `[BLOCK, vectors]`.
    pub(super) lanes: Vec<Lanes<F>>,
    vectors: usize,
}

impl<F: Real> Rows<F> {
    pub(super) fn new(shape: Shape) -> Self {
        let vectors = shape.key_dim.div_ceil(LANES);
        Self { lanes: vec![[F::zero(); LANES]; BLOCK * vectors], vectors }
    }

    /// As a matrix `[BLOCK, key_dim]`.
    pub(super) fn matrix(&self) -> (&[F], Layout) {
        (self.lanes.as_flattened(), Layout::new(0, self.vectors * LANES, 1))
    }

    pub(super) fn matrix_mut(&mut self) -> (&mut [F], Layout) {
        (self.lanes.as_flattened_mut(), Layout::new(0, self.vectors * LANES, 1))
    }

    /// The row of a token.
    pub(super) fn row(&self, t: usize) -> &[F] {
        self.lanes[t * self.vectors..(t + 1) * self.vectors].as_flattened()
    }
}

/// What forward and backward need of a block.
pub(super) struct Block<F> {
    pub(super) len: usize,
    /// Vectors of a row of keys.
    pub(super) vectors: usize,
    pub(super) q: Rows<F>,
    pub(super) k: Rows<F>,
    pub(super) decay: Rows<F>,
    /// `P(i, 0) ⊙ q_i`: what reads the state before.
    pub(super) reads: Rows<F>,
    /// `P(T, j) ⊙ k_j`: what writes to the state after.
    pub(super) writes: Rows<F>,
    /// `P(T, 0)`.
    pub(super) through: Vec<Lanes<F>>,
    /// Whether a decay through the block is negligible. Where none is, no product within is.
    pub(super) fades: bool,
    /// `[BLOCK, BLOCK]`, 0 above the diagonal.
    pub(super) weights: Vec<F>,
}

impl<F: Real> Block<F> {
    pub(super) fn new(shape: Shape) -> Self {
        let rows = || Rows::new(shape);
        let vectors = shape.key_dim.div_ceil(LANES);
        Self {
            len: 0,
            vectors,
            q: rows(),
            k: rows(),
            decay: rows(),
            reads: rows(),
            writes: rows(),
            through: vec![[F::zero(); LANES]; vectors],
            fades: false,
            weights: vec![F::zero(); BLOCK * BLOCK],
        }
    }

    /// Makes this the block of `len` tokens from `start` on.
    pub(super) fn fill(
        &mut self,
        shape: Shape,
        inputs: &[Array<'_, F>],
        [row, head, start, len]: [usize; 4],
    ) {
        self.len = len;
        let [q, k, log_decay] = [0, 1, 3].map(|input| inputs[input].data);
        vectorised(Fill { shape, q, k, log_decay, row, head, start, block: self });
    }

    /// The state after the block from that before; `values` are the block's.
    pub(super) fn advance(&self, shape: Shape, state: &mut [F], (v, values): (&[F], Layout)) {
        let (writes, of_keys) = self.writes.matrix();
        let of_values = Layout::new(0, shape.value_dim, 1);
        vectorised(Decay { state, value_dim: shape.value_dim, through: self.through.as_flattened() });
        let sizes = [shape.key_dim, shape.value_dim, self.len];
        gemm(sizes, (state, of_values), true, (writes, of_keys.t()), (v, values), F::one());
    }
}

struct Fill<'a, F> {
    shape: Shape,
    q: &'a [F],
    k: &'a [F],
    log_decay: &'a [F],
    row: usize,
    head: usize,
    start: usize,
    block: &'a mut Block<F>,
}

impl<F: Real> Work for Fill<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { shape, q, k, log_decay, row, head, start, block } = self;
        let (len, vectors) = (block.len, block.vectors);
        for t in 0..len {
            let place = shape.key(row, start + t, head);
            let row = place..place + shape.key_dim;
            let parts = q[row.clone()].chunks(LANES).zip(k[row.clone()].chunks(LANES));
            for (n, ((q, k), log_decay)) in parts.zip(log_decay[row].chunks(LANES)).enumerate() {
                let at = t * vectors + n;
                block.q.lanes[at] = load(q);
                block.k.lanes[at] = load(k);
                let mut decay = load(log_decay);
                decay.iter_mut().for_each(|decay| *decay = F::fast_exp::<FMA>(*decay).or_nothing());
                block.decay.lanes[at] = decay;
            }
        }
        block.decayed();
        if block.fades {
            block.weigh::<FMA, true>();
        } else {
            block.weigh::<FMA, false>();
        }
    }
}

impl<F: Real> Block<F> {
    /// Fills in `reads`, `writes`, `through` and `fades`.
    #[inline(always)]
    fn decayed(&mut self) {
        let vectors = self.vectors;
        self.fades = false;
        for n in 0..vectors {
            let mut product = [F::one(); LANES];
            for at in (0..self.len).map(|t| t * vectors + n) {
                product = faded(&product, &self.decay.lanes[at]);
                self.reads.lanes[at] = times(&self.q.lanes[at], &product);
            }
            self.through[n] = product;
            self.fades |= product.iter().fold(F::one(), |least, &decay| least.min(decay)) == F::zero();
            let mut product = [F::one(); LANES];
            for at in (0..self.len).rev().map(|t| t * vectors + n) {
                self.writes.lanes[at] = times(&self.k.lanes[at], &product);
                product = faded(&product, &self.decay.lanes[at]);
            }
        }
    }

    /// Fills in `weights`: from each token back to the block's first, the query decays on its way.
    #[inline(always)]
    fn weigh<const FMA: bool, const FADES: bool>(&mut self) {
        let vectors = self.vectors;
        for i in 0..self.len {
            let mut sums = [[F::zero(); LANES]; BLOCK];
            for n in 0..vectors {
                let mut query = self.q.lanes[i * vectors + n];
                for (j, sum) in sums[..=i].iter_mut().enumerate().rev() {
                    let at = j * vectors + n;
                    *sum = fma::<F, FMA>(&query, &self.k.lanes[at], sum);
                    let product = if FADES { faded } else { times };
                    query = product(&query, &self.decay.lanes[at]);
                }
            }
            for (weight, sums) in self.weights[i * BLOCK..=i * BLOCK + i].iter_mut().zip(&sums) {
                *weight = sum(sums);
            }
        }
    }
}

struct Decay<'a, F> {
    state: &'a mut [F],
    value_dim: usize,
    /// A factor for each row of the state.
    through: &'a [F],
}

impl<F: Real> Work for Decay<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (row, &through) in self.state.chunks_exact_mut(self.value_dim).zip(self.through) {
            row.iter_mut().for_each(|value| *value = (*value * through).or_nothing());
        }
    }
}
