use std::ops::RangeInclusive;

use rand::{RngExt, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use super::{require, vocabulary::LETTERS};
use crate::Result;

/// Strings of independent, uniform letters: the `x` of every task here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RandomLetters {
    pub(super) lengths: RangeInclusive<usize>,
    alphabet: u32,
}

impl RandomLetters {
    pub(super) fn new(lengths: RangeInclusive<usize>) -> Self {
        Self { lengths, alphabet: LETTERS }
    }

    pub(super) fn with_alphabet(self, letters: u32) -> Self {
        Self { alphabet: letters, ..self }
    }

    pub(super) fn check(&self, task: &str) -> Result<()> {
        let letters = self.alphabet;
        require((2..=LETTERS).contains(&letters), || {
            format!("{task}: the alphabet has 2 to {LETTERS} letters, not {letters}")
        })
    }

    pub(super) fn draw(&self, length: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
        (0..length).map(|_| rng.random_range(0..self.alphabet)).collect()
    }
}

/// A uniform index below `len`, the same on platforms with 32 and 64 bits.
pub(super) fn index(len: usize, rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0..len as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn letters_are_uniform_over_the_alphabet() {
        for alphabet in [2, 5, 26] {
            let letters = RandomLetters::new(1..=1).with_alphabet(alphabet);
            let drawn = letters.draw(1000 * alphabet as usize, &mut ChaCha8Rng::seed_from_u64(1));
            let mut count = vec![0; alphabet as usize];
            drawn.iter().for_each(|&letter| count[letter as usize] += 1);
            // Five standard deviations of about 31.
            assert!(count.iter().all(|n| (845..=1155).contains(n)), "{count:?}");
        }
    }

    #[test]
    fn index_reaches_both_ends() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: std::collections::BTreeSet<usize> = (0..200).map(|_| index(4, &mut rng)).collect();
        assert_eq!(drawn, (0..4).collect());
    }

    #[test]
    fn alphabet_beyond_the_letters() {
        let problem = RandomLetters::new(1..=1).with_alphabet(27).check("task").unwrap_err().to_string();
        assert_eq!(problem, "task: the alphabet has 2 to 26 letters, not 27");
    }
}
