use crate::harness::is_test;

/// Sequence lengths: 256 to 16,384 in powers of two; with `--test` the first alone.
pub fn lengths() -> impl Iterator<Item = usize> + Clone {
    let last = if is_test() { 8 } else { 14 };
    (8..=last).map(|power| 1 << power)
}
