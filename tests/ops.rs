//! Fused = portable = reference, in value and gradient, for every op.
#![recursion_limit = "256"]

#[path = "ops/has_f64.rs"]
mod has_f64;
#[path = "ops/on_host.rs"]
mod on_host;
#[path = "ops/support.rs"]
mod support;

#[path = "ops/activation.rs"]
mod activation;
#[path = "ops/attention.rs"]
mod attention;
#[path = "ops/causal_conv.rs"]
mod causal_conv;
#[path = "ops/complex_scan.rs"]
mod complex_scan;
#[path = "ops/delta_rule.rs"]
mod delta_rule;
#[path = "ops/diagonal_scan.rs"]
mod diagonal_scan;
#[path = "ops/linear.rs"]
mod linear;
#[path = "ops/lstm.rs"]
mod lstm;
#[path = "ops/norm.rs"]
mod norm;
#[path = "ops/positions.rs"]
mod positions;
#[path = "ops/scalar_decay.rs"]
mod scalar_decay;
#[path = "ops/selective_scan.rs"]
mod selective_scan;
#[path = "ops/vector_decay.rs"]
mod vector_decay;
