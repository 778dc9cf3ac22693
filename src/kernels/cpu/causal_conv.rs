//! Causal depthwise convolution of rows, with the window before them.

use rayon::prelude::*;

use super::total;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;

/// Inputs `x [batch, seq, channels]`, `weight [d_conv, channels]`, `bias [channels]`, `window [batch, d_conv − 1,
/// channels]`; output `y` as `x`, then the last window.
#[derive(Clone, Debug)]
pub(crate) struct CausalConv {
    pub(crate) segments: Option<Segments>,
}

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
}

/// One row: its inputs, and which taps count.
#[derive(Clone, Copy)]
struct Row<'a, F> {
    shape: Shape,
    x: &'a [F],
    window: &'a [F],
    weight: &'a [F],
    /// For every token, how many inputs before it belong to its document.
    reach: &'a [usize],
    /// Where the last window begins among the inputs, the earlier window included, and its columns that count.
    last: usize,
    last_reach: usize,
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

    /// The columns of the last window that count.
    fn kept(&self) -> std::ops::Range<usize> {
        self.shape.past().saturating_sub(self.last_reach)..self.shape.past()
    }
}

struct Forward<'a, F> {
    row: Row<'a, F>,
    bias: &'a [F],
    y: &'a mut [F],
    last: &'a mut [F],
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Shape { seq, channels, d_conv, .. } = self.row.shape;
        for t in 0..seq {
            let y = &mut self.y[t * channels..(t + 1) * channels];
            y.copy_from_slice(self.bias);
            for tap in self.row.first_tap(t)..d_conv {
                for ((y, &x), &w) in y.iter_mut().zip(self.row.input(t + tap)).zip(self.row.tap(tap)) {
                    *y = F::fma::<FMA>(x, w, *y);
                }
            }
        }
        for column in self.row.kept() {
            let input = self.row.input(self.row.last + column);
            self.last[column * channels..(column + 1) * channels].copy_from_slice(input);
        }
    }
}

struct Backward<'a, F> {
    row: Row<'a, F>,
    grad_y: &'a [F],
    grad_last: &'a [F],
    dx: &'a mut [F],
    d_window: &'a mut [F],
}

impl<F: Real> Work for Backward<'_, F> {
    /// Gradients of the weight and of the bias.
    type Output = (Vec<F>, Vec<F>);

    #[inline(always)]
    fn run<const FMA: bool>(self) -> (Vec<F>, Vec<F>) {
        let Shape { seq, channels, d_conv, .. } = self.row.shape;
        let past = self.row.shape.past();
        let mut d_weight = vec![F::zero(); d_conv * channels];
        let mut d_bias = vec![F::zero(); channels];
        for t in 0..seq {
            let grad = &self.grad_y[t * channels..(t + 1) * channels];
            for (sum, &grad) in d_bias.iter_mut().zip(grad) {
                *sum += grad;
            }
            for tap in self.row.first_tap(t)..d_conv {
                let sums = &mut d_weight[tap * channels..(tap + 1) * channels];
                for ((sum, &x), &grad) in sums.iter_mut().zip(self.row.input(t + tap)).zip(grad) {
                    *sum = F::fma::<FMA>(x, grad, *sum);
                }
                let weight = self.row.tap(tap);
                let (row_dx, row_window) = (&mut *self.dx, &mut *self.d_window);
                let dx = match (t + tap).checked_sub(past) {
                    None => &mut row_window[(t + tap) * channels..(t + tap + 1) * channels],
                    Some(source) => &mut row_dx[source * channels..(source + 1) * channels],
                };
                for ((dx, &w), &grad) in dx.iter_mut().zip(weight).zip(grad) {
                    *dx = F::fma::<FMA>(w, grad, *dx);
                }
            }
        }
        for column in self.row.kept() {
            let grad = &self.grad_last[column * channels..(column + 1) * channels];
            let place = self.row.last + column;
            let dx = match place.checked_sub(past) {
                None => &mut self.d_window[place * channels..(place + 1) * channels],
                Some(source) => &mut self.dx[source * channels..(source + 1) * channels],
            };
            for (dx, &grad) in dx.iter_mut().zip(grad) {
                *dx += grad;
            }
        }
        (d_weight, d_bias)
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

    /// Of every row, where its last window begins, and how many of its columns count.
    fn last(&self, shape: Shape) -> Vec<(usize, usize)> {
        match &self.segments {
            None => vec![(shape.seq, usize::MAX); shape.batch],
            Some(segments) => {
                let documents = segments.last_documents();
                let rows = segments.tokens().into_iter().zip(documents);
                rows.map(|(tokens, (last, began))| (tokens, if began { last } else { usize::MAX })).collect()
            }
        }
    }

    fn row<'a, F: Real>(
        shape: Shape,
        row: usize,
        inputs: &[Array<'a, F>],
        reach: &'a [usize],
        (last, last_reach): (usize, usize),
    ) -> Row<'a, F> {
        let (x, window) = (shape.seq * shape.channels, shape.past() * shape.channels);
        Row {
            shape,
            x: &inputs[0].data[row * x..(row + 1) * x],
            window: &inputs[3].data[row * window..(row + 1) * window],
            weight: inputs[1].data,
            reach: &reach[row * shape.seq..(row + 1) * shape.seq],
            last,
            last_reach,
        }
    }
}

impl HostOp for CausalConv {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let (reach, last) = (self.reach(shape), self.last(shape));
        let (y_len, last_len) = (shape.seq * shape.channels, shape.past() * shape.channels);
        let mut y = vec![F::zero(); shape.batch * y_len];
        // A width of 1 for a window of nothing: chunks cannot be empty.
        let mut lasts = vec![F::zero(); shape.batch * last_len.max(1)];
        let rows = y.par_chunks_mut(y_len).zip(lasts.par_chunks_mut(last_len.max(1))).enumerate();
        rows.for_each(|(index, (y, window))| {
            let row = Self::row(shape, index, inputs, &reach, last[index]);
            vectorised(Forward { row, bias: inputs[2].data, y, last: window });
        });
        lasts.truncate(shape.batch * last_len);
        (vec![y, lasts], Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let (reach, last) = (self.reach(shape), self.last(shape));
        let (y_len, last_len) = (shape.seq * shape.channels, shape.past() * shape.channels);
        let (grad_y, grad_last) = (grads[0], grads[1]);
        let mut dx = vec![F::zero(); shape.batch * y_len];
        let mut d_window = vec![F::zero(); shape.batch * last_len.max(1)];
        let rows = dx.par_chunks_mut(y_len).zip(d_window.par_chunks_mut(last_len.max(1))).enumerate();
        let parts: Vec<(Vec<F>, Vec<F>)> = rows
            .map(|(index, (dx, d_window))| {
                vectorised(Backward {
                    row: Self::row(shape, index, inputs, &reach, last[index]),
                    grad_y: &grad_y[index * y_len..(index + 1) * y_len],
                    grad_last: &grad_last[index * last_len..(index + 1) * last_len],
                    dx,
                    d_window,
                })
            })
            .collect();
        d_window.truncate(shape.batch * last_len);
        vec![dx, total(parts.iter().map(|part| &part.0)), total(parts.iter().map(|part| &part.1)), d_window]
    }
}
