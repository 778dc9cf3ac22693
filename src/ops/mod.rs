//! The recurrences, tensors in and tensors out, without parameters.
//!
//! An op is named by its recurrence, not by a paper; one serves many layers. Attention and the recurrences have a
//! `…_reference` (the paper's loop, the oracle); every op has a portable form in plain tensor operations for every backend,
//! and, where the kernel exists, a fused form for the CPU backends or for GPUs; [`Implementation`] chooses.

mod activation;
mod attention;
mod causal_conv;
mod chunks;
pub(crate) mod complex;
mod complex_scan;
mod delta_rule;
mod diagonal_scan;
mod doubling;
mod gates;
mod linear;
mod lstm;
mod norm;
pub(crate) mod pieces;
mod positions;
mod rope_scaling;
mod scalar_decay;
mod segments;
mod selective_scan;
mod vector_decay;

pub use crate::kernels::Implementation;
pub(crate) use activation::{divided, soft_cap};
pub use activation::{elu_plus_one, gelu, gelu_tanh, neg_exp, sigmoid, silu, softplus};
pub use attention::{AttentionInputs, AttentionOptions, HeadBias, attention, attention_reference};
pub use causal_conv::{causal_conv, causal_conv_silu, causal_conv_step};
pub use complex_scan::{ComplexScanInputs, complex_scan, complex_scan_reference};
pub use delta_rule::{DeltaRuleInputs, delta_rule, delta_rule_reference};
pub use diagonal_scan::{DiagonalScanInputs, diagonal_scan, diagonal_scan_reference};
pub use gates::Gates;
pub use linear::{WeightLayout, linear};
pub(crate) use linear::{apply as apply_linear, apply_in_pieces as apply_linear_in_pieces, output_dtype};
pub use lstm::{LstmInputs, lstm, lstm_reference};
pub use norm::{GatedNormOptions, gated_rms_norm, layer_norm, rms_norm};
pub use positions::{HardAlibi, Position, Rope, RopePairs, alibi_slopes};
pub use rope_scaling::RopeScaling;
pub use scalar_decay::{ScalarDecayInputs, scalar_decay, scalar_decay_reference};
pub use segments::Segments;
pub(crate) use segments::{expect_tokens, rotate_rows};
pub use selective_scan::{SelectiveScanInputs, selective_scan, selective_scan_reference};
pub use vector_decay::{VectorDecayInputs, vector_decay, vector_decay_reference};
