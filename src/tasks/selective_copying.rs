use std::ops::RangeInclusive;

use rand::{RngExt, rngs::ChaCha8Rng, seq::index::sample};
use serde::{Deserialize, Serialize};

use super::{Example, Target, Task, require, valid};
use crate::Result;
use crate::check::{check_size, expect_valid};

/// Selective copying: data among noise, to be said in order when asked.
///
/// ```text
/// · · b · a · · · c ·  ? ? ?      say b, a, c after the three ?
/// ```
///
/// `data` tokens stand at places drawn among `length` slots; the other slots hold noise, token 0. Then `data` times the
/// question, token 1, comes, and after each the next datum is to be said: it is not the next token, so that nothing but
/// the model's memory helps. Data are among `2..vocab_size`. Only what a model can forget selectively keeps
/// the data apart from ever more noise.
///
/// # Source
///
/// arXiv 2312.00752, section 4.1.1: 4096 slots, 16 data, 16 tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectiveCopying {
    slots: RangeInclusive<usize>,
    data: usize,
    vocab_size: usize,
}

const NOISE: u32 = 0;
const QUESTION: u32 = 1;

impl SelectiveCopying {
    /// `data` tokens in so many slots in training, of a vocabulary of 16.
    ///
    /// # Panics
    ///
    /// If `data` is 0, or `slots` is empty or starts below `data`.
    pub fn new(slots: RangeInclusive<usize>, data: usize) -> Self {
        valid(Self { slots, data, vocab_size: 16 })
    }

    /// With this many tokens, noise and question among them.
    ///
    /// # Panics
    ///
    /// If there are fewer than 4: with one datum there is nothing to remember.
    pub fn with_vocab_size(self, vocab_size: usize) -> Self {
        valid(Self { vocab_size, ..self })
    }
}

impl Task for SelectiveCopying {
    fn name(&self) -> &str {
        "selective_copying"
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn padding(&self) -> u32 {
        NOISE
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.slots.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        let Self { data, vocab_size, .. } = *self;
        require(data > 0, || "selective_copying: data must be above 0".into())?;
        check_size("selective_copying", "vocab_size", vocab_size, 4)?;
        require(length >= data, || format!("selective_copying: {data} data do not fit {length} slots"))
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        let Self { data, vocab_size, .. } = *self;
        expect_valid(self.check(length));
        let mut places = sample(rng, length, data).into_vec();
        places.sort_unstable();
        let mut tokens = vec![NOISE; length];
        tokens.resize(length + data, QUESTION);
        let target = |(question, place): (usize, usize)| {
            let token = rng.random_range(QUESTION + 1..vocab_size as u32);
            tokens[place] = token;
            Target { position: length + question, token, scored: true }
        };
        let targets = places.into_iter().enumerate().map(target).collect();
        Example { tokens, targets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn data_are_asked_in_order() {
        let task = SelectiveCopying::new(3..=20, 3);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for length in 3..=20 {
            let Example { tokens, targets } = task.example(length, &mut rng);
            assert_eq!(tokens.len(), length + 3);
            assert_eq!(tokens[length..], [QUESTION; 3]);
            let data: Vec<u32> = tokens[..length].iter().copied().filter(|&token| token != NOISE).collect();
            let wanted: Vec<u32> = targets.iter().map(|target| target.token).collect();
            assert_eq!(data, wanted);
            assert!(data.iter().all(|datum| (2..16).contains(datum)));
            let positions: Vec<usize> = targets.iter().map(|target| target.position).collect();
            assert_eq!(positions, [length, length + 1, length + 2]);
        }
    }

    #[test]
    #[should_panic(expected = "selective_copying: 3 data do not fit 2 slots")]
    fn fewer_slots_than_data() {
        SelectiveCopying::new(2..=20, 3);
    }
}
