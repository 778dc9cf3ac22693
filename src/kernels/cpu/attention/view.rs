//! Which keys a query sees, and what is done to its scores.

use std::ops::Range;

use crate::kernels::real::Real;

/// What a head of one row sees.
#[derive(Clone, Copy)]
pub(super) struct View<'a, F> {
    /// Keys that a query sees at most.
    pub(super) window: usize,
    /// Position of the first query among the keys.
    pub(super) offset: usize,
    pub(super) slope: F,
    pub(super) soft_cap: Option<F>,
    pub(super) documents: Option<(&'a [i32], &'a [i32])>,
}

impl<F: Real> View<'_, F> {
    /// The keys that query `i` may see, apart from documents.
    pub(super) fn range(&self, i: usize) -> Range<usize> {
        let end = self.offset + i + 1;
        end.saturating_sub(self.window)..end
    }

    /// The keys that any of the queries `first..last` sees.
    pub(super) fn tile(&self, first: usize, last: usize) -> Range<usize> {
        let mut start = self.range(first).start;
        let end = self.range(last - 1).end;
        if let Some((queries, keys)) = self.documents {
            let wanted = &queries[first..last];
            start = (start..end).find(|&key| wanted.contains(&keys[key])).unwrap_or(end);
        }
        start..end
    }

    /// What stands for a score that does not count.
    #[inline(always)]
    pub(super) fn least() -> F {
        F::min_value() / (F::one() + F::one())
    }

    /// The scores of query `i` and the keys `seen`, with cap, slope and documents; those that do not count are
    /// [`least`](Self::least), or outside the returned range.
    #[inline(always)]
    pub(super) fn apply<const FMA: bool>(
        &self,
        i: usize,
        seen: &Range<usize>,
        scores: &mut [F],
    ) -> Range<usize> {
        let range = self.range(i);
        let within = |key: usize| key.clamp(seen.start, seen.end) - seen.start;
        let (low, high) = (within(range.start), within(range.end));
        let row = &mut scores[low..high];
        if let Some(cap) = self.soft_cap {
            for score in row.iter_mut() {
                *score = cap * tanh::<F, FMA>(*score / cap);
            }
        }
        if self.slope > F::zero() {
            // The last key of the range is the query's own: distance 0.
            let mut distance =
                F::from_usize(range.end - 1 - (seen.start + low).min(range.end - 1)).expect("a length");
            for score in row.iter_mut() {
                *score = F::fma::<FMA>(-self.slope, distance, *score);
                distance = distance - F::one();
            }
        }
        if let Some((queries, keys)) = self.documents {
            let keys = &keys[seen.start + low..seen.start + high];
            for (score, &key) in row.iter_mut().zip(keys) {
                *score = if key == queries[i] { *score } else { Self::least() };
            }
        }
        low..high
    }
}

#[inline(always)]
pub(super) fn tanh<F: Real, const FMA: bool>(x: F) -> F {
    let one = F::one();
    let e = F::fast_exp::<FMA>(-(x.abs() + x.abs()));
    let y = (one - e) / (one + e);
    if x < F::zero() { -y } else { y }
}

/// The largest, as partial maxima that vectorise.
#[inline(always)]
pub(super) fn greatest<F: Real>(scores: &[F]) -> F {
    let mut greatest = [View::<F>::least(); 32];
    let chunks = scores.chunks_exact(32);
    for (g, &score) in greatest.iter_mut().zip(chunks.remainder()) {
        *g = if score > *g { score } else { *g };
    }
    for chunk in chunks {
        for l in 0..32 {
            greatest[l] = if chunk[l] > greatest[l] { chunk[l] } else { greatest[l] };
        }
    }
    greatest.into_iter().fold(View::<F>::least(), F::max)
}

/// `e^(score − by)` of every score, in place, 0 for those that do not count; their sum.
#[inline(always)]
pub(super) fn exponentials<F: Real, const FMA: bool>(scores: &mut [F], by: F) -> F {
    let least = View::<F>::least();
    let weight = |score: F| if score > least { F::fast_exp::<FMA>(score - by) } else { F::zero() };
    let mut sums = [F::zero(); 32];
    let mut chunks = scores.chunks_exact_mut(32);
    for chunk in &mut chunks {
        for l in 0..32 {
            chunk[l] = weight(chunk[l]);
            sums[l] += chunk[l];
        }
    }
    for (sum, score) in sums.iter_mut().zip(chunks.into_remainder()) {
        *score = weight(*score);
        *sum += *score;
    }
    sums.into_iter().fold(F::zero(), |sum, part| sum + part)
}
