//! The recurrences, tensors in and tensors out, without parameters.
//!
//! An op is named by its recurrence, not by a paper; one serves many layers. Each has a `reference` (the
//! paper's loop, the oracle), a portable form in plain tensor operations for every backend, and, where the
//! kernel exists, a fused form for the CPU backends; [`Implementation`] chooses.

mod activation;
mod attention;
mod causal_conv;
mod positions;
mod scalar_decay;
mod segments;
mod selective_scan;
mod vector_decay;

pub use crate::kernels::Implementation;
pub use activation::{gelu, rms_norm, silu, softplus};
pub use attention::{AttentionInputs, AttentionOptions, HeadBias, attention, attention_reference};
pub use causal_conv::{causal_conv, causal_conv_step};
pub use positions::{HardAlibi, Position, Rope, RopePairs, alibi_slopes};
pub use scalar_decay::{ScalarDecayInputs, scalar_decay, scalar_decay_reference};
pub use segments::Segments;
pub(crate) use segments::rotate_rows;
pub use selective_scan::{SelectiveScanInputs, selective_scan, selective_scan_reference};
pub use vector_decay::{VectorDecayInputs, vector_decay, vector_decay_reference};
