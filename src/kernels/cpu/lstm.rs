//! The recurrence of the LSTM: a task owns some rows of the batch, and goes through their tokens.

use rayon::prelude::*;

use super::gemm::{Layout, gemm, gemm_on_all_threads};
use super::shared::{SharedMut, zeros};
use super::tokens::{Token, tokens};
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;

/// Inputs `gates [batch, seq, 4 · d]` (what the input says to i, f, o and g), `recurrent [d, 4 · d]`, `hidden` and
/// `cell [batch, d]`; outputs `h [batch, seq, d]`, then the last `hidden` and `cell`.
///
/// Keeps of every token i, f, o and g, then the cell and the hidden state, `[batch, seq, 6 · d]`.
#[derive(Clone, Debug)]
pub(crate) struct Lstm {
    pub(crate) segments: Option<Segments>,
}

/// Rows of a task: the recurrent weights are read once for all of them.
const ROWS: usize = 16;

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    d: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>]) -> Self {
        let [batch, seq, _] = inputs[0].dims.try_into().expect("gates have rank 3");
        Self { batch, seq, d: inputs[1].dims[0] }
    }
}

/// One token of one row, forward: from what is said to the gates to the new cell and hidden state, in place.
struct Cell<'a, F> {
    /// i, f, o and g, before and then after their functions.
    gates: &'a mut [F],
    cell: &'a mut [F],
    hidden: &'a mut [F],
}

impl<F: Real> Work for Cell<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let d = self.cell.len();
        let (i, rest) = self.gates.split_at_mut(d);
        let (f, rest) = rest.split_at_mut(d);
        let (o, g) = rest.split_at_mut(d);
        for n in 0..d {
            i[n] = F::sigmoid::<FMA>(i[n]);
            f[n] = F::sigmoid::<FMA>(f[n]);
            o[n] = F::sigmoid::<FMA>(o[n]);
            g[n] = F::fast_tanh::<FMA>(g[n]);
            self.cell[n] = F::fma::<FMA>(f[n], self.cell[n], i[n] * g[n]);
            self.hidden[n] = o[n] * F::fast_tanh::<FMA>(self.cell[n]);
        }
    }
}

/// One token of one row, back.
struct CellBack<'a, F> {
    /// i, f, o and g.
    gates: &'a [F],
    cell: &'a [F],
    cell_before: &'a [F],
    d_hidden: &'a [F],
    /// Of the cell after, then of the cell before.
    d_cell: &'a mut [F],
    /// Of what was said to the gates.
    d_gates: &'a mut [F],
}

impl<F: Real> Work for CellBack<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let d = self.cell.len();
        let one = F::one();
        let [i, f, o, g] = [0, 1, 2, 3].map(|gate| &self.gates[gate * d..(gate + 1) * d]);
        let (d_i, rest) = self.d_gates.split_at_mut(d);
        let (d_f, rest) = rest.split_at_mut(d);
        let (d_o, d_g) = rest.split_at_mut(d);
        for n in 0..d {
            let said = F::fast_tanh::<FMA>(self.cell[n]);
            let d_cell = F::fma::<FMA>(self.d_hidden[n] * o[n], one - said * said, self.d_cell[n]);
            d_o[n] = self.d_hidden[n] * said * o[n] * (one - o[n]);
            d_i[n] = d_cell * g[n] * i[n] * (one - i[n]);
            d_f[n] = d_cell * self.cell_before[n] * f[n] * (one - f[n]);
            d_g[n] = d_cell * i[n] * (one - g[n] * g[n]);
            self.d_cell[n] = d_cell * f[n];
        }
    }
}

