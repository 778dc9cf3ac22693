//! A few rows times a matrix, which is read once, on all threads.

use rayon::prelude::*;

use super::add_rows::{self, COLUMNS, STREAMS, Scale, Unscaled, Weight, Weights};
use crate::kernels::cpu::gemm::Layout;
use crate::kernels::cpu::lanes::dot;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::real::Real;

/// Weights of a parallel task, at least: 128 KiB of f32, some microseconds of memory's time.
const TASK: usize = 1 << 15;

/// Parallel tasks, at most. They do not depend on the number of threads, so that results do not.
const PARTS: usize = 16;

/// Up to so many rows memory is the limit, and not arithmetic.
const BOUND_BY_MEMORY: usize = 4;

/// Outputs of a task, at least, where arithmetic is the limit.
const SHORT: usize = 128;

/// Outputs of a task are a multiple: whole lines of memory, in any format.
const PIECE: usize = 64;

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
        by_inputs(x, Weights { weights: weight, at, scale: Unscaled }, [width, d_input])
    } else {
        by_outputs(x, (weight, at), [width, d_input])
    }
}

/// `x` times weights of any format, whose rows are contiguous.
///
/// Each task takes all outputs and some of the inputs, so that it reads whole rows of weights, and sums are added up in the
/// end; or all inputs and some of the outputs: whichever makes more tasks.
pub(super) fn by_inputs<F: Real, W: Weight<F>, S: Scale<F>>(
    x: &[F],
    weights: Weights<'_, W, S>,
    [width, d_input]: [usize; 2],
) -> Vec<F> {
    if width == 0 {
        return Vec::new();
    }
    let rows = x.len() / d_input;
    let parts = (d_input * width / TASK).clamp(1, PARTS);
    // Sums should be fewer than weights, and pieces of a row long where memory is the limit.
    let of_inputs = parts.min(d_input / (STREAMS * rows)).max(1);
    let long = if rows > BOUND_BY_MEMORY { SHORT } else { COLUMNS };
    let of_outputs = parts.min(width / long).max(1);
    let cut = |len: usize, parts: usize, step: usize| {
        let some = len.div_ceil(parts).next_multiple_of(step);
        (0..len).into_par_iter().step_by(some).map(move |first| first..(first + some).min(len))
    };
    let part = |inputs, outputs| add_rows::product((x, d_input), weights, inputs, outputs);
    let vectors = if of_inputs > of_outputs {
        let parts: Vec<Vec<F>> =
            cut(d_input, of_inputs, STREAMS).map(|inputs| part(inputs, 0..width)).collect();
        crate::kernels::cpu::total(parts[0].len(), &parts)
    } else {
        let parts: Vec<Vec<F>> =
            cut(width, of_outputs, PIECE).map(|outputs| part(0..d_input, outputs)).collect();
        parts.concat()
    };
    add_rows::in_rows(vectors, [rows, width])
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
    (0..rows).flat_map(|row| columns.iter().skip(row).step_by(rows)).copied().collect()
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
