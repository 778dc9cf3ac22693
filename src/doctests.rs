//! The Rust code of the README and of `docs/`, compiled and run with the tests.

#[doc = include_str!("../README.md")]
struct Readme;

#[doc = include_str!("../docs/notation.md")]
struct Notation;

#[doc = include_str!("../docs/choosing-a-mixer.md")]
struct ChoosingAMixer;

#[cfg(feature = "autodiff")]
#[doc = include_str!("../docs/adding-a-mixer.md")]
struct AddingAMixer;

#[doc = include_str!("../docs/design.md")]
struct Design;

#[cfg(feature = "autodiff")]
#[doc = include_str!("../docs/experiments/scorecard.md")]
struct TheScorecard;

#[doc = include_str!("../docs/checkpoints.md")]
struct Checkpoints;

#[doc = include_str!("../docs/performance.md")]
struct Performance;

#[doc = include_str!("../docs/experiments/copying.md")]
struct Copying;
