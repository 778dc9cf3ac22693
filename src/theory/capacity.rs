//! Bounds for a model whose state after the string has so many bits.
//!
//! The bits are all that crosses from the string to its copy: a recurrence's state, a convolution's window, a cache. They are eight
//! times [`LanguageModel::state_bytes`](crate::models::LanguageModel::state_bytes), or, of a state that is rounded,
//! [`Quantised::row_bits`](super::Quantised::row_bits). For models trained in practice these are bounds and nothing more: they
//! fall far below them.
//!
//! ```
//! use burn_sequence::models::LanguageModelConfig;
//! use burn_sequence::tasks::vocabulary;
//! use burn_sequence::theory::capacity::string_accuracy_bound;
//!
//! let config: LanguageModelConfig = LanguageModelConfig::parse("2*mamba(d_state=4)", 8, vocabulary::SIZE)?;
//! let model = config.init(&burn::tensor::Device::default());
//! let bits = 8.0 * model.state_bytes(1000) as f64;
//! assert_eq!(bits, 7_168.0);
//! assert_eq!(string_accuracy_bound(bits, 1000, 26), 1.0); // 4,701 bits are enough
//! assert!(string_accuracy_bound(bits, 2000, 26) < 1e-300);
//! # Ok::<(), burn_sequence::Error>(())
//! ```

/// The greatest part of the strings of `length` letters over `alphabet` that can be copied without a mistake:
///
/// ```text
/// min(1, 2^(bits − length · log₂ alphabet))
/// ```
///
/// What is said after the string is a function of the state, so there are at most `2^bits` strings that are said right.
///
/// # Panics
///
/// If `bits` is negative or not a number, or `alphabet` is below 2.
///
/// # Source
///
/// arXiv 2402.01032, theorem 2.7.
pub fn string_accuracy_bound(bits: f64, length: usize, alphabet: usize) -> f64 {
    check(bits, alphabet);
    (bits - length as f64 * (alphabet as f64).log2()).exp2().min(1.0)
}

/// The greatest part of the letters that can be right: `1 − δ` with the least δ for which
///
/// ```text
/// log₂ D − H(δ) − δ log₂(D − 1) ≤ bits / length,      H(δ) = −δ log₂ δ − (1 − δ) log₂(1 − δ)
/// ```
///
/// for an alphabet of D letters (Fano's inequality, averaged over the letters). It holds for free decoding and for letters
/// said after the true ones before.
///
/// # Panics
///
/// If `bits` is negative or not a number, `length` is 0, or `alphabet` is below 2.
pub fn char_accuracy_bound(bits: f64, length: usize, alphabet: usize) -> f64 {
    check(bits, alphabet);
    assert!(length > 0, "char_accuracy_bound: length must be above 0");
    let per_letter = bits / length as f64;
    // What a letter needs falls from log₂ D at δ = 0 to 0 at δ = 1 − 1 / D, where guessing is enough.
    let (mut low, mut high) = (0.0, 1.0 - (alphabet as f64).recip());
    if letter_bits(low, alphabet) <= per_letter {
        return 1.0;
    }
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if letter_bits(middle, alphabet) <= per_letter {
            high = middle;
        } else {
            low = middle;
        }
    }
    1.0 - high
}

/// The fewest bits of state with which at least this part of the strings can be copied:
/// `length · log₂ alphabet + log₂ accuracy`, and not below 0.
///
/// With an accuracy of a half, corollary 2.8 of arXiv 2402.01032.
///
/// # Panics
///
/// If `accuracy` is not between 0 and 1, or `alphabet` is below 2.
pub fn bits_needed(accuracy: f64, length: usize, alphabet: usize) -> f64 {
    assert!((0.0..=1.0).contains(&accuracy), "bits_needed: accuracy must be between 0 and 1, not {accuracy}");
    check(0.0, alphabet);
    (length as f64 * (alphabet as f64).log2() + accuracy.log2()).max(0.0)
}

fn check(bits: f64, alphabet: usize) {
    assert!(bits >= 0.0, "bits must not be negative, and are {bits}");
    assert!(alphabet >= 2, "an alphabet has at least 2 letters, not {alphabet}");
}

/// `log₂ D − H(δ) − δ log₂(D − 1)`.
fn letter_bits(error: f64, alphabet: usize) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    let letters = alphabet as f64;
    letters.log2() - term(error) - term(1.0 - error) - error * (letters - 1.0).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_by_hand() {
        // Four letters take eight bits.
        assert_eq!(string_accuracy_bound(8.0, 4, 4), 1.0);
        assert_eq!(string_accuracy_bound(100.0, 4, 4), 1.0);
        assert_eq!(string_accuracy_bound(5.0, 4, 4), 0.125);
        assert_eq!(bits_needed(0.125, 4, 4), 5.0);
        assert_eq!(bits_needed(0.0, 4, 4), 0.0);
        // Corollary 2.8 with 300 letters of 26: 1409 bits.
        assert!((bits_needed(0.5, 300, 26) - 1409.13).abs() < 0.01);
    }

    #[test]
    fn letters_by_hand() {
        assert_eq!(char_accuracy_bound(300.0, 100, 8), 1.0);
        // With no bits, guessing; the bound is flat there, so that rounding weighs.
        assert!((char_accuracy_bound(0.0, 100, 8) - 0.125).abs() < 1e-6);
        // A binary symmetric channel: 1 − H(0.11) = 0.5 bits.
        assert!((char_accuracy_bound(50.0, 100, 2) - 0.889_972).abs() < 1e-5);
    }

    #[test]
    fn whole_strings_are_harder_than_letters() {
        for bits in [0.0, 10.0, 40.0, 90.0] {
            assert!(string_accuracy_bound(bits, 20, 26) <= char_accuracy_bound(bits, 20, 26));
        }
    }

    /// A state that holds the first k letters and guesses the others meets the bound on strings.
    #[test]
    fn a_shift_register_meets_the_bound() {
        let (kept, length, alphabet) = (3, 5, 4);
        let bits = f64::from(kept) * 2.0;
        let right = 0.25_f64.powi(length - kept);
        assert!((string_accuracy_bound(bits, length as usize, alphabet) - right).abs() < 1e-12);
    }

    /// The states that `examples/theorem` trained and rounded, 8 of 4 letters: none copied more than its bits allow, and chance.
    #[test]
    fn nothing_measured_is_above_the_bound() {
        let records = include_str!("../../docs/experiments/theorem/results.jsonl");
        let mut tight = 0;
        for record in records.lines() {
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            let number = |name: &str| record[name].as_f64().unwrap();
            assert_eq!(number("test_len"), 8.0);
            let bound = string_accuracy_bound(number("state_bits"), 8, 4);
            let chance = 5.0 * (bound * (1.0 - bound) / number("strings")).sqrt();
            assert!(number("string_accuracy") <= bound + chance, "{record}");
            tight += usize::from(bound < 1.0);
        }
        assert!(tight > 10, "records that the bound says something of: {tight}");
    }

    #[test]
    #[should_panic(expected = "an alphabet has at least 2 letters, not 1")]
    fn one_letter() {
        string_accuracy_bound(1.0, 1, 1);
    }
}
