//! Which keys a query sees, and what is done to its scores.

use std::ops::Range;

use crate::kernels::cpu::vectorised::reduce;
use crate::kernels::real::Real;

/// Queries of a group at an edge.
const GROUP: usize = 16;

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
            // Documents lie together: few are left to compare with.
            let mut wanted = queries[first..last].to_vec();
            wanted.dedup();
            start = (start..end).find(|&key| wanted.contains(&keys[key])).unwrap_or(end);
        }
        start..end
    }

    /// The queries `first..last` in groups, and the keys of `seen` that any of a group sees: all queries together where
    /// all see all, few at the edge of a window or of the future.
    pub(super) fn groups(
        self,
        first: usize,
        last: usize,
        seen: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let all = self.range(last - 1).start <= seen.start && seen.end <= self.range(first).end;
        let step = if all { last - first } else { GROUP };
        (first..last).step_by(step).filter_map(move |start| {
            let queries = start..(start + step).min(last);
            let (keys, end) = (self.range(start).start.max(seen.start), self.range(queries.end - 1).end);
            let keys = keys..end.min(seen.end);
            (!keys.is_empty()).then_some((queries, keys))
        })
    }

    /// What stands for a score that does not count.
    #[inline(always)]
    pub(super) fn least() -> F {
        F::min_value() / (F::one() + F::one())
    }

    /// The scores of query `i` and the keys `seen`, with cap, slope and documents. Those that do not count become
    /// [`least`](Self::least) within the returned range, which is whole vectors if it can be, and 0 outside of it.
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
                *score = cap * F::fast_tanh::<FMA>(*score / cap);
            }
        }
        if self.slope != F::zero() {
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
        if low == high {
            scores.fill(F::zero());
            return low..low;
        }
        let whole = low - low % WIDTH..high.next_multiple_of(WIDTH).min(scores.len());
        scores[..whole.start].fill(F::zero());
        scores[whole.start..low].fill(Self::least());
        scores[high..whole.end].fill(Self::least());
        scores[whole.end..].fill(F::zero());
        whole
    }
}

/// Scores that are handled together: two vectors of AVX-512 in f32.
const WIDTH: usize = 32;

/// `f` of [`WIDTH`] scores after the other, the last ones filled up with what does not count.
#[inline(always)]
fn together<F: Real>(scores: &mut [F], mut f: impl FnMut(&mut [F; WIDTH])) {
    let (whole, rest) = scores.as_chunks_mut::<WIDTH>();
    for scores in whole {
        f(scores);
    }
    if !rest.is_empty() {
        let mut last = [View::<F>::least(); WIDTH];
        last[..rest.len()].copy_from_slice(rest);
        f(&mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The larger; unlike `max`, one instruction.
#[inline(always)]
fn larger<F: Real>(x: F, y: F) -> F {
    if x > y { x } else { y }
}

/// The largest.
#[inline(always)]
pub(super) fn greatest<F: Real>(scores: &mut [F]) -> F {
    let mut greatest = [View::<F>::least(); WIDTH];
    together(scores, |scores| {
        for l in 0..WIDTH {
            greatest[l] = larger(scores[l], greatest[l]);
        }
    });
    reduce(greatest, larger)
}

/// `e^(score − by)` of every score, in place, 0 for those that do not count or are negligible and NaN for those that are no numbers; their
/// sum.
#[inline(always)]
pub(super) fn exponentials<F: Real, const FMA: bool>(scores: &mut [F], by: F) -> F {
    let (least, negligible) = (View::<F>::least(), F::negligible().ln());
    let mut sums = [F::zero(); WIDTH];
    together(scores, |scores| {
        for l in 0..WIDTH {
            let apart = scores[l] - by;
            let weight = F::fast_exp::<FMA>(apart);
            scores[l] = if apart < negligible || scores[l] <= least { F::zero() } else { weight };
            sums[l] += scores[l];
        }
    });
    reduce(sums, |x, y| x + y)
}

/// Whether a query sees a key, by the sum of its weights, which may be NaN.
#[inline(always)]
pub(super) fn sees<F: Real>(sum: F) -> bool {
    sum > F::zero() || sum.is_nan()
}
