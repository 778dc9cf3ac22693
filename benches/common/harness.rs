//! What the benches by divan share.

use std::time::Duration;

/// Whether everything runs once, briefly.
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Runs what the flags ask for: at most two seconds a case, unless they say otherwise.
pub fn run() {
    crate::allocator::keep_large_buffers();
    divan::Divan::default().max_time(Duration::from_secs(2)).config_with_args().main();
}
