//! The affine map of rows, forward and backward, without the copies and the zeroing of a general matrix product.

mod add_rows;
#[cfg(feature = "flex")]
pub(crate) mod bf16;
#[cfg(feature = "flex")]
pub(crate) mod constant;
mod few_rows;
#[cfg(feature = "flex")]
pub(crate) mod int8;

use rayon::prelude::*;

use super::gemm::{Layout, gemm, gemm_on_all_threads, product};
use super::vectorised::{Work, vectorised};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::WeightLayout;

/// Inputs `x [.., d_input]`, `weight` as the layout says, and perhaps `bias [d_output]`; outputs `[.., width]`, the
/// columns of the result cut into pieces of these widths.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) layout: WeightLayout,
    pub(crate) widths: Vec<usize>,
}

/// Up to so many rows the weights are read once for all of them, as they lie.
const FEW_ROWS: usize = 32;

/// Elements of a parallel task that adds or sums.
const CHUNK: usize = 1 << 14;

/// The columns of one output.
#[derive(Clone, Copy)]
struct Piece {
    first: usize,
    width: usize,
    /// Where its weights lie, from input to output.
    weights: Layout,
}

impl Linear {
    fn d_input(&self, dims: &[usize]) -> usize {
        match self.layout {
            WeightLayout::InputFirst => dims[0],
            WeightLayout::OutputFirst => dims[1],
        }
    }

    fn pieces(&self, dims: &[usize]) -> impl Iterator<Item = Piece> {
        let (layout, row) = (self.layout, dims[1]);
        let mut end = 0;
        self.widths.iter().map(move |&width| {
            let first = end;
            end += width;
            let weights = match layout {
                WeightLayout::InputFirst => Layout::new(first, row, 1),
                WeightLayout::OutputFirst => Layout::new(first * row, row, 1).t(),
            };
            Piece { first, width, weights }
        })
    }
}

/// Whole rows of a parallel task.
fn chunk(width: usize) -> usize {
    (CHUNK / width).max(1) * width
}

impl HostOp for Linear {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let (x, weight) = (inputs[0].data, inputs[1]);
        let d_input = self.d_input(weight.dims);
        let rows = x.len() / d_input;
        let output = |Piece { first, width, weights }: Piece| {
            let mut y = match rows {
                0..=FEW_ROWS => few_rows::product(x, (weight.data, weights), [rows, width, d_input]),
                _ => product([rows, width, d_input], (x, Layout::new(0, d_input, 1)), (weight.data, weights)),
            };
            if let Some(bias) = inputs.get(2) {
                let bias = &bias.data[first..first + width];
                y.par_chunks_mut(chunk(width)).for_each(|y| vectorised(AddBias { y, bias }));
            }
            y
        };
        (self.pieces(weight.dims).map(output).collect(), Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        self.backward_of(&[true; 3], inputs, kept, grads)
    }

