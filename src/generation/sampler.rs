use std::cmp::Ordering;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::options::GenerateOptions;
use crate::{Error, Result};

/// Chooses the tokens of one row.
///
/// Every row has a stream of random numbers of its own, which `seed` and the row's number decide: what is
/// chosen for one row does not depend on the others. Equal logits go by the lowest token.
#[derive(Debug)]
pub struct Sampler {
    options: GenerateOptions,
    row: usize,
    random: ChaCha8Rng,
}

/// A token that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    token: u32,
    /// A logit; in the end e to the power of it, over a common factor.
    weight: f64,
}

impl Candidate {
    /// The most probable first; of equals, the lowest.
    fn order(&self, other: &Self) -> Ordering {
        other.weight.total_cmp(&self.weight).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// The sampler of this row of a batch, counted from 0.
    ///
    /// # Errors
    ///
    /// Those of [`GenerateOptions::check`].
    pub fn new(options: &GenerateOptions, row: usize) -> Result<Self> {
        options.check()?;
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(row as u64);
        Ok(Self { options: options.clone(), row, random })
    }

    /// Chooses a token by its logit, after the tokens `context`: prompt and output so far.
    ///
    /// A logit of −∞ rules a token out. One random number is drawn, none at temperature 0.
    ///
    /// # Errors
    ///
    /// [`Error::Tokens`], naming the row, if a logit is NaN or ∞, or none is above −∞.
    pub fn sample(&mut self, logits: &[f32], context: &[u32]) -> Result<u32> {
        if self.options.temperature == 0.0 && self.options.repetition_penalty == 1.0 {
            return self.largest(logits);
        }
        let mut candidates = self.candidates(logits, context)?;
        let Some(&best) = candidates.iter().min_by(|a, b| a.order(b)) else {
            return Err(self.nothing_to_choose());
        };
        let GenerateOptions { temperature, top_k, top_p, .. } = self.options;
        if temperature == 0.0 {
            return Ok(best.token);
        }
        if let Some(k) = top_k.filter(|&k| k < candidates.len()) {
            candidates.select_nth_unstable_by(k - 1, Candidate::order);
            candidates.truncate(k);
        }
        for candidate in &mut candidates {
            candidate.weight = ((candidate.weight - best.weight) / temperature).exp();
        }
        if let Some(p) = top_p {
            keep_nucleus(&mut candidates, p);
        } else if top_k.is_some() {
            candidates.sort_unstable_by(Candidate::order);
        }
        Ok(pick(&candidates, self.random.random()))
    }

    fn nothing_to_choose(&self) -> Error {
        Error::Tokens(format!("row {}: no logit is above -inf", self.row))
    }

    fn check(&self, logits: &[f32]) -> Result<()> {
        let row = self.row;
        if let Some(token) = logits.iter().position(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            let logit = logits[token];
            let problem = format!("row {row}: the logit of token {token} is {logit}, expected a number");
            return Err(Error::Tokens(problem));
        }
        Ok(())
    }

    /// The first token with the largest logit.
    fn largest(&self, logits: &[f32]) -> Result<u32> {
        self.check(logits)?;
        let (mut best, mut largest) = (None, f32::NEG_INFINITY);
        for (token, &logit) in (0..).zip(logits) {
            if logit > largest {
                (best, largest) = (Some(token), logit);
            }
        }
        best.ok_or_else(|| self.nothing_to_choose())
    }

    /// The tokens above −∞, with their penalised logits.
    fn candidates(&self, logits: &[f32], context: &[u32]) -> Result<Vec<Candidate>> {
        self.check(logits)?;
        let penalty = self.options.repetition_penalty;
        let mut weights: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        if penalty != 1.0 {
            let mut penalised = vec![false; logits.len()];
            for token in context.iter().map(|&token| token as usize).filter(|&token| token < logits.len()) {
                if !std::mem::replace(&mut penalised[token], true) {
                    let logit = weights[token];
                    let changed = if logit > 0.0 { logit / penalty } else { logit * penalty };
                    // A difference of two stays finite, and what could be said still can.
                    weights[token] =
                        if logit.is_finite() { changed.clamp(f64::MIN / 2.0, f64::MAX / 2.0) } else { logit };
                }
            }
        }
        let candidates = (0..).zip(weights).map(|(token, weight)| Candidate { token, weight });
        Ok(candidates.filter(|candidate| candidate.weight > f64::NEG_INFINITY).collect())
    }
}

/// Keeps the fewest of these, the most probable first, that have the part `p` of all weight.
fn keep_nucleus(candidates: &mut Vec<Candidate>, p: f64) {
    let sum = |candidates: &[Candidate]| candidates.iter().map(|candidate| candidate.weight).sum::<f64>();
    let enough = p * sum(candidates);
    // Most often a few tokens of a large vocabulary have it: only they are sorted.
    let mut few = 64;
    while few < candidates.len() {
        candidates.select_nth_unstable_by(few - 1, Candidate::order);
        if sum(&candidates[..few]) >= enough {
            candidates.truncate(few);
        }
        few *= 4;
    }
    candidates.sort_unstable_by(Candidate::order);
    let mut sum = 0.0;
    let last = candidates.iter().position(|candidate| {
        sum += candidate.weight;
        sum >= enough
    });
    candidates.truncate(last.map_or(candidates.len(), |last| last + 1));
}

/// The candidate at the part `at`, below 1, of the way along their weights.
fn pick(candidates: &[Candidate], at: f64) -> u32 {
    let mut left = at * candidates.iter().map(|candidate| candidate.weight).sum::<f64>();
    for candidate in candidates {
        if left < candidate.weight {
            return candidate.token;
        }
        left -= candidate.weight;
    }
    // Rounding went past the end.
    let last = candidates.iter().rev().find(|candidate| candidate.weight > 0.0);
    last.expect("the best has weight 1").token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(options: GenerateOptions) -> Sampler {
        Sampler::new(&options, 0).unwrap()
    }

    fn hot() -> GenerateOptions {
        GenerateOptions::default().with_temperature(1.0)
    }

    /// How often each token is chosen in `draws`.
    fn counts(options: GenerateOptions, logits: &[f32], context: &[u32], draws: usize) -> Vec<usize> {
        let mut sampler = sampler(options);
        let mut counts = vec![0; logits.len()];
        for _ in 0..draws {
            counts[sampler.sample(logits, context).unwrap() as usize] += 1;
        }
        counts
    }

    /// Logits whose softmax is these probabilities.
    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|probability| probability.ln()).collect()
    }

    #[test]
    fn greedy_takes_the_largest_and_of_equals_the_lowest() {
        let mut greedy = sampler(GenerateOptions::default());
        assert_eq!(greedy.sample(&[0.0, 3.0, -1.0, 3.0], &[]).unwrap(), 1);
        assert_eq!(greedy.sample(&[f32::NEG_INFINITY, -5.0], &[]).unwrap(), 1);
    }

    #[test]
    fn frequencies_are_the_softmax_at_the_temperature() {
        // At temperature 2 the probabilities are as √½ : √⅛ : √⅛ : √¼, over their sum 1.914.
        let logits = logits(&[0.5, 0.125, 0.125, 0.25]);
        let expected = [[0.5, 0.125, 0.125, 0.25], [0.3694, 0.1847, 0.1847, 0.2612]];
        for (temperature, expected) in [1.0, 2.0].into_iter().zip(expected) {
            let counts = counts(hot().with_temperature(temperature), &logits, &[], 20_000);
            for (count, expected) in counts.iter().zip(expected) {
                // Five standard deviations are at most 5 √(¼ / 20000) = 0.018.
                let frequency = *count as f64 / 20_000.0;
                assert!((frequency - expected).abs() < 0.018, "temperature {temperature}: {counts:?}");
            }
        }
    }

    #[test]
    fn top_k_keeps_the_lowest_of_equals() {
        let counts = counts(hot().with_top_k(2), &[1.0, 2.0, 1.0, 1.0], &[], 500);
        assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
        assert_eq!(counts[2] + counts[3], 0, "{counts:?}");
    }

    #[test]
    fn top_k_beyond_the_vocabulary_keeps_all() {
        let counts = counts(hot().with_top_k(9), &[0.0, 0.0, 0.0], &[], 500);
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() {
        let chosen = |top_p: f64, options: GenerateOptions| -> Vec<bool> {
            let logits = logits(&[0.125, 0.5, 0.125, 0.25]);
            counts(options.with_top_p(top_p), &logits, &[], 500).iter().map(|&count| count > 0).collect()
        };
        assert_eq!(chosen(0.01, hot()), [false, true, false, false]);
        assert_eq!(chosen(0.49, hot()), [false, true, false, false]);
        assert_eq!(chosen(0.51, hot()), [false, true, false, true]);
        assert_eq!(chosen(0.76, hot()), [true, true, false, true]);
        assert_eq!(chosen(1.0, hot()), [true; 4]);
        // After top-k, of what is left: 0.5 of 0.75 is 0.667.
        assert_eq!(chosen(0.66, hot().with_top_k(2)), [false, true, false, false]);
        assert_eq!(chosen(0.67, hot().with_top_k(2)), [false, true, false, true]);
        // After the temperature: at ½ the probabilities are as 1 : 16 : 1 : 4, so 16/22 = 0.727 first.
        assert_eq!(chosen(0.72, hot().with_temperature(0.5)), [false, true, false, false]);
    }

    #[test]
    fn top_p_of_a_large_vocabulary_keeps_what_sorting_all_keeps() {
        // As many as 2000 of 5000 equally probable tokens, and the few that matter of a steep distribution.
        for (slope, p, expected) in [(0.0, 0.4, 2000), (0.01, 0.9, 231), (1.0, 0.9, 3)] {
            let candidate = |token: u32| Candidate { token, weight: (-slope * f64::from(token)).exp() };
            let mut candidates: Vec<Candidate> = (0..5000).rev().map(candidate).collect();
            keep_nucleus(&mut candidates, p);
            let kept: Vec<u32> = candidates.iter().map(|candidate| candidate.token).collect();
            assert_eq!(kept, (0..expected).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn a_penalty_beyond_measure_leaves_something_to_say() {
        let forbidden = f32::NEG_INFINITY;
        for (penalty, context, logits, most) in [
            (1e-308, [0], [10.0, 0.0, forbidden], 0),
            (1e-308, [2], [10.0, 0.0, forbidden], 0),
            (f64::MAX, [1], [-30.0, -1.0, forbidden], 0),
        ] {
            let options = hot().with_repetition_penalty(penalty);
            let counts = counts(options.with_top_p(0.9), &logits, &context, 50);
            assert_eq!(counts[most], 50, "{penalty}: {counts:?}");
        }
        let all = counts(hot().with_repetition_penalty(f64::MAX), &[-1.0, -2.0], &[0, 1], 50);
        assert_eq!(all.iter().sum::<usize>(), 50);
    }

    #[test]
    fn penalty_divides_what_is_positive_and_multiplies_what_is_negative_once() {
        let greedy = GenerateOptions::default().with_repetition_penalty(2.0);
        let candidates = |context: &[u32]| -> Vec<f64> {
            let candidates = sampler(greedy.clone()).candidates(&[3.0, -1.0, 2.0, 0.0], context).unwrap();
            candidates.iter().map(|candidate| candidate.weight).collect()
        };
        assert_eq!(candidates(&[]), [3.0, -1.0, 2.0, 0.0]);
        assert_eq!(candidates(&[0, 1, 0, 3, 9]), [1.5, -2.0, 2.0, 0.0]);
        assert_eq!(sampler(greedy.clone()).sample(&[3.0, -1.0, 2.0], &[0]).unwrap(), 2);
    }

    #[test]
    fn tokens_at_minus_infinity_are_never_chosen() {
        let counts = counts(hot(), &[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 0.0], &[0], 500);
        assert_eq!(counts[0] + counts[2], 0);
        assert!(counts[1] > 0 && counts[3] > 0);
    }

    #[test]
    fn the_last_draw_of_all_stays_within() {
        let weights = [0.1, 0.2, 0.3].map(|weight| Candidate { token: (weight * 10.0) as u32, weight });
        assert_eq!(pick(&weights, 0.0), 1);
        assert_eq!(pick(&weights, 0.49), 2);
        assert_eq!(pick(&weights, 1.0 - f64::EPSILON), 3);
    }

    #[test]
    fn rows_and_seeds_have_streams_of_their_own() {
        let draw = |seed: u64, row: usize| -> Vec<u32> {
            let mut sampler = Sampler::new(&hot().with_seed(seed), row).unwrap();
            (0..20).map(|_| sampler.sample(&[0.0; 50], &[]).unwrap()).collect()
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(2, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        // Seed and row are no sum.
        assert_ne!(draw(1, 1), draw(2, 0));
    }

    #[test]
    fn errors_name_the_row() {
        let mut sampler = Sampler::new(&GenerateOptions::default(), 3).unwrap();
        let mut problem = |logits: &[f32]| sampler.sample(logits, &[]).unwrap_err().to_string();
        assert_eq!(problem(&[0.0, f32::NAN]), "row 3: the logit of token 1 is NaN, expected a number");
        assert_eq!(problem(&[f32::INFINITY]), "row 3: the logit of token 0 is inf, expected a number");
        assert_eq!(problem(&[f32::NEG_INFINITY; 2]), "row 3: no logit is above -inf");
    }
}
