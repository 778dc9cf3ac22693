//! Matrix products on slices with strides, behind a safe door: [`in_place`](super::in_place) or the crate `gemm`.

use crate::kernels::host::Array;
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

    /// From `token` on, one head of an input `[batch, tokens, heads, dim]`: a matrix of tokens by dimensions.
    pub(crate) fn of<F>(input: &Array<'_, F>, row: usize, token: usize, head: usize) -> Self {
        let [of_row, of_token, of_head] = [0, 1, 2].map(|axis| input.strides[axis]);
        Self::new(row * of_row + token * of_token + head * of_head, of_token, 1)
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
        multiply(
            [m, n, k],
            (c.as_mut_ptr(), c_at),
            add,
            (a, a_at),
            (b, b_at),
            alpha,
            gemm::Parallelism::None,
        );
    }
}

/// As [`gemm`], on all threads.
///
/// # Panics
///
/// If a matrix does not lie within its slice.
pub(crate) fn gemm_on_all_threads<F: Real>(
    [m, n, k]: [usize; 3],
    (c, c_at): (&mut [F], Layout),
    add: bool,
    (a, a_at): (&[F], Layout),
    (b, b_at): (&[F], Layout),
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(c_at.end(m, n) <= c.len() && a_at.end(m, k) <= a.len() && b_at.end(k, n) <= b.len());
    let threads = gemm::Parallelism::Rayon(0);
    // SAFETY: as in `gemm`.
    unsafe { multiply([m, n, k], (c.as_mut_ptr(), c_at), add, (a, a_at), (b, b_at), F::one(), threads) };
}

/// `a b`, a fresh `m × n` matrix with contiguous rows, on all threads.
///
/// # Panics
///
/// If a matrix does not lie within its slice.
pub(crate) fn product<F: Real>(
    [m, n, k]: [usize; 3],
    (a, a_at): (&[F], Layout),
    (b, b_at): (&[F], Layout),
) -> Vec<F> {
    if m == 0 || n == 0 || k == 0 {
        return vec![F::zero(); m * n];
    }
    assert!(a_at.end(m, k) <= a.len() && b_at.end(k, n) <= b.len());
    let mut c = Vec::with_capacity(m * n);
    let c_at = Layout::new(0, n, 1);
    // SAFETY: `a` and `b` lie within their slices, by the assertion, and `c` within its capacity; the product reads
    // nothing of `c` and writes all of it, so that its length may be set after.
    unsafe {
        let threads = gemm::Parallelism::Rayon(0);
        multiply([m, n, k], (c.as_mut_ptr(), c_at), false, (a, a_at), (b, b_at), F::one(), threads);
        c.set_len(m * n);
    }
    c
}

/// # Safety
///
/// The matrices must lie within their allocations, and no other reference to `c`'s elements may live. `c` may be
/// uninitialised unless `add`.
unsafe fn multiply<F: Real>(
    [m, n, k]: [usize; 3],
    (c, c_at): (*mut F, Layout),
    add: bool,
    (a, a_at): (&[F], Layout),
    (b, b_at): (&[F], Layout),
    alpha: F,
    threads: gemm::Parallelism,
) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if std::any::TypeId::of::<F>() == std::any::TypeId::of::<f32>()
        && matches!(threads, gemm::Parallelism::None)
        && (c_at.columns, b_at.columns) == (1, 1)
        && super::in_place::serves(k)
    {
        let alpha = num_traits::ToPrimitive::to_f32(&alpha).expect("a float");
        // SAFETY: the machine has AVX-512, the elements are f32, and the rest is as this function demands.
        unsafe {
            let start = a.as_ptr().add(a_at.start).cast();
            let a = super::in_place::Matrix { start, rows: a_at.rows, columns: a_at.columns };
            let (c, b) = (c.add(c_at.start).cast(), b.as_ptr().add(b_at.start).cast());
            super::in_place::product([m, n, k], (c, c_at.rows), add, a, (b, b_at.rows), alpha);
        }
        return;
    }
    // SAFETY: as this function demands.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.add(c_at.start),
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
            threads,
        );
    }
}
