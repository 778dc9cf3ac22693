//! Causal depthwise convolution of rows, with the window before them, and perhaps an activation behind it.
//!
//! A task owns some tokens of a row, and all their channels. Backward it convolves again, to know where the activation
//! stood, and gathers: the gradient of an input comes from the tokens up to `d_conv − 1` after it.

mod backward;
mod forward;

use rayon::prelude::*;

use super::shared::SharedMut;
use super::total;
use super::vectorised::vectorised;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;

/// Inputs `x [batch, seq, channels]`, `weight [d_conv, channels]`, `bias [channels]`, `window [batch, d_conv − 1,
/// channels]`; outputs `[batch, seq, width]`, the channels cut into pieces of these widths, then the last window.
#[derive(Clone, Debug)]
pub(crate) struct CausalConv {
    pub(crate) segments: Option<Segments>,
    pub(crate) activation: Option<Elementwise>,
    pub(crate) widths: Vec<usize>,
}

/// Elements of a task, about: its inputs and outputs stay in the second cache.
const TASK: usize = 1 << 14;

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    channels: usize,
    d_conv: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>]) -> Self {
        let [batch, seq, channels] = inputs[0].dims.try_into().expect("x has rank 3");
        Self { batch, seq, channels, d_conv: inputs[1].dims[0] }
    }

    fn past(&self) -> usize {
        self.d_conv - 1
    }

    /// Tokens of a task.
    fn block(&self) -> usize {
        (TASK / self.channels).clamp(16, 256)
    }

    /// Row and tokens of every task.
    fn tasks(self) -> impl IndexedParallelIterator<Item = (usize, std::ops::Range<usize>)> {
        let blocks = self.seq.div_ceil(self.block());
        (0..self.batch * blocks).into_par_iter().map(move |task| {
            let start = task % blocks * self.block();
            (task / blocks, start..(start + self.block()).min(self.seq))
        })
    }
}

/// One row: its inputs, and which taps count.
#[derive(Clone, Copy)]
struct Row<'a, F> {
    shape: Shape,
    x: &'a [F],
    window: &'a [F],
    weight: &'a [F],
    bias: &'a [F],
    /// For every token, how many inputs before it belong to its document.
    reach: &'a [usize],
}

impl<F: Real> Row<'_, F> {
    /// Input `column`, counted from the start of the earlier window.
    #[inline(always)]
    fn input(&self, column: usize) -> &[F] {
        let (width, past) = (self.shape.channels, self.shape.past());
        match column.checked_sub(past) {
            None => &self.window[column * width..(column + 1) * width],
            Some(t) => &self.x[t * width..(t + 1) * width],
        }
    }

    #[inline(always)]
    fn tap(&self, tap: usize) -> &[F] {
        &self.weight[tap * self.shape.channels..(tap + 1) * self.shape.channels]
    }

    /// The first tap of token `t` that counts.
    #[inline(always)]
    fn first_tap(&self, t: usize) -> usize {
        self.shape.past().saturating_sub(self.reach[t])
    }

    /// The convolution at token `t`.
    #[inline(always)]
    fn convolve<const FMA: bool>(&self, t: usize, y: &mut [F]) {
        y.copy_from_slice(self.bias);
        for tap in self.first_tap(t)..self.shape.d_conv {
            for ((y, &x), &w) in y.iter_mut().zip(self.input(t + tap)).zip(self.tap(tap)) {
                *y = F::fma::<FMA>(x, w, *y);
            }
        }
    }
}

impl CausalConv {
    /// `reach` of every token of every row.
    fn reach(&self, shape: Shape) -> Vec<usize> {
        let Some(segments) = &self.segments else { return vec![usize::MAX; shape.batch * shape.seq] };
        let row = |row| {
            let mut reach = usize::MAX;
            segments.resets(row).into_iter().map(move |reset| {
                reach = if reset { 0 } else { reach.saturating_add(1) };
                reach
            })
        };
        (0..shape.batch).flat_map(row).collect()
    }

