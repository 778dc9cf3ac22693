//! A few rows times some rows of weights, in whatever format: the loop that decoding spends its time in.

use std::array::from_fn;
use std::ops::Range;

use crate::kernels::cpu::gemm::Layout;
use crate::kernels::cpu::lanes::{LANES, Lanes, fma};
use crate::kernels::cpu::prefetch::prefetch;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::real::Real;

/// Rows of weights that pass at once, as many streams as a core's prefetchers follow: sums are read and written once for
/// all of them.
pub(super) const STREAMS: usize = 8;

/// Columns of the weights that pass at once, so that they stay near for all rows.
pub(super) const COLUMNS: usize = 1024;

/// Bytes that memory hands over at a time.
const LINE: usize = 64;

/// A weight as it is stored.
pub(super) trait Weight<F>: Copy + Default + Send + Sync {
    fn float(self) -> F;
}

impl<F: Real> Weight<F> for F {
    #[inline(always)]
    fn float(self) -> F {
        self
    }
}

/// What the weights are to be multiplied with.
pub(super) trait Scale<F>: Copy + Send + Sync {
    /// For the columns from this one on, in the [`STREAMS`] rows from this one on.
    fn of(self, input: usize, column: usize) -> Lanes<F>;
}

/// Weights that are what they stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unscaled;

impl<F: Real> Scale<F> for Unscaled {
    #[inline(always)]
    fn of(self, _: usize, _: usize) -> Lanes<F> {
        [F::one(); LANES]
    }
}

/// A matrix of weights whose rows are contiguous.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a, W, S> {
    pub weights: &'a [W],
    pub at: Layout,
    pub scale: S,
}

/// `x[.., inputs] · weights[inputs, columns]`, where `x` is rows of `d_input`. As the loop leaves it:
/// `[columns / LANES, rows, LANES]`, the last vectors filled up with zeros; [`in_rows`] puts it in order.
pub(super) fn product<F: Real, W: Weight<F>, S: Scale<F>>(
    (x, d_input): (&[F], usize),
    weights: Weights<'_, W, S>,
    inputs: Range<usize>,
    columns: Range<usize>,
) -> Vec<F> {
    let rows = x.len() / d_input;
    let mut y = vec![[F::zero(); LANES]; rows * columns.len().div_ceil(LANES)];
    vectorised(AddRows { x, d_input, rows, weights, inputs, columns, y: &mut y });
    y.into_flattened()
}

/// What [`product`] makes, or a sum of such, `[rows, width]`.
pub(super) fn in_rows<F: Real>(mut vectors: Vec<F>, [rows, width]: [usize; 2]) -> Vec<F> {
    if rows == 1 {
        vectors.truncate(width);
        return vectors;
    }
    let vectors = vectors.as_chunks::<LANES>().0;
    let mut all = Vec::with_capacity(rows * width);
    for row in 0..rows {
        for vector in vectors.iter().skip(row).step_by(rows) {
            let left = (row + 1) * width - all.len();
            all.extend_from_slice(&vector[..left.min(LANES)]);
        }
    }
    all
}

struct AddRows<'a, F, W, S> {
    x: &'a [F],
    d_input: usize,
    rows: usize,
    weights: Weights<'a, W, S>,
    inputs: Range<usize>,
    columns: Range<usize>,
    /// What is added to at a time lies together: rows that are a power of two apart would contend for a few lines of the
    /// cache.
    y: &'a mut [Lanes<F>],
}

impl<F: Real, W: Weight<F>, S: Scale<F>> Work for AddRows<'_, F, W, S> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        for input in self.inputs.clone().step_by(STREAMS) {
            for column in self.columns.clone().step_by(COLUMNS) {
                self.add::<FMA>(input, column);
            }
        }
    }
}

impl<'a, F: Real, W: Weight<F>, S: Scale<F>> AddRows<'a, F, W, S> {
    /// The block of weights from here on; beyond the last row, the last again.
    #[inline(always)]
    fn block(&self, input: usize, column: usize) -> [&'a [W]; STREAMS] {
        let Weights { weights, at, .. } = self.weights;
        let end = self.columns.end.min(column + COLUMNS);
        from_fn(|index| {
            let row = at.start + (input + index).min(self.inputs.end - 1) * at.rows;
            &weights[row + column..row + end]
        })
    }

