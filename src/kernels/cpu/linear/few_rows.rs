//! A few rows times a matrix: the matrix is read once, in order, on all threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::cpu::gemm::Layout;
use crate::kernels::cpu::lanes::dot;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::real::Real;

/// Weights of a parallel task, at least: 128 KiB of f32, some microseconds of memory's time.
const TASK: usize = 1 << 15;

/// Partial results that are added up in the end, at most.
const PARTS: usize = 16;

/// Columns whose sums stay in the first cache while several rows of weights pass.
const COLUMNS: usize = 1024;

/// `x [rows, d_input]` times the weights `[d_input, width]`, contiguous along one of their axes.
pub(super) fn product<F: Real>(
    x: &[F],
    (weight, at): (&[F], Layout),
    [rows, width, d_input]: [usize; 3],
) -> Vec<F> {
    if rows == 0 || width == 0 {
        return Vec::new();
    }
    if at.columns == 1 {
        by_inputs(x, (weight, at), [width, d_input])
    } else {
        by_outputs(x, (weight, at), [width, d_input])
    }
}

/// Each task takes some of the inputs, so that it reads whole rows of weights, or long pieces of them.
fn by_inputs<F: Real>(x: &[F], (weight, at): (&[F], Layout), [width, d_input]: [usize; 2]) -> Vec<F> {
    let rows = x.len() / d_input;
    in_parts([rows, width, d_input], 1, |inputs, outputs| {
        let mut y = vec![F::zero(); rows * outputs.len()];
        let at = Layout { start: at.start + outputs.start, ..at };
        vectorised(AddRows { x, d_input, inputs, weight, at, y: &mut y });
        y
    })
}

/// Outputs from which a piece of a row of weights is read about as fast as a whole one.
const LONG: usize = 1024;

/// What `part` makes of all inputs and some of the outputs, put together; or, where there are few outputs, of all
/// outputs and some of the inputs, a multiple of `step`, added up.
pub(super) fn in_parts<F: Real>(
    [rows, width, d_input]: [usize; 3],
    step: usize,
    part: impl Fn(Range<usize>, Range<usize>) -> Vec<F> + Sync,
) -> Vec<F> {
    let parts = (d_input * width / TASK).clamp(1, PARTS);
    if parts == 1 {
        return part(0..d_input, 0..width);
    }
    let cut = |len: usize, step: usize| {
        let some = len.div_ceil(parts).next_multiple_of(step);
        (0..len).into_par_iter().step_by(some).map(move |first| first..(first + some).min(len))
    };
    if width < parts * LONG {
        let parts: Vec<Vec<F>> = cut(d_input, step).map(|inputs| part(inputs, 0..width)).collect();
        return crate::kernels::cpu::total(parts.iter());
    }
    let parts: Vec<Vec<F>> = cut(width, COLUMNS).map(|outputs| part(0..d_input, outputs)).collect();
    let row = |row| {
        parts.iter().flat_map(move |part| {
            let outputs = part.len() / rows;
            &part[row * outputs..(row + 1) * outputs]
        })
    };
    (0..rows).flat_map(row).copied().collect()
}

/// Each task takes some of the outputs, an inner product each.
fn by_outputs<F: Real>(x: &[F], (weight, at): (&[F], Layout), [width, d_input]: [usize; 2]) -> Vec<F> {
    let rows = x.len() / d_input;
    let outputs = TASK.div_ceil(d_input);
    // `[width, rows]`, so that tasks fill disjoint pieces.
    let mut columns = vec![F::zero(); width * rows];
    columns.par_chunks_mut(outputs * rows).enumerate().for_each(|(task, columns)| {
        vectorised(Dots { x, d_input, first: task * outputs, weight, at, columns });
    });
    if rows == 1 {
        return columns;
    }
    (0..rows * width).map(|index| columns[index % width * rows + index / width]).collect()
}

/// A weight as it is stored.
pub(super) trait Weight<F>: Copy + Send + Sync {
    fn float(self) -> F;
}

impl<F: Real> Weight<F> for F {
    #[inline(always)]
    fn float(self) -> F {
        self
    }
}

/// `y += x[.., inputs] · weight[inputs, ..]`, the weights' rows contiguous.
pub(super) struct AddRows<'a, F, W> {
    pub x: &'a [F],
    pub d_input: usize,
    pub inputs: Range<usize>,
    pub weight: &'a [W],
    pub at: Layout,
    pub y: &'a mut [F],
}

/// Rows of weights that pass at once: as many streams as a core's prefetchers follow.
const STREAMS: usize = 8;

impl<F: Real, W: Weight<F>> Work for AddRows<'_, F, W> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { x, d_input, inputs, weight, at, y } = self;
        let width = y.len() / (x.len() / d_input);
        for start in inputs.clone().step_by(STREAMS) {
            let group = start..(start + STREAMS).min(inputs.end);
            for column in (0..width).step_by(COLUMNS) {
                let columns = column..(column + COLUMNS).min(width);
                let stream = |input: usize| {
                    let row = at.start + input * at.rows;
                    &weight[row + columns.start..row + columns.end]
                };
                for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(d_input)) {
                    let y = &mut y[columns.clone()];
                    if group.len() == STREAMS {
                        let x: [F; STREAMS] = std::array::from_fn(|index| x[start + index]);
                        let rows: [&[W]; STREAMS] =
                            std::array::from_fn(|index| &stream(start + index)[..y.len()]);
                        for (column, y) in y.iter_mut().enumerate() {
                            let mut sum = *y;
                            for index in 0..STREAMS {
                                sum = F::fma::<FMA>(x[index], rows[index][column].float(), sum);
                            }
                            *y = sum;
                        }
                    } else {
                        for input in group.clone() {
                            for (y, &weight) in y.iter_mut().zip(stream(input)) {
                                *y = F::fma::<FMA>(x[input], weight.float(), *y);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `columns[output][row] = weight[.., first + output] · x[row]`, the weights' columns contiguous.
struct Dots<'a, F> {
    x: &'a [F],
    d_input: usize,
    first: usize,
    weight: &'a [F],
    at: Layout,
    columns: &'a mut [F],
}

impl<F: Real> Work for Dots<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { x, d_input, first, weight, at, columns } = self;
        for (output, sums) in columns.chunks_exact_mut(x.len() / d_input).enumerate() {
            let start = at.start + (first + output) * at.columns;
            let weight = &weight[start..start + d_input];
            for (sum, x) in sums.iter_mut().zip(x.chunks_exact(d_input)) {
                *sum = dot::<F, FMA>(x, weight);
            }
        }
    }
}
