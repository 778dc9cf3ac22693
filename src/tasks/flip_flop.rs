use std::ops::RangeInclusive;

use rand::{RngExt, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use super::{Example, Target, Task, require, valid};
use crate::Result;
use crate::check::expect_valid;

/// The flip-flop language: one bit of memory, written, ignored and read.
///
/// ```text
/// w 1 i 0 i 1 r 1 w 0 i 1 r 0      after each r the bit of the last w
/// ```
///
/// Pairs of an instruction and a bit. The first writes, the last reads; between them an instruction is ignored with
/// chance `ignore` and else, as likely, a write or a read. Bits of writes and ignored ones are random; that after a read
/// is the answer. A length counts the pairs. The fewer writes, the further back the one that counts: transformers that
/// are right on average still fail now and then, a recurrence of one bit never does.
///
/// # Source
///
/// arXiv 2306.00946, section 3: 256 pairs, trained with 0.8, tested with 0.98 and 0.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlipFlop {
    pairs: RangeInclusive<usize>,
    ignore: f64,
}

/// Tokens 0 and 1 are the bits.
const WRITE: u32 = 2;
const IGNORE: u32 = 3;
const READ: u32 = 4;
const PADDING: u32 = 5;

impl FlipFlop {
    /// So many pairs in training, each ignored with this chance.
    ///
    /// # Panics
    ///
    /// If `pairs` is empty or starts below 2, or `ignore` is not between 0 and 1.
    pub fn new(pairs: RangeInclusive<usize>, ignore: f64) -> Self {
        valid(Self { pairs, ignore })
    }
}

impl Task for FlipFlop {
    fn name(&self) -> &str {
        "flip_flop"
    }

    fn vocab_size(&self) -> usize {
        PADDING as usize + 1
    }

    fn padding(&self) -> u32 {
        PADDING
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.pairs.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        let ignore = self.ignore;
        let is_chance = (0.0..=1.0).contains(&ignore);
        require(is_chance, || format!("flip_flop: ignore must be between 0 and 1, not {ignore}"))?;
        require(length >= 2, || format!("flip_flop: length must be at least 2 pairs, not {length}"))
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check(length));
        let (mut tokens, mut targets) = (Vec::with_capacity(2 * length), Vec::new());
        let mut memory = 0;
        for pair in 0..length {
            let instruction = match pair {
                0 => WRITE,
                _ if pair + 1 == length => READ,
                _ if rng.random_bool(self.ignore) => IGNORE,
                _ if rng.random_bool(0.5) => WRITE,
                _ => READ,
            };
            let bit = if instruction == READ { memory } else { rng.random_range(0..2) };
            if instruction == WRITE {
                memory = bit;
            }
            if instruction == READ {
                targets.push(Target { position: 2 * pair, token: bit, scored: true });
            }
            tokens.extend([instruction, bit]);
        }
        Example { tokens, targets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn reads_give_the_last_write() {
        for ignore in [0.1, 0.8, 0.98] {
            let task = FlipFlop::new(2..=60, ignore);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for length in 2..=60 {
                let Example { tokens, targets } = task.example(length, &mut rng);
                assert_eq!((tokens.len(), tokens[0], tokens[2 * length - 2]), (2 * length, WRITE, READ));
                let reads = tokens.iter().filter(|&&token| token == READ).count();
                assert_eq!(targets.len(), reads);
                for target in targets {
                    let written = tokens[..target.position].rchunks(2).find(|pair| pair[0] == WRITE);
                    let bit = written.expect("the first pair writes")[1];
                    assert_eq!((target.token, tokens[target.position + 1]), (bit, bit));
                }
            }
        }
    }

    #[test]
    fn instructions_come_as_often_as_asked() {
        let tokens = FlipFlop::new(2..=2, 0.8).example(10_002, &mut ChaCha8Rng::seed_from_u64(2)).tokens;
        let count = |wanted| tokens.iter().step_by(2).filter(|&&token| token == wanted).count();
        // Four standard deviations are 160 and 120.
        assert!((7840..=8160).contains(&count(IGNORE)), "{}", count(IGNORE));
        assert!((880..=1122).contains(&count(WRITE)), "{}", count(WRITE));
    }

    #[test]
    #[should_panic(expected = "flip_flop: ignore must be between 0 and 1, not 1.5")]
    fn no_chance() {
        FlipFlop::new(2..=9, 1.5);
    }
}