    /// For every row, where its last window begins among the inputs, the earlier window included, and the columns of it
    /// that count.
    fn last(&self, shape: Shape) -> Vec<(usize, std::ops::Range<usize>)> {
        let past = shape.past();
        match &self.segments {
            None => vec![(shape.seq, 0..past); shape.batch],
            Some(segments) => {
                let documents = segments.last_documents();
                let rows = segments.tokens().into_iter().zip(documents);
                rows.map(|(tokens, (last, began))| {
                    (tokens, if began { past.saturating_sub(last) } else { 0 }..past)
                })
                .collect()
            }
        }
    }

    fn row<'a, F: Real>(shape: Shape, row: usize, inputs: &[Array<'a, F>], reach: &'a [usize]) -> Row<'a, F> {
        let (x, window) = (shape.seq * shape.channels, shape.past() * shape.channels);
        Row {
            shape,
            x: &inputs[0].data[row * x..(row + 1) * x],
            window: &inputs[3].data[row * window..(row + 1) * window],
            weight: inputs[1].data,
            bias: inputs[2].data,
            reach: &reach[row * shape.seq..(row + 1) * shape.seq],
        }
    }
}

impl HostOp for CausalConv {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let reach = self.reach(shape);
        let mut outputs: Vec<Vec<F>> =
            self.widths.iter().map(|width| zeros(shape.batch * shape.seq * width)).collect();
        let pieces: Vec<SharedMut<'_, F>> = outputs.iter_mut().map(|piece| SharedMut::new(piece)).collect();
        shape.tasks().for_each(|(row, tokens)| {
            let first = row * shape.seq;
            let row = Self::row(shape, row, inputs, &reach);
            let (activation, widths) = (self.activation, self.widths.as_slice());
            vectorised(forward::Forward { row, tokens, first, activation, pieces: &pieces, widths });
        });
        let width = shape.channels;
        let mut last = zeros(shape.batch * shape.past() * width);
        for (row, (begin, columns)) in self.last(shape).into_iter().enumerate() {
            let inputs = Self::row(shape, row, inputs, &reach);
            for column in columns {
                let place = (row * shape.past() + column) * width;
                last[place..place + width].copy_from_slice(inputs.input(begin + column));
            }
        }
        outputs.push(last);
        (outputs, Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let (reach, width, past) = (self.reach(shape), shape.channels, shape.past());
        let (grad_last, grad_pieces) = grads.split_last().expect("the last window is an output");
        let mut dx = zeros(shape.batch * shape.seq * width);
        let mut d_window = zeros(shape.batch * past * width);
        let (dx_shared, window_shared) = (SharedMut::new(&mut dx), SharedMut::new(&mut d_window));
        let parts: Vec<(Vec<F>, Vec<F>)> = shape
            .tasks()
            .map(|(index, tokens)| {
                vectorised(backward::Backward {
                    row: Self::row(shape, index, inputs, &reach),
                    index,
                    tokens,
                    activation: self.activation,
                    grads: grad_pieces,
                    widths: &self.widths,
                    dx: &dx_shared,
                    d_window: &window_shared,
                })
            })
            .collect();
        for (row, (begin, columns)) in self.last(shape).into_iter().enumerate() {
            for column in columns {
                let from = (row * past + column) * width;
                let d_input = match (begin + column).checked_sub(past) {
                    None => &mut d_window[(row * past + begin + column) * width..][..width],
                    Some(t) => &mut dx[(row * shape.seq + t) * width..][..width],
                };
                for (d_input, &grad) in d_input.iter_mut().zip(&grad_last[from..from + width]) {
                    *d_input += grad;
                }
            }
        }
        let (of_weights, of_bias): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        vec![dx, total(inputs[1].data.len(), &of_weights), total(width, &of_bias), d_window]
    }
}
