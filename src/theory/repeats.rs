//! n-grams that occur twice: what misleads a copier that looks them up.

/// The chance that an n-gram occurs twice in `length` uniform letters is below `length² · alphabet⁻ⁿ`, and 1.
///
/// # Source
///
/// arXiv 2402.01032, lemma 2.4.
pub fn repeat_bound(length: usize, alphabet: usize, n: usize) -> f64 {
    // By logarithms: Dⁿ leaves the floats.
    (2.0 * (length as f64).log2() - n as f64 * (alphabet as f64).log2()).exp2().min(1.0)
}

/// Whether an n-gram of `letters` occurs twice: of other strings a [`HashCopier`](super::HashCopier) copies every one.
///
/// # Panics
///
/// If `n` is 0.
pub fn repeats(letters: &[u32], n: usize) -> bool {
    let mut keys: Vec<&[u32]> = letters.windows(n).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert!((repeat_bound(10, 10, 4) - 0.01).abs() < 1e-12);
        assert_eq!(repeat_bound(10, 2, 1), 1.0);
    }

    #[test]
    fn an_ngram_that_occurs_twice() {
        let letters = [1, 2, 3, 1, 2, 4];
        assert!(repeats(&letters, 1) && repeats(&letters, 2));
        assert!(!repeats(&letters, 3) && !repeats(&letters, 7) && !repeats(&[], 1));
        // They may overlap.
        assert!(repeats(&[5, 5, 5], 2));
    }
}
