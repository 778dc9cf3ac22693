//! Outputs, final states and gradients against numbers that are not this crate's; see `tests/golden/README.md`.
#![cfg(feature = "autodiff")]
#![recursion_limit = "256"]

#[path = "goldens/golden.rs"]
mod golden;
#[path = "ops/has_f64.rs"]
mod has_f64;

#[path = "goldens/attention.rs"]
mod attention;
#[path = "goldens/delta_net.rs"]
mod delta_net;
#[path = "goldens/delta_rule.rs"]
mod delta_rule;
#[path = "goldens/gated_delta_net.rs"]
mod gated_delta_net;
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
#[path = "goldens/min_gru.rs"]
mod min_gru;
#[path = "goldens/retention.rs"]
mod retention;
#[path = "goldens/rg_lru.rs"]
mod rg_lru;
#[path = "goldens/s4d.rs"]
mod s4d;
#[path = "goldens/selective_scan.rs"]
mod selective_scan;
#[path = "goldens/ssd.rs"]
mod ssd;
#[path = "goldens/vector_decay.rs"]
mod vector_decay;
