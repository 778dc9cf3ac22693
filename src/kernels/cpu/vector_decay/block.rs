//! A block of tokens of one head: decayed queries and keys, and the weights within.

use super::super::gemm::{Layout, gemm};
use super::super::lanes::{LANES, Lanes, faded, fma, spread, sum, times};
use super::super::vectorised::{Work, vectorised};
use super::Shape;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// Tokens of a block: enough for matrix products, few enough that the work within, [`BLOCK`] / 2 · `key_dim` a token, is
/// small beside them.
pub(super) const BLOCK: usize = 16;

/// Where the weights of a block lie, or any `[BLOCK, BLOCK]`.
pub(super) const SQUARE: Layout = Layout { start: 0, rows: BLOCK, columns: 1 };

/// One vector of each token's row: what loops run over, so that it lies together and stays put.
pub(super) type Column<F> = [Lanes<F>; BLOCK];

/// Rows of keys as vectors, the last filled up with zeros.
pub(super) struct Rows<F> {
    /// `[BLOCK, vectors]`.
    lanes: Vec<Lanes<F>>,
    vectors: usize,
}

impl<F: Real> Rows<F> {
    pub(super) fn new(shape: Shape) -> Self {
        let vectors = shape.key_vectors();
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
    pub(super) fn row(&self, t: usize) -> &[Lanes<F>] {
        &self.lanes[t * self.vectors..(t + 1) * self.vectors]
    }

    fn row_mut(&mut self, t: usize) -> &mut [Lanes<F>] {
        &mut self.lanes[t * self.vectors..(t + 1) * self.vectors]
    }

    #[inline(always)]
    pub(super) fn column(&self, n: usize) -> Column<F> {
        let mut column = [[F::zero(); LANES]; BLOCK];
        for (lanes, row) in column.iter_mut().zip(self.lanes.chunks_exact(self.vectors)) {
            *lanes = row[n];
        }
        column
    }

    #[inline(always)]
    pub(super) fn set_column(&mut self, n: usize, column: &Column<F>) {
        for (lanes, row) in column.iter().zip(self.lanes.chunks_exact_mut(self.vectors)) {
            row[n] = *lanes;
        }
    }
}

/// What forward and backward need of a block.
pub(super) struct Block<F> {
    pub(super) len: usize,
    pub(super) q: Rows<F>,
    pub(super) k: Rows<F>,
    pub(super) decay: Rows<F>,
    /// `P(i, 0) ⊙ q_i`: what reads the state before.
    pub(super) reads: Rows<F>,
    /// `P(T, j) ⊙ k_j`: what writes to the state after.
    pub(super) writes: Rows<F>,
    /// `P(T, 0)`.
    pub(super) through: Vec<Lanes<F>>,
    /// Whether a decay through the block is negligible; where none is, no product within is.
    pub(super) fades: bool,
    /// `[BLOCK, BLOCK]`, 0 above the diagonal.
    pub(super) weights: Vec<F>,
}

impl<F: Real> Block<F> {
    pub(super) fn new(shape: Shape) -> Self {
        let rows = || Rows::new(shape);
        Self {
            len: 0,
            q: rows(),
            k: rows(),
            decay: rows(),
            reads: rows(),
            writes: rows(),
            through: vec![[F::zero(); LANES]; shape.key_vectors()],
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
        let inputs =
            [0, 1, 3].map(|input| (inputs[input].data, Layout::of(&inputs[input], row, start, head)));
        vectorised(Fill { shape, inputs, block: self });
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
    /// Queries, keys and log-decays.
    inputs: [(&'a [F], Layout); 3],
    block: &'a mut Block<F>,
}

impl<F: Real> Work for Fill<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { shape, inputs, block } = self;
        for t in 0..block.len {
            let [q, k, log_decay] = inputs.map(|(data, at)| &data[at.start + t * at.rows..][..shape.key_dim]);
            spread(block.q.row_mut(t), q);
            spread(block.k.row_mut(t), k);
            let decays = block.decay.row_mut(t);
            spread(decays, log_decay);
            for decay in decays.as_flattened_mut() {
                *decay = F::fast_exp::<FMA>(*decay).or_nothing();
            }
        }
        let mut fades = false;
        let mut sums = [[[F::zero(); LANES]; BLOCK]; BLOCK];
        for n in 0..block.through.len() {
            let columns = [block.q.column(n), block.k.column(n), block.decay.column(n)];
            if block.decayed(n, &columns) {
                fades = true;
                weigh::<F, FMA, true>(block.len, &columns, &mut sums);
            } else {
                weigh::<F, FMA, false>(block.len, &columns, &mut sums);
            }
        }
        block.fades = fades;
        for (i, sums) in sums.iter().enumerate().take(block.len) {
            for (weight, sums) in block.weights[i * BLOCK..=i * BLOCK + i].iter_mut().zip(sums) {
                *weight = sum(sums);
            }
        }
    }
}

impl<F: Real> Block<F> {
    /// Fills in a column of `reads`, `writes` and `through`, and says whether a decay through the block is negligible.
    #[inline(always)]
    fn decayed(&mut self, n: usize, [q, k, decay]: &[Column<F>; 3]) -> bool {
        let (mut reads, mut writes) = (*q, *k);
        let mut product = [F::one(); LANES];
        for (query, decay) in reads.iter_mut().zip(decay).take(self.len) {
            product = faded(&product, decay);
            *query = times(query, &product);
        }
        self.through[n] = product;
        let fades = product.contains(&F::zero());
        product = [F::one(); LANES];
        for (key, decay) in writes.iter_mut().zip(decay).take(self.len).rev() {
            *key = times(key, &product);
            product = faded(&product, decay);
        }
        self.reads.set_column(n, &reads);
        self.writes.set_column(n, &writes);
        fades
    }
}

/// Adds a column's part of the weights: on its way from a token back to the block's first, a query decays.
#[inline(always)]
fn weigh<F: Real, const FMA: bool, const FADES: bool>(
    len: usize,
    [q, k, decay]: &[Column<F>; 3],
    sums: &mut [Column<F>; BLOCK],
) {
    let product = if FADES { faded } else { times };
    for (i, sums) in sums.iter_mut().enumerate().take(len) {
        let mut query = q[i];
        for j in (0..=i).rev() {
            sums[j] = fma::<F, FMA>(&query, &k[j], &sums[j]);
            query = product(&query, &decay[j]);
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
