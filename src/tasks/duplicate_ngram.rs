use std::ops::RangeInclusive;

use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::copying::copy_of;
use super::random_letters::{RandomLetters, index};
use super::vocabulary::{PADDING, SIZE};
use super::{Example, Task, require, valid};
use crate::Result;
use crate::check::expect_valid;

/// Copying a string in which an n-gram occurs twice: `$x|x.`
///
/// In a random `x`, the n-gram at one place is overwritten by the n-gram at another; the two places do not
/// overlap, and every ordered pair of such places is equally likely. Layout and answer are those of
/// [`Copying`](super::Copying). A model that copies by looking up the last n letters it wrote cannot tell
/// the two places apart: for evaluation of models trained to copy, one n at a time.
///
/// # Source
///
/// [arXiv 2402.01032](https://arxiv.org/abs/2402.01032), section 3. Its code replaces every occurrence of
/// the overwritten n-gram, and may draw two that overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateNgram {
    #[serde(flatten)]
    letters: RandomLetters,
    n: usize,
}

impl DuplicateNgram {
    /// Repeated n-grams of `n` letters in strings of these lengths, over all twenty-six letters.
    ///
    /// # Panics
    ///
    /// If `n` is 0, or if `lengths` is empty or starts below `2 n`.
    pub fn new(lengths: RangeInclusive<usize>, n: usize) -> Self {
        valid(Self { letters: RandomLetters::new(lengths), n })
    }

    /// Draws from the first `letters` letters only; the token ids stay as they are.
    ///
    /// # Panics
    ///
    /// Unless `letters` is between 2 and 26.
    pub fn with_alphabet(self, letters: u32) -> Self {
        valid(Self { letters: self.letters.with_alphabet(letters), ..self })
    }

    /// The n-gram to repeat and the place to overwrite with it.
    fn places(&self, length: usize, rng: &mut ChaCha8Rng) -> (usize, usize) {
        // Two different numbers below length − 2n + 2; moving the larger one on by n − 1 makes the n-grams
        // disjoint, and is one to one.
        let count = length - 2 * self.n + 2;
        let from = index(count, rng);
        let to = index(count - 1, rng);
        if to < from { (from + self.n - 1, to) } else { (from, to + self.n) }
    }
}

impl Task for DuplicateNgram {
    fn name(&self) -> &str {
        "duplicate_ngram"
    }

    fn vocab_size(&self) -> usize {
        SIZE
    }

    fn padding(&self) -> u32 {
        PADDING
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.letters.lengths.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        let n = self.n;
        self.letters.check(self.name())?;
        require(n > 0 && length / 2 >= n, || {
            format!("duplicate_ngram: n ({n}) must be above 0 and at most half of the length ({length})")
        })
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check(length));
        let n = self.n;
        let mut x = self.letters.draw(length, rng);
        let (from, to) = self.places(length, rng);
        x.copy_within(from..from + n, to);
        copy_of(&x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::vocabulary;
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    fn text(task: &DuplicateNgram, length: usize, seed: u64) -> String {
        vocabulary::decode(&task.example(length, &mut ChaCha8Rng::seed_from_u64(seed)).tokens).unwrap()
    }

    #[test]
    fn drawn_string() {
        assert_eq!(text(&DuplicateNgram::new(8..=16, 3), 8, 12), "$bazupzup|bazupzup.");
    }

    #[test]
    fn an_ngram_occurs_at_two_places_that_do_not_overlap() {
        for seed in 0..300 {
            let n = 1 + seed as usize % 5;
            let length = 2 * n + seed as usize % 13;
            let text = text(&DuplicateNgram::new(length..=length, n), length, seed);
            let (x, copy) =
                text.strip_prefix('$').and_then(|t| t.strip_suffix('.')?.split_once('|')).unwrap();
            assert_eq!(x, copy);
            assert_eq!(x.len(), length);
            let repeated = (0..=length - 2 * n).any(|place| x[place + n..].contains(&x[place..place + n]));
            assert!(repeated, "{x}: no {n}-gram occurs twice");
        }
    }

    #[test]
    fn every_pair_of_disjoint_places_is_equally_likely() {
        let (task, length, n) = (DuplicateNgram::new(7..=7, 2), 7, 2);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut count = BTreeMap::new();
        for _ in 0..20_000 {
            *count.entry(task.places(length, &mut rng)).or_insert(0) += 1;
        }
        let pairs = |from| (0..=length - n).map(move |to| (from, to));
        let disjoint: Vec<_> =
            (0..=length - n).flat_map(pairs).filter(|(from, to)| from.abs_diff(*to) >= n).collect();
        assert_eq!(disjoint.len(), 20);
        assert_eq!(count.keys().copied().collect::<Vec<_>>(), disjoint);
        // Five standard deviations of about 31.
        assert!(count.values().all(|n| (845..=1155).contains(n)), "{count:?}");
    }

    #[test]
    #[should_panic(expected = "duplicate_ngram: n (3) must be above 0 and at most half of the length (5)")]
    fn too_short_for_two() {
        DuplicateNgram::new(5..=9, 3);
    }

    #[test]
    #[should_panic(expected = "duplicate_ngram: n (3) must be above 0 and at most half of the length (5)")]
    fn example_too_short_for_two() {
        DuplicateNgram::new(6..=9, 3).example(5, &mut ChaCha8Rng::seed_from_u64(0));
    }
}
