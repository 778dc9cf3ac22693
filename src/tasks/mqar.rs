use std::ops::RangeInclusive;

use rand::{RngExt, rngs::ChaCha8Rng, seq::index::sample};
use serde::{Deserialize, Serialize};

use super::{Example, Target, Task, require, valid};
use crate::Result;
use crate::check::{check_size, expect_valid};

/// Multi-query associative recall: pairs of key and value, then every key once more.
///
/// ```text
/// k₁ v₁ k₂ v₂ … k_K v_K  0 k₂ 0 0 0 0 k₁ 0 …      say v₂ after the second k₂, v₁ after the second k₁
/// ```
///
/// Of `vocab_size` V tokens, keys are among `1..V/2` and values among `V/2..V`, each drawn once. After the pairs, in steps
/// of two tokens, key after key is asked again at gap g with a chance in proportion to `(g + 1)^(a − 1)`, a = 0.01, so
/// that most are asked soon; between the questions stands 0. The value is said when the key has been read, and it is not
/// the next token. A length counts the pairs; an example has `seq` tokens whatever its length.
///
/// # Source
///
/// arXiv 2312.04927, section 4, and its code (`zoology`), without random tokens between the questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mqar {
    pairs: RangeInclusive<usize>,
    seq: usize,
    vocab_size: usize,
}

/// What makes a question come soon.
const POWER: f64 = 0.01;

impl Mqar {
    /// So many pairs in training, in examples of `seq` tokens.
    ///
    /// # Panics
    ///
    /// If `pairs` is empty or starts at 0, or if `seq` or `vocab_size` is too small for the most pairs: a pair takes
    /// four tokens, and has a key of `vocab_size / 2 − 1`.
    pub fn new(pairs: RangeInclusive<usize>, seq: usize, vocab_size: usize) -> Self {
        valid(Self { pairs, seq, vocab_size })
    }

    /// Different gaps of `space`, early ones more likely.
    fn gaps(space: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut weights: Vec<f64> = (1..=space).map(|place| (place as f64).powf(POWER - 1.0)).collect();
        let draw = |_| {
            let mut at = rng.random_range(0.0..weights.iter().sum::<f64>());
            let mut gap = weights.iter().rposition(|&weight| weight > 0.0).expect("a gap is left");
            for (place, &weight) in weights.iter().enumerate() {
                if at < weight {
                    gap = place;
                    break;
                }
                at -= weight;
            }
            weights[gap] = 0.0;
            gap
        };
        (0..count).map(draw).collect()
    }
}

impl Task for Mqar {
    fn name(&self) -> &str {
        "mqar"
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn padding(&self) -> u32 {
        0
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.pairs.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        let Self { seq, vocab_size, .. } = *self;
        let keys = (vocab_size / 2).saturating_sub(1);
        check_size("mqar", "vocab_size", vocab_size, 4)?;
        require(length > 0, || "mqar: pairs must be above 0".into())?;
        require(length <= seq / 4, || {
            format!("mqar: {length} pairs need {} tokens, and seq is {seq}", length.saturating_mul(4))
        })?;
        require(length <= keys, || {
            format!("mqar: {length} pairs need as many keys; vocab_size {vocab_size} has {keys}")
        })
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check(length));
        let half = self.vocab_size / 2;
        let keys = sample(rng, half - 1, length).into_iter().map(|key| key as u32 + 1);
        let pairs: Vec<u32> = keys.flat_map(|key| [key, 0]).collect();
        let mut tokens = pairs;
        for (pair, value) in sample(rng, self.vocab_size - half, length).into_iter().enumerate() {
            tokens[2 * pair + 1] = (value + half) as u32;
        }
        tokens.resize(self.seq, 0);
        let gaps = Self::gaps((self.seq - 2 * length) / 2, length, rng);
        let mut targets = Vec::with_capacity(length);
        for (pair, gap) in gaps.into_iter().enumerate() {
            let position = 2 * (length + gap);
            tokens[position] = tokens[2 * pair];
            targets.push(Target { position, token: tokens[2 * pair + 1], scored: true });
        }
        targets.sort_unstable_by_key(|target| target.position);
        Example { tokens, targets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_key_is_asked_once_and_its_value_wanted() {
        let task = Mqar::new(1..=8, 64, 40);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..100 {
            let Example { tokens, targets } = task.example(8, &mut rng);
            assert_eq!((tokens.len(), targets.len()), (64, 8));
            let mut asked: Vec<u32> = targets.iter().map(|target| tokens[target.position]).collect();
            for target in &targets {
                let key = tokens[target.position];
                let pair = (0..8).find(|pair| tokens[2 * pair] == key).expect("a key of a pair");
                assert!(target.position >= 16 && (1..20).contains(&key) && (20..40).contains(&target.token));
                assert_eq!(target.token, tokens[2 * pair + 1]);
            }
            asked.sort_unstable();
            asked.dedup();
            assert_eq!(asked.len(), 8);
            assert_eq!(tokens[16..].iter().filter(|&&token| token != 0).count(), 8);
        }
    }

    #[test]
    fn questions_come_soon() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let first = (0..4000).filter(|_| Mqar::gaps(8, 1, &mut rng)[0] == 0).count();
        // 1 / Σ p^(−0.99) over eight places is 0.366; four standard deviations are 122.
        assert!((1342..=1586).contains(&first), "{first}");
    }

    #[test]
    #[should_panic(expected = "mqar: 9 pairs need 36 tokens, and seq is 35")]
    fn too_many_for_the_row() {
        Mqar::new(1..=9, 35, 64);
    }

    #[test]
    #[should_panic(expected = "mqar: 8 pairs need as many keys; vocab_size 16 has 7")]
    fn too_many_for_the_vocabulary() {
        Mqar::new(1..=8, 64, 16);
    }
}
