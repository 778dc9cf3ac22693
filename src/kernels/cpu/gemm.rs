//! Matrix products on slices with strides: `gemm`, behind a safe door.

use crate::kernels::real::Real;

/// A matrix within a slice: element `(i, j)` at `start + i · rows + j · columns`.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) start: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Layout {
    pub(crate) fn new(start: usize, rows: usize, columns: usize) -> Self {
        Self { start, rows, columns }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }

    fn end(self, rows: usize, columns: usize) -> usize {
        self.start + (rows - 1) * self.rows + (columns - 1) * self.columns + 1
    }
}

/// `c ← alpha · a b (+ c if add)`, with `a` `m × k` and `b` `k × n`, on this thread.
///
/// # Panics
///
/// If a matrix does not lie within its slice.
pub(crate) fn gemm<F: Real>(
    [m, n, k]: [usize; 3],
    (c, c_at): (&mut [F], Layout),
    add: bool,
    (a, a_at): (&[F], Layout),
    (b, b_at): (&[F], Layout),
    alpha: F,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(c_at.end(m, n) <= c.len() && a_at.end(m, k) <= a.len() && b_at.end(k, n) <= b.len());
    // SAFETY: the three matrices lie within their slices, by the assertion; `c` is borrowed exclusively, so it
    // overlaps neither of the others.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr().add(c_at.start),
            c_at.columns as isize,
            c_at.rows as isize,
            add,
            a.as_ptr().add(a_at.start),
            a_at.columns as isize,
            a_at.rows as isize,
            b.as_ptr().add(b_at.start),
            b_at.columns as isize,
            b_at.rows as isize,
            F::one(),
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
