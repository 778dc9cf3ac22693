//! Softmax attention on the CPU: a tile of queries against blocks of the keys it can see.
//!
//! Scores of [`QUERIES`] by [`KEYS`] live in a buffer of the task's own. The forward goes over a tile's blocks once, with
//! a running maximum and a running sum (arXiv 2205.14135, algorithm 1); the backward makes the weights again from the
//! saved normalisers. So memory is linear in the sequence, and blocks before a window, in the future, or of earlier
//! documents alone are skipped, not masked.
//!
//! Keys (and values, backward) are transposed once, block by block, into the order in which a matrix product wants them;
//! otherwise it would order them again for every tile of queries.

mod backward;
mod few_queries;
mod forward;
mod view;

use rayon::prelude::*;

use super::gemm::Layout;
use super::lanes::{LANES, load, store};
use super::shared::SharedMut;
use super::vectorised::{Work, vectorised};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::HeadBias;
use view::View;

/// Queries of a tile.
const QUERIES: usize = 64;

/// Keys of a block.
const KEYS: usize = 256;

/// Below so many queries, as in decoding, keys are read as they lie.
const FEW_QUERIES: usize = 8;

/// The document of every token.
type Ids = std::sync::Arc<[i32]>;

/// Inputs `q [batch, seq, n_heads, head_dim]`, `k, v [batch, keys, n_kv_heads, dim]`, keys in order of age, each perhaps
/// a view; output as `q`, with the values' `dim`.
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

    /// Token 0 of a head in a contiguous array `[batch, tokens, heads, dim]`: a matrix of tokens by dimensions.
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

/// The rows of a matrix from `token` on.
fn from(layout: Layout, token: usize) -> Layout {
    Layout { start: layout.start + token * layout.rows, ..layout }
}

/// Keys or values of every head, transposed block by block: of each head, then each block, `[dim, stride]`.
struct Transposed<F> {
    blocks: Vec<Vec<F>>,
    heads: usize,
    of_a_head: usize,
    /// From one row of a block to the next: more than a block, and not a power of two, so that a column's rows lie in
    /// different sets of the cache.
    stride: usize,
}

impl<F: Real> Transposed<F> {
    /// Of an input `[batch, tokens, heads, dim]`.
    fn new(x: &Array<'_, F>) -> Self {
        let [batch, tokens, heads, dim] = x.dims.try_into().expect("an input has rank 4");
        let of_a_head = tokens.div_ceil(KEYS);
        let stride = KEYS.min(tokens).next_multiple_of(16) + 16;
        let block = |index| {
            let (head, first) = (index / of_a_head, index % of_a_head * KEYS);
            let at = Layout::of(x, head / heads, first, head % heads);
            let mut to = vec![F::zero(); dim * stride];
            let tokens = KEYS.min(tokens - first);
            vectorised(Transpose { x: x.data, at, tokens, dim, to: &mut to, stride });
            to
        };
        let blocks = (0..batch * heads * of_a_head).into_par_iter().map(block).collect();
        Self { blocks, heads, of_a_head, stride }
    }

    /// The block of one head, from one of its keys on: a matrix `[dim, keys]`.
    fn block(&self, row: usize, head: usize, block: usize, key: usize) -> (&[F], Layout) {
        let data = &self.blocks[(row * self.heads + head) * self.of_a_head + block];
        (data, Layout::new(key - block * KEYS, self.stride, 1))
    }
}

/// Rows of tokens to columns, in tiles of [`LANES`] by [`LANES`].
struct Transpose<'a, F> {
    x: &'a [F],
    at: Layout,
    tokens: usize,
    dim: usize,
    to: &'a mut [F],
    stride: usize,
}

impl<F: Real> Work for Transpose<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { x, at, tokens, dim, to, stride } = self;
        for token in (0..tokens).step_by(LANES) {
            let rows = LANES.min(tokens - token);
            for column in (0..dim).step_by(LANES) {
                let columns = LANES.min(dim - column);
                let mut tile = [[F::zero(); LANES]; LANES];
                for (t, tile) in tile.iter_mut().enumerate().take(rows) {
                    let start = at.start + (token + t) * at.rows + column;
                    *tile = load(&x[start..start + columns]);
                }
                for c in 0..columns {
                    let mut line = [F::zero(); LANES];
                    for (line, tile) in line.iter_mut().zip(&tile) {
                        *line = tile[c];
                    }
                    let start = (column + c) * stride + token;
                    store(&line, &mut to[start..start + rows]);
                }
            }
        }
    }
}

/// The blocks of keys that meet `seen`, and the part of each that does.
fn blocks(seen: std::ops::Range<usize>) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    (seen.start / KEYS..seen.end.div_ceil(KEYS))
        .map(move |block| (block, seen.start.max(block * KEYS)..seen.end.min((block + 1) * KEYS)))
        .filter(|(_, part)| !part.is_empty())
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
}

impl HostOp for Attention {
    fn reads_views(&self, _: usize) -> bool {
        true
    }

    /// Keeps the logarithm of every query's sum, `[batch, n_heads, seq]`, and the output.
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let mut output = zeros(shape.batch * shape.seq * shape.n_heads * shape.value_dim);
        let mut log_sums = vec![F::infinity(); shape.batch * shape.n_heads * shape.seq];
        let (out, sums) = (SharedMut::new(&mut output), SharedMut::new(&mut log_sums));
        if shape.seq < FEW_QUERIES {
            (0..shape.batch * shape.n_heads).into_par_iter().for_each(|task| {
                let (row, head) = (task / shape.n_heads, task % shape.n_heads);
                let view = self.view::<F>(shape, row, head);
                vectorised(few_queries::Head {
                    shape,
                    row,
                    head,
                    view,
                    inputs,
                    scale: F::from_f64(self.scale).expect("a float"),
                    out: &out,
                    log_sums: &sums,
                });
            });
        } else {
            forward::forward(self, shape, inputs, &out, &sums);
        }
        if keep {
            log_sums.extend_from_slice(&output);
        }
        (vec![output], log_sums)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        backward::backward(self, Shape::of(inputs), inputs, kept, grads[0])
    }
}
