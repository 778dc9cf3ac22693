use std::ops::RangeInclusive;

use rand::{RngExt, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use super::random_letters::index;
use super::{Example, Target, Task, require, valid};
use crate::Result;
use crate::check::{check_size, expect_valid};

/// Induction heads: what followed the special token the first time?
///
/// ```text
/// d b a # c a d b … a #      say c
/// ```
///
/// Tokens are uniform below `vocab_size − 1`; the last id is the special one. It stands at a place drawn uniformly, and at
/// the end. Only the answer after the end is in the loss: with a loss on all tokens training stalls. A length counts
/// the tokens.
///
/// # Source
///
/// arXiv 2312.00752, section 4.1.2: trained on 256 tokens, 16 ids, tested on 2⁶ to 2²⁰.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Induction {
    lengths: RangeInclusive<usize>,
    vocab_size: usize,
}

impl Induction {
    /// Examples of so many tokens in training, of a vocabulary of 16.
    ///
    /// # Panics
    ///
    /// If `lengths` is empty or starts below 3.
    pub fn new(lengths: RangeInclusive<usize>) -> Self {
        valid(Self { lengths, vocab_size: 16 })
    }

    /// With this many tokens, the special one among them.
    ///
    /// # Panics
    ///
    /// If there are fewer than 3.
    pub fn with_vocab_size(self, vocab_size: usize) -> Self {
        valid(Self { vocab_size, ..self })
    }
}

impl Task for Induction {
    fn name(&self) -> &str {
        "induction"
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// No answer, but an ordinary token: what stands after the end is not read.
    fn padding(&self) -> u32 {
        (self.vocab_size as u32).saturating_sub(1)
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.lengths.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        check_size("induction", "vocab_size", self.vocab_size, 3)?;
        require(length >= 3, || format!("induction: length must be at least 3, not {length}"))
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check(length));
        let special = self.vocab_size as u32 - 1;
        let mut tokens: Vec<u32> = (0..length).map(|_| rng.random_range(0..special)).collect();
        // The answer and the end come after it.
        let place = index(length - 2, rng);
        tokens[place] = special;
        tokens[length - 1] = special;
        let target = Target { position: length - 1, token: tokens[place + 1], scored: true };
        Example { tokens, targets: vec![target] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_answer_followed_the_special_token() {
        let task = Induction::new(3..=30).with_vocab_size(5);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for length in 3..=30 {
            let Example { tokens, targets } = task.example(length, &mut rng);
            let places: Vec<usize> = (0..length).filter(|&place| tokens[place] == 4).collect();
            assert_eq!((tokens.len(), places.len(), places[1]), (length, 2, length - 1));
            let wanted = Target { position: length - 1, token: tokens[places[0] + 1], scored: true };
            assert_eq!(targets, [wanted]);
            assert!(wanted.token < 4);
        }
    }

    #[test]
    fn every_place_is_drawn() {
        let task = Induction::new(6..=6);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let place =
            |_| task.example(6, &mut rng).tokens.iter().position(|&token| token == 15).expect("it is there");
        let places: std::collections::BTreeSet<usize> = (0..200).map(place).collect();
        assert_eq!(places, (0..4).collect());
    }

    #[test]
    #[should_panic(expected = "induction: length must be at least 3, not 2")]
    fn too_short() {
        Induction::new(2..=9);
    }
}