impl HostOp for Lstm {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let Shape { batch, seq, d } = shape;
        let (said, recurrent) = (inputs[0].data, inputs[1].data);
        let tokens = tokens(self.segments.as_ref(), batch, seq);
        let (mut hidden, mut cell) = (inputs[2].data.to_vec(), inputs[3].data.to_vec());
        let mut h = zeros(batch * seq * d);
        let mut kept = zeros(if keep { batch * seq * 6 * d } else { 0 });
        let (h_shared, kept_shared) = (SharedMut::new(&mut h), SharedMut::new(&mut kept));
        let states = hidden.par_chunks_mut(ROWS * d).zip(cell.par_chunks_mut(ROWS * d));
        states.enumerate().for_each(|(task, (hidden, cell))| {
            let rows = cell.len() / d;
            let mut gates = vec![F::zero(); rows * 4 * d];
            for t in 0..seq {
                for row in 0..rows {
                    let token = (task * ROWS + row) * seq + t;
                    gates[row * 4 * d..(row + 1) * 4 * d]
                        .copy_from_slice(&said[token * 4 * d..(token + 1) * 4 * d]);
                    if tokens[token] == Token::Reset {
                        hidden[row * d..(row + 1) * d].fill(F::zero());
                        cell[row * d..(row + 1) * d].fill(F::zero());
                    }
                }
                let wide = Layout::new(0, 4 * d, 1);
                let of_hidden = (&*hidden, Layout::new(0, d, 1));
                gemm([rows, 4 * d, d], (&mut gates, wide), true, of_hidden, (recurrent, wide), F::one());
                for row in 0..rows {
                    let token = (task * ROWS + row) * seq + t;
                    let gates = &mut gates[row * 4 * d..(row + 1) * 4 * d];
                    let (cell, hidden) =
                        (&mut cell[row * d..(row + 1) * d], &mut hidden[row * d..(row + 1) * d]);
                    if tokens[token] != Token::Padding {
                        vectorised(Cell { gates, cell, hidden });
                    }
                    // SAFETY: the tokens of a row belong to its task.
                    unsafe { h_shared.at(token * d, d) }.copy_from_slice(hidden);
                    if keep {
                        // SAFETY: as above.
                        let kept = unsafe { kept_shared.at(token * 6 * d, 6 * d) };
                        kept[..4 * d].copy_from_slice(gates);
                        kept[4 * d..5 * d].copy_from_slice(cell);
                        kept[5 * d..].copy_from_slice(hidden);
                    }
                }
            }
        });
        (vec![h, hidden, cell], kept)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let Shape { batch, seq, d } = shape;
        let tokens = tokens(self.segments.as_ref(), batch, seq);
        let (mut d_hidden, mut d_cell) = (grads[1].to_vec(), grads[2].to_vec());
        let mut d_said = zeros(batch * seq * 4 * d);
        // The hidden state before every token.
        let mut before = zeros(batch * seq * d);
        let (d_said_shared, before_shared) = (SharedMut::new(&mut d_said), SharedMut::new(&mut before));
        let states = d_hidden.par_chunks_mut(ROWS * d).zip(d_cell.par_chunks_mut(ROWS * d));
        states.enumerate().for_each(|(task, (d_hidden, d_cell))| {
            let rows = d_cell.len() / d;
            let mut d_gates = vec![F::zero(); rows * 4 * d];
            let nothing = vec![F::zero(); d];
            for t in (0..seq).rev() {
                for row in 0..rows {
                    let global = task * ROWS + row;
                    let token = global * seq + t;
                    let d_hidden = &mut d_hidden[row * d..(row + 1) * d];
                    for (sum, &grad) in d_hidden.iter_mut().zip(&grads[0][token * d..(token + 1) * d]) {
                        *sum += grad;
                    }
                    let d_gates = &mut d_gates[row * 4 * d..(row + 1) * 4 * d];
                    if tokens[token] == Token::Padding {
                        d_gates.fill(F::zero());
                        continue;
                    }
                    let (hidden_before, cell_before) = match (tokens[token], t) {
                        (Token::Reset, _) => (&*nothing, &*nothing),
                        (_, 0) => {
                            let row = global * d..(global + 1) * d;
                            (&inputs[2].data[row.clone()], &inputs[3].data[row])
                        }
                        _ => {
                            let kept = &kept[(token - 1) * 6 * d..token * 6 * d];
                            (&kept[5 * d..], &kept[4 * d..5 * d])
                        }
                    };
                    let kept = &kept[token * 6 * d..(token + 1) * 6 * d];
                    vectorised(CellBack {
                        gates: &kept[..4 * d],
                        cell: &kept[4 * d..5 * d],
                        cell_before,
                        d_hidden,
                        d_cell: &mut d_cell[row * d..(row + 1) * d],
                        d_gates,
                    });
                    // SAFETY: the tokens of a row belong to its task.
                    unsafe { d_said_shared.at(token * 4 * d, 4 * d) }.copy_from_slice(d_gates);
                    // SAFETY: as above.
                    unsafe { before_shared.at(token * d, d) }.copy_from_slice(hidden_before);
                    // What follows comes through the gates alone.
                    d_hidden.fill(F::zero());
                }
                let wide = Layout::new(0, 4 * d, 1);
                let (size, to) = ([rows, d, 4 * d], (&mut *d_hidden, Layout::new(0, d, 1)));
                gemm(size, to, true, (&d_gates, wide), (inputs[1].data, wide.t()), F::one());
                for row in 0..rows {
                    if tokens[(task * ROWS + row) * seq + t] == Token::Reset {
                        d_hidden[row * d..(row + 1) * d].fill(F::zero());
                        d_cell[row * d..(row + 1) * d].fill(F::zero());
                    }
                }
            }
        });
        let mut d_recurrent = zeros(d * 4 * d);
        let wide = Layout::new(0, 4 * d, 1);
        let before = (before.as_slice(), Layout::new(0, d, 1).t());
        gemm_on_all_threads(
            [d, 4 * d, batch * seq],
            (&mut d_recurrent, wide),
            false,
            before,
            (&d_said, wide),
        );
        vec![d_said, d_recurrent, d_hidden, d_cell]
    }
}
