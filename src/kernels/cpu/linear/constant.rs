//! The affine map with weights that are narrower than what they are multiplied with, and take no gradient.
//!
//! A few rows read them as they are; many rows are multiplied by the weights made floats, a cost that they share.

use std::fmt::Debug;

use rayon::prelude::*;

use super::{AddBias, FEW_ROWS, bias_gradient, chunk, product};
use crate::kernels::cpu::gemm::Layout;
use crate::kernels::cpu::vectorised::vectorised;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Weights `[d_input, d_output]` in a format of their own.
pub(crate) trait Constant: Debug + Send + Sync + 'static {
    fn dims(&self) -> [usize; 2];

    /// All of them, row after row.
    fn floats<F: Real>(&self) -> Vec<F>;

    /// `x` times the weights, read as they are.
    fn few_rows<F: Real>(&self, x: &[F]) -> Vec<F>;
}

/// Inputs `x [.., d_input]` and perhaps `bias [d_output]`; outputs `[.., width]`, the columns of the result cut into
/// pieces of these widths.
#[derive(Clone, Debug)]
pub(crate) struct ConstantLinear<W> {
    pub(crate) weights: W,
    pub(crate) widths: Vec<usize>,
}

/// Cuts rows into pieces of these widths.
fn cut<F: Real>(rows: &[F], widths: &[usize]) -> Vec<Vec<F>> {
    let mut start = 0;
    let piece = |&width: &usize| {
        start += width;
        let piece = start - width..start;
        rows.chunks_exact(widths.iter().sum()).flat_map(|row| &row[piece.clone()]).copied().collect()
    };
    widths.iter().map(piece).collect()
}

impl<W: Constant> HostOp for ConstantLinear<W> {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let ([d_input, d_output], x) = (self.weights.dims(), inputs[0].data);
        let rows = x.len() / d_input;
        let mut y = match rows {
            0 => Vec::new(),
            1..=FEW_ROWS => self.weights.few_rows(x),
            _ => {
                let weights = self.weights.floats::<F>();
                let size = [rows, d_output, d_input];
                product(size, (x, Layout::new(0, d_input, 1)), (&weights, Layout::new(0, d_output, 1)))
            }
        };
        if let Some(bias) = inputs.get(1) {
            let bias = bias.data;
            y.par_chunks_mut(chunk(d_output)).for_each(|y| vectorised(AddBias { y, bias }));
        }
        let outputs = if self.widths.len() == 1 { vec![y] } else { cut(&y, &self.widths) };
        (outputs, Vec::new())
    }

    /// Of the input and the bias.
    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let [d_input, d_output] = self.weights.dims();
        let weights = self.weights.floats::<F>();
        let rows = inputs[0].len() / d_input;
        let mut dx = vec![F::zero(); rows * d_input];
        let mut d_bias = Vec::new();
        let mut first = 0;
        for (&grad, &width) in grads.iter().zip(&self.widths) {
            let back = (weights.as_slice(), Layout::new(first, d_output, 1).t());
            let part = product([rows, d_input, width], (grad, Layout::new(0, width, 1)), back);
            dx.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            if inputs.len() > 1 {
                d_bias.extend(bias_gradient(grad, width));
            }
            first += width;
        }
        let mut grads = vec![dx];
        if inputs.len() > 1 {
            grads.push(d_bias);
        }
        grads
    }
}
