//! Outputs, final states and gradients against numbers that are not this crate's; see `tests/golden/README.md`.
#![cfg(feature = "autodiff")]
#![recursion_limit = "256"]

#[path = "goldens/golden.rs"]
mod golden;

#[path = "goldens/attention.rs"]
mod attention;
#[path = "goldens/gla.rs"]
mod gla;
#[path = "goldens/linear_attention.rs"]
mod linear_attention;
#[path = "goldens/lstm.rs"]
mod lstm;
#[path = "goldens/mamba.rs"]
mod mamba;
#[path = "goldens/mamba2.rs"]
mod mamba2;
#[path = "goldens/retention.rs"]
mod retention;
#[path = "goldens/selective_scan.rs"]
mod selective_scan;
#[path = "goldens/ssd.rs"]
mod ssd;
#[path = "goldens/vector_decay.rs"]
mod vector_decay;
