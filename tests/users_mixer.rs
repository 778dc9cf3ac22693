//! The mixer that the `hybrid` example defines goes through the suite that ours go through.
#![recursion_limit = "256"]

#[path = "../examples/hybrid.rs"]
#[allow(dead_code)]
mod hybrid;

use burn_sequence::layers::BuildMixer;

#[test]
fn keeps_the_laws() {
    burn_sequence::testing::check_laws(&hybrid::EmaConfig::for_width(6));
}