    fn backward_of<F: Real>(
        &self,
        asked: &[bool],
        inputs: &[Array<'_, F>],
        _: &[F],
        grads: &[&[F]],
    ) -> Vec<Vec<F>> {
        let (of_x, of_weight, of_bias) = (asked[0], asked[1], inputs.len() > 2 && asked[2]);
        let (x, weight) = (inputs[0].data, inputs[1]);
        let d_input = self.d_input(weight.dims);
        let rows = x.len() / d_input;
        let x_at = Layout::new(0, d_input, 1);
        let mut dx = Vec::new();
        let mut d_weight = if of_weight { zeros(weight.data.len()) } else { Vec::new() };
        let mut d_bias = Vec::new();
        for (Piece { width, weights, .. }, &grad) in self.pieces(weight.dims).zip(grads) {
            let grad_at = Layout::new(0, width, 1);
            let (size, back) = ([rows, d_input, width], (weight.data, weights.t()));
            if of_x && dx.is_empty() {
                dx = product(size, (grad, grad_at), back);
            } else if of_x {
                gemm_on_all_threads(size, (&mut dx, x_at), true, (grad, grad_at), back);
            }
            if of_weight {
                weight_gradient([d_input, width], (x, grad), (&mut d_weight, weights));
            }
            if of_bias {
                d_bias.extend(bias_gradient(grad, width));
            }
        }
        let mut grads = vec![dx, d_weight];
        if inputs.len() > 2 {
            grads.push(d_bias);
        }
        grads
    }
}

/// Tokens of a part of the weights' gradient, at least.
const PART: usize = 256;

/// Parts of the bias's gradient, at most.
const SUMMED: usize = 64;

/// Parts of the weights' gradient, at most.
const PARTS: usize = 16;

/// Elements of all parts together, at most: they should stay in the cache. With fewer than four, one product of all
/// tokens is faster: it packs its operands, whose rows are long then.
const ROOM: usize = 1 << 20;

/// `xᵀ grad` to where the weights lie. The inner dimension is the number of tokens, far longer than the others: some
/// tokens each are multiplied apart and the products added, in order, for a matrix product splits its outer dimensions.
fn weight_gradient<F: Real>(
    [d_input, width]: [usize; 2],
    (x, grad): (&[F], &[F]),
    (d_weight, at): (&mut [F], Layout),
) {
    let rows = x.len() / d_input;
    let (x_at, grad_at) = (Layout::new(0, d_input, 1), Layout::new(0, width, 1));
    let parts = (rows / PART).min(PARTS).min(ROOM / (d_input * width));
    if parts < 4 {
        gemm_on_all_threads([d_input, width, rows], (d_weight, at), false, (x, x_at.t()), (grad, grad_at));
        return;
    }
    // Lines of contiguous weights: of an input, or of an output.
    let (line, apart, dense) = match at.columns {
        // Of a single input, whatever the rows' distance, there is one line.
        1 => (width, at.rows.max(width), Layout::new(0, width, 1)),
        _ => (d_input, at.columns, Layout::new(0, 1, d_input)),
    };
    let tokens = rows.div_ceil(parts);
    let pieces = x.par_chunks(tokens * d_input).zip(grad.par_chunks(tokens * width));
    let part = |(x, grad): (&[F], &[F])| {
        let mut sum = vec![F::zero(); d_input * width];
        let size = [d_input, width, grad.len() / width];
        gemm(size, (&mut sum, dense), false, (x, x_at.t()), (grad, grad_at), F::one());
        sum
    };
    let parts: Vec<Vec<F>> = pieces.map(part).collect();
    let lines = d_weight[at.start..].par_chunks_mut(apart).take(d_input * width / line);
    lines.enumerate().for_each(|(index, to)| {
        for part in &parts {
            for (to, &value) in to.iter_mut().zip(&part[index * line..(index + 1) * line]) {
                *to += value;
            }
        }
    });
}

struct AddBias<'a, F> {
    y: &'a mut [F],
    bias: &'a [F],
}

impl<F: Real> Work for AddBias<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for row in self.y.chunks_exact_mut(self.bias.len()) {
            for (y, &bias) in row.iter_mut().zip(self.bias) {
                *y += bias;
            }
        }
    }
}

/// The sum of the rows of a gradient.
fn bias_gradient<F: Real>(grad: &[F], width: usize) -> Vec<F> {
    let part = |rows| vectorised(SumRows { rows, sum: vec![F::zero(); width] });
    // Parts are few beside the rows: they are kept until they are added.
    let len = chunk(width).max((grad.len() / width).div_ceil(SUMMED) * width);
    let parts: Vec<Vec<F>> = grad.par_chunks(len).map(part).collect();
    super::total(width, &parts)
}

struct SumRows<'a, F> {
    rows: &'a [F],
    sum: Vec<F>,
}

impl<F: Real> Work for SumRows<'_, F> {
    type Output = Vec<F>;

    #[inline(always)]
    fn run<const FMA: bool>(mut self) -> Vec<F> {
        for row in self.rows.chunks_exact(self.sum.len()) {
            for (sum, &x) in self.sum.iter_mut().zip(row) {
                *sum += x;
            }
        }
        self.sum
    }
}
