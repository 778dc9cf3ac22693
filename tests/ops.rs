//! Fused = portable = reference, in value and gradient, for every op.
#![recursion_limit = "256"]

#[path = "ops/support.rs"]
mod support;

#[path = "ops/selective_scan.rs"]
mod selective_scan;