    /// A block of weights to all rows: as many of these at a time, and as many columns, as registers hold in `f32`. With the
    /// first of them the next block is fetched; then the own one, which is there.
    #[inline(always)]
    fn add<const FMA: bool>(&mut self, input: usize, column: usize) {
        let block = self.block(input, column);
        let count = STREAMS.min(self.inputs.end - input);
        let lines = &block[..count];
        let mut next = if column + COLUMNS < self.columns.end {
            self.block(input, column + COLUMNS)
        } else if input + STREAMS < self.inputs.end {
            self.block(input + STREAMS, self.columns.start)
        } else {
            block
        };
        let mut row = 0;
        while row < self.rows {
            row += match self.rows - row {
                4.. => self.add_to::<FMA, 4, 1>(lines, &next, [row, input, column]),
                2.. => self.add_to::<FMA, 2, 2>(lines, &next, [row, input, column]),
                _ => self.add_to::<FMA, 1, 4>(lines, &next, [row, input, column]),
            };
            next = block;
        }
    }

    /// A block to `ROWS` rows, `VECTORS` times [`LANES`] columns at a time.
    #[inline(always)]
    fn add_to<const FMA: bool, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        lines: &[&[W]],
        next: &[&[W]; STREAMS],
        [row, input, first]: [usize; 3],
    ) -> usize {
        let mut x = [[F::zero(); ROWS]; STREAMS];
        for (index, x) in x.iter_mut().enumerate().take(lines.len()) {
            *x = from_fn(|r| self.x[(row + r) * self.d_input + input + index]);
        }
        let len = lines[0].len();
        let wide = len - len % (LANES * VECTORS);
        for column in (0..wide).step_by(LANES * VECTORS) {
            fetch(next, column..column + LANES * VECTORS);
            let sums = products::<F, W, FMA, ROWS, VECTORS>(&x, lines, column);
            for (vector, sums) in sums.iter().enumerate() {
                self.add_sums::<FMA, ROWS>(sums, [row, input, first + column + vector * LANES]);
            }
        }
        for column in (wide..len).step_by(LANES) {
            fetch(next, column..column + LANES);
            let mut padded = [[W::default(); LANES]; STREAMS];
            for (padded, line) in padded.iter_mut().zip(lines) {
                let line = &line[column..];
                let count = line.len().min(LANES);
                padded[..count].copy_from_slice(&line[..count]);
            }
            let padded = padded.each_ref().map(|line| line.as_slice());
            let [sums] = products::<F, W, FMA, ROWS, 1>(&x, &padded[..lines.len()], 0);
            self.add_sums::<FMA, ROWS>(&sums, [row, input, first + column]);
        }
        ROWS
    }

    #[inline(always)]
    fn add_sums<const FMA: bool, const ROWS: usize>(
        &mut self,
        sums: &[Lanes<F>; ROWS],
        [row, input, column]: [usize; 3],
    ) {
        let scale = self.weights.scale.of(input, column);
        let vector = (column - self.columns.start) / LANES;
        let y = &mut self.y[vector * self.rows + row..];
        let y: &mut [Lanes<F>; ROWS] = y.first_chunk_mut().expect("the rows");
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = fma::<F, FMA>(&scale, sum, y);
        }
    }
}

/// Asks for some columns of some lines, where they are the first in their line of memory.
#[inline(always)]
fn fetch<W>(lines: &[&[W]; STREAMS], columns: Range<usize>) {
    let bytes = columns.start * size_of::<W>()..columns.end * size_of::<W>();
    for ahead in (bytes.start.next_multiple_of(LINE)..bytes.end).step_by(LINE) {
        for line in lines {
            prefetch(line.as_ptr().wrapping_byte_add(ahead));
        }
    }
}

/// Some columns of `x` times the lines, `[vector][row]`.
#[inline(always)]
fn products<F: Real, W: Weight<F>, const FMA: bool, const ROWS: usize, const VECTORS: usize>(
    x: &[[F; ROWS]; STREAMS],
    lines: &[&[W]],
    column: usize,
) -> [[Lanes<F>; ROWS]; VECTORS] {
    let mut sums = [[[F::zero(); LANES]; ROWS]; VECTORS];
    for (x, line) in x.iter().zip(lines) {
        let vectors = line[column..].as_chunks::<LANES>().0;
        let vectors: &[[W; LANES]; VECTORS] = vectors.first_chunk().expect("whole vectors");
        for (sums, weights) in sums.iter_mut().zip(vectors) {
            let weights: Lanes<F> = from_fn(|lane| weights[lane].float());
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = fma::<F, FMA>(&[x; LANES], &weights, sum);
            }
        }
    }
    sums
}
