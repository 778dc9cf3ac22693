//! The mixer that the `hybrid` example defines goes through the suite that ours go through.
#![recursion_limit = "256"]

#[path = "../examples/hybrid.rs"]
#[allow(dead_code, unused_attributes, reason = "an example is a crate of its own, with a main")]
mod hybrid;

use burn_sequence::layers::BuildMixer;

#[test]
fn keeps_the_laws() {
    burn_sequence::testing::check_laws(&hybrid::EmaConfig::for_width(6));
}
