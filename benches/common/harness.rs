//! What the benches of ops and mixers share.

use std::time::Duration;

/// Sequence lengths: 256 to 16,384 in powers of two; with `--test` the first alone.
pub fn lengths() -> impl Iterator<Item = usize> + Clone {
    let last = if std::env::args().any(|argument| argument == "--test") { 8 } else { 14 };
    (8..=last).map(|power| 1 << power)
}

/// Runs what the flags ask for: at most two seconds a case, unless they say otherwise.
pub fn run() {
    crate::allocator::keep_large_buffers();
    divan::Divan::default().max_time(Duration::from_secs(2)).config_with_args().main();
}
