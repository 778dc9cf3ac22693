use std::ops::RangeInclusive;

use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::random_letters::{RandomLetters, index};
use super::vocabulary::{BOS, EOS, PADDING, SEPARATOR, SIZE};
use super::{Example, Task, require, valid};
use crate::Result;
use crate::check::expect_valid;

/// How often string and key are drawn again for a key that occurs once.
const REDRAWS: usize = 100;

/// Where the key of an [`NgramLookup`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPlace {
    /// Before the string, `$g|x|a.`: the model knows what to look for while it reads.
    Prefix,
    /// After the string, `$x|ga.`: the model must have kept all of it.
    Suffix,
}

/// Looking up what follows an n-gram `g` in a string `x`: `$g|x|a.` or `$x|ga.`
///
/// The answer `a` is the `length_answer` letters after `g` in `x`. In a string too short for `n` and
/// `length_answer` letters it is the rest of `x`, at least one letter; so `usize::MAX` asks for the rest.
/// `a` is scored, the end marker is in the loss only, and the given `g` is in neither.
///
/// String and place of `g` are drawn uniformly among those where `g` occurs once in `x`. If that has not
/// been found in a hundred redraws (a small alphabet, a long string), the last draw's first occurrence of
/// its `g` is taken: `a` always follows the first occurrence.
///
/// # Source
///
/// [arXiv 2402.01032](https://arxiv.org/abs/2402.01032), section 3. Its code means to draw unique n-grams,
/// but draws from all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NgramLookup {
    #[serde(flatten)]
    letters: RandomLetters,
    n: usize,
    length_answer: usize,
    key_place: KeyPlace,
}

impl NgramLookup {
    /// Keys of `n` letters in strings of these lengths, over all twenty-six letters.
    ///
    /// # Panics
    ///
    /// If `n` or `length_answer` is 0, or if `lengths` is empty or does not start above `n`.
    pub fn new(lengths: RangeInclusive<usize>, n: usize, length_answer: usize, key_place: KeyPlace) -> Self {
        valid(Self { letters: RandomLetters::new(lengths), n, length_answer, key_place })
    }

    /// Draws from the first `letters` letters only; the token ids stay as they are.
    ///
    /// # Panics
    ///
    /// Unless `letters` is between 2 and 26.
    pub fn with_alphabet(self, letters: u32) -> Self {
        valid(Self { letters: self.letters.with_alphabet(letters), ..self })
    }

    /// A string of this length and the place of the key's first occurrence in it.
    fn string_and_place(&self, length: usize, rng: &mut ChaCha8Rng) -> (Vec<u32>, usize) {
        let after = length - self.n;
        let starts = if self.length_answer <= after { after - self.length_answer + 1 } else { after };
        let mut redraws = 0;
        loop {
            let x = self.letters.draw(length, rng);
            let start = index(starts, rng);
            let key = &x[start..start + self.n];
            let first = x.windows(self.n).position(|ngram| ngram == key).unwrap_or(start);
            let unique = !x[first + 1..].windows(self.n).any(|ngram| ngram == key);
            if unique || redraws == REDRAWS {
                return (x, first);
            }
            redraws += 1;
        }
    }
}

impl Task for NgramLookup {
    fn name(&self) -> &str {
        name(self.key_place)
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
        let Self { n, length_answer, .. } = *self;
        self.letters.check(self.name())?;
        require(n > 0, || format!("{}: n must be above 0", self.name()))?;
        require(length_answer > 0, || format!("{}: length_answer must be above 0", self.name()))?;
        require(length > n, || format!("{}: length ({length}) must be above n ({n})", self.name()))
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check(length));
        let (x, place) = self.string_and_place(length, rng);
        let (key, rest) = x[place..].split_at(self.n);
        lookup(self.key_place, key, &x, &rest[..self.length_answer.min(rest.len())])
    }

    fn longest(&self) -> usize {
        expect_valid(self.check_lengths());
        // The key at the very beginning.
        let x = vec![0; *self.letters.lengths.end()];
        let (key, rest) = x.split_at(self.n);
        lookup(self.key_place, key, &x, &rest[..self.length_answer.min(rest.len())]).tokens.len()
    }
}

fn name(key_place: KeyPlace) -> &'static str {
    match key_place {
        KeyPlace::Prefix => "prefix_ngram",
        KeyPlace::Suffix => "suffix_ngram",
    }
}

/// `$g|x|a.` or `$x|ga.`
pub(super) fn lookup(key_place: KeyPlace, key: &[u32], x: &[u32], answer: &[u32]) -> Example {
    let prompt = match key_place {
        KeyPlace::Prefix => [&[BOS], key, &[SEPARATOR], x, &[SEPARATOR]].concat(),
        KeyPlace::Suffix => [&[BOS], x, &[SEPARATOR], key].concat(),
    };
    Example::prompted(prompt, answer, EOS)
}

#[cfg(test)]
mod tests;
