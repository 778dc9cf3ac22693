//! Products of small matrices where they lie, with AVX-512.
//!
//! A general product first copies its operands into the order in which its inner loop reads them. The tiles of attention
//! and the chunks of a recurrence are in the cache already, and so small that the copies are a part of the work. Here
//! rows of `b` are read as vectors and elements of `a` broadcast, from where they are.

use core::arch::x86_64::{
    __m512, __mmask16, _mm512_fmadd_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_setzero_ps,
};

/// Elements of a vector.
const LANES: usize = 16;

/// The longest inner dimension: [`WIDE`] columns of `b` of that many rows still fit the second cache.
const LONGEST: usize = 1024;

/// The widest tile's vectors.
const WIDE: usize = 4;

/// A matrix of which element `(i, j)` is at `start + i · rows + j · columns`.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) start: *const f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Whether [`product`] is the way to form such a product on this machine.
pub(super) fn serves(k: usize) -> bool {
    k <= LONGEST && std::arch::is_x86_feature_detected!("avx512f")
}

/// `c ← alpha · a b (+ c if add)`, with `a` `m × k`, `b` `k × n`; the rows of `b` and `c`, `b_row` and `c_row` elements
/// apart, are contiguous.
///
/// # Safety
///
/// The machine must have AVX-512, the matrices must lie within their allocations, and nothing else may refer to `c`'s
/// elements. `c` may be uninitialised unless `add`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(
    [m, n, k]: [usize; 3],
    (c, c_row): (*mut f32, usize),
    add: bool,
    a: Matrix,
    (b, b_row): (*const f32, usize),
    alpha: f32,
) {
    let mut column = 0;
    while column < n {
        let left = n - column;
        // SAFETY: column < n, so that both pointers stay within their first rows.
        let columns = unsafe {
            Columns { c: c.add(column), c_row, add, a, b: b.add(column), b_row, alpha, m, k, last: 0 }
        };
        // As many rows as keep the accumulators within the 32 registers.
        // SAFETY: as this function demands; each call stays within the columns that are left.
        column += unsafe {
            match left {
                49.. => columns.up_to::<6, WIDE>(left),
                17.. => columns.up_to::<8, 2>(left),
                _ => columns.up_to::<16, 1>(left),
            }
        };
    }
}

/// Some columns of a product.
#[derive(Clone, Copy)]
struct Columns {
    c: *mut f32,
    c_row: usize,
    add: bool,
    a: Matrix,
    b: *const f32,
    b_row: usize,
    alpha: f32,
    m: usize,
    k: usize,
    /// Which elements of the last vector there are.
    last: __mmask16,
}

impl Columns {
    /// As many columns as there are, up to `V` vectors, in tiles of `R` rows, then of 4, then single; how many.
    ///
    /// # Safety
    ///
    /// As [`product`]; there must be more than `V − 1` vectors left.
    #[inline(always)]
    unsafe fn up_to<const R: usize, const V: usize>(mut self, left: usize) -> usize {
        let width = left.min(V * LANES);
        self.last = __mmask16::MAX >> (V * LANES - width);
        let mut row = 0;
        // SAFETY: the rows of each tile are below m.
        unsafe {
            while row + R <= self.m {
                self.tile::<R, V>(row);
                row += R;
            }
            while row + 4 <= self.m {
                self.tile::<4, V>(row);
                row += 4;
            }
            while row < self.m {
                self.tile::<1, V>(row);
                row += 1;
            }
        }
        width
    }

    /// `R` rows from `row` on.
    ///
    /// # Safety
    ///
    /// As [`up_to`](Self::up_to); `row + R` must not be above `m`.
    #[inline(always)]
    unsafe fn tile<const R: usize, const V: usize>(self, row: usize) {
        let mask = |vector| if vector + 1 == V { self.last } else { __mmask16::MAX };
        // SAFETY: elements of `a` are within m × k, vectors of `b` and `c` within their rows, the last by its mask.
        unsafe {
            let a = self.a.start.add(row * self.a.rows);
            let mut sums: [[__m512; V]; R] = [[_mm512_setzero_ps(); V]; R];
            for p in 0..self.k {
                let line = self.b.add(p * self.b_row);
                let mut b = [_mm512_setzero_ps(); V];
                for (vector, b) in b.iter_mut().enumerate() {
                    *b = _mm512_maskz_loadu_ps(mask(vector), line.add(vector * LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(r * self.a.rows + p * self.a.columns));
                    for (sum, &b) in sums.iter_mut().zip(&b) {
                        *sum = _mm512_fmadd_ps(b, x, *sum);
                    }
                }
            }
            let alpha = _mm512_set1_ps(self.alpha);
            for (r, sums) in sums.iter().enumerate() {
                let line = self.c.add((row + r) * self.c_row);
                for (vector, &sum) in sums.iter().enumerate() {
                    let (at, mask) = (line.add(vector * LANES), mask(vector));
                    let value = if self.add {
                        _mm512_fmadd_ps(sum, alpha, _mm512_maskz_loadu_ps(mask, at))
                    } else {
                        _mm512_mul_ps(sum, alpha)
                    };
                    _mm512_mask_storeu_ps(at, mask, value);
                }
            }
        }
    }
}
