//! Fused GPU code under the ops, for every CubeCL runtime: forward only. Gradients go through the portable forms.

pub(crate) mod selective_scan;
