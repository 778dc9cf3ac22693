//! Buffers that parallel tasks fill at disjoint places.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::kernels::real::Real;

/// As many zeros, written by all threads.
pub(crate) fn zeros<F: Real>(len: usize) -> Vec<F> {
    const CHUNK: usize = 1 << 15;
    if len <= CHUNK {
        return vec![F::zero(); len];
    }
    let mut array = Vec::with_capacity(len);
    let room = &mut array.spare_capacity_mut()[..len];
    room.par_chunks_mut(CHUNK).for_each(|chunk| chunk.fill(MaybeUninit::new(F::zero())));
    // SAFETY: these elements have been written.
    unsafe { array.set_len(len) };
    array
}

/// A mutable slice lent to several tasks at once.
pub(crate) struct SharedMut<'a, F> {
    start: *mut F,
    len: usize,
    lent: PhantomData<&'a mut [F]>,
}

// SAFETY: the only access is `at`, whose callers promise that no two ranges overlap.
unsafe impl<F: Send> Send for SharedMut<'_, F> {}
// SAFETY: as above.
unsafe impl<F: Send> Sync for SharedMut<'_, F> {}

impl<'a, F> SharedMut<'a, F> {
    pub(crate) fn new(slice: &'a mut [F]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    ///
    /// While the result lives, nothing else may hold a range that overlaps it.
    #[allow(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    #[inline(always)]
    pub(crate) unsafe fn at(&self, start: usize, len: usize) -> &mut [F] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
