//! The best that a bounded state can do, as a machine.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// A machine whose state is the last `kept` letters of the string: it says them, and guesses the others.
///
/// Its state takes `alphabet^kept` values, and no machine of as many states copies more strings
/// ([`string_accuracy_bound`](super::capacity::string_accuracy_bound)).
///
/// # Source
///
/// arXiv 2402.01032, theorem 2.7, met with equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShiftRegister {
    /// Letters the state holds.
    pub kept: usize,
    /// Letters there are.
    pub alphabet: usize,
}

impl ShiftRegister {
    /// Bits of the state: `kept · log₂ alphabet`.
    pub fn bits(self) -> f64 {
        self.kept as f64 * (self.alphabet as f64).log2()
    }

    /// The part of uniform strings of `length` that it copies: `alphabet^(kept − length)`, and 1.
    pub fn string_accuracy(self, length: usize) -> f64 {
        (self.alphabet as f64).powf(self.kept as f64 - length as f64).min(1.0)
    }

    /// What it says of `string`.
    ///
    /// # Panics
    ///
    /// If there are no letters to guess from.
    pub fn copy(self, string: &[u32], rng: &mut ChaCha8Rng) -> Vec<u32> {
        let guess = |rng: &mut ChaCha8Rng| rng.random_range(0..self.alphabet as u32);
        let (lost, known) = string.split_at(string.len().saturating_sub(self.kept));
        lost.iter().map(|_| guess(rng)).chain(known.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::capacity::string_accuracy_bound;
    use rand::SeedableRng;

    #[test]
    fn meets_the_bound() {
        for (kept, alphabet, length) in [(0, 2, 3), (3, 4, 5), (7, 26, 9), (5, 2, 4)] {
            let machine = ShiftRegister { kept, alphabet };
            let bound = string_accuracy_bound(machine.bits(), length, alphabet);
            assert!((machine.string_accuracy(length) / bound - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn says_what_it_holds() {
        let machine = ShiftRegister { kept: 2, alphabet: 4 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let string = [3, 1, 0, 2];
        let right = (0..4000).filter(|_| machine.copy(&string, &mut rng) == string).count();
        assert!((0..4000).all(|_| machine.copy(&string, &mut rng)[2..] == string[2..]));
        // 250 expected, four standard deviations of 15.
        assert!((190..=310).contains(&right), "{right}");
    }
}
