use std::ops::RangeInclusive;

use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::random_letters::RandomLetters;
use super::vocabulary::{BOS, EOS, PADDING, SEPARATOR, SIZE};
use super::{Example, Task, require, valid};
use crate::Result;
use crate::check::expect_valid;

/// Copying a random string: `$x|x.`
///
/// The second `x` is the answer, the end marker is in the loss only. With `length` letters an example has
/// `2 length + 3` tokens. A state of fewer than `length log2(alphabet) - 1` bits after `|` errs on more
/// than half of the strings (corollary 2.8), whatever the training.
///
/// # Source
///
/// [arXiv 2402.01032](https://arxiv.org/abs/2402.01032), section 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    #[serde(flatten)]
    letters: RandomLetters,
}

impl Copying {
    /// Strings of these lengths in training, over all twenty-six letters.
    ///
    /// # Panics
    ///
    /// If `lengths` is empty or starts at 0.
    pub fn new(lengths: RangeInclusive<usize>) -> Self {
        valid(Self { letters: RandomLetters::new(lengths) })
    }

    /// Draws from the first `letters` letters only; the token ids stay as they are.
    ///
    /// # Panics
    ///
    /// Unless `letters` is between 2 and 26.
    pub fn with_alphabet(self, letters: u32) -> Self {
        valid(Self { letters: self.letters.with_alphabet(letters) })
    }
}

impl Task for Copying {
    fn name(&self) -> &str {
        "copying"
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
        self.letters.check(self.name())?;
        require(length > 0, || "copying: length must be above 0".into())
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check(length));
        copy_of(&self.letters.draw(length, rng))
    }
}

/// `$x|x.`
pub(super) fn copy_of(x: &[u32]) -> Example {
    let mut prompt = vec![BOS];
    prompt.extend_from_slice(x);
    prompt.push(SEPARATOR);
    Example::prompted(prompt, x, EOS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Target, vocabulary};
    use rand::SeedableRng;

    fn text(task: &Copying, length: usize, seed: u64) -> String {
        vocabulary::decode(&task.example(length, &mut ChaCha8Rng::seed_from_u64(seed)).tokens).unwrap()
    }

    #[test]
    fn drawn_strings() {
        assert_eq!(text(&Copying::new(5..=16), 8, 12), "$bazuprxg|bazuprxg.");
        assert_eq!(text(&Copying::new(5..=16).with_alphabet(2), 8, 12), "$aabbbbba|aabbbbba.");
    }

    #[test]
    fn targets_written_by_hand() {
        let example = copy_of(&vocabulary::encode("abc").unwrap());
        assert_eq!(example.tokens, vocabulary::encode("$abc|abc.").unwrap());
        assert_eq!(
            example.targets,
            [
                Target { position: 4, token: 0, scored: true },
                Target { position: 5, token: 1, scored: true },
                Target { position: 6, token: 2, scored: true },
                Target { position: 7, token: 28, scored: false },
            ]
        );
    }

    #[test]
    fn second_half_equals_the_first() {
        for seed in 0..200 {
            let length = 1 + seed as usize % 40;
            let text = text(&Copying::new(1..=4).with_alphabet(3), length, seed);
            let (x, copy) =
                text.strip_prefix('$').and_then(|t| t.strip_suffix('.')?.split_once('|')).unwrap();
            assert_eq!(x, copy);
            assert_eq!(x.len(), length);
            assert!(x.chars().all(|letter| "abc".contains(letter)), "{x}");
        }
    }

    #[test]
    #[should_panic(expected = "copying: the range of lengths 6..=5 is empty")]
    #[allow(clippy::reversed_empty_ranges)]
    fn empty_range() {
        Copying::new(6..=5);
    }

    #[test]
    #[should_panic(expected = "copying: length must be above 0")]
    fn zero_length() {
        Copying::new(0..=5);
    }

    #[test]
    #[should_panic(expected = "copying: the alphabet has 2 to 26 letters, not 1")]
    fn one_letter() {
        let _ = Copying::new(1..=5).with_alphabet(1);
    }

    #[test]
    fn json_round_trip() {
        let task = Copying::new(5..=16).with_alphabet(4);
        let json = serde_json::to_string(&task).unwrap();
        assert_eq!(json, r#"{"lengths":{"start":5,"end":16},"alphabet":4}"#);
        assert_eq!(serde_json::from_str::<Copying>(&json).unwrap(), task);
    }
}
