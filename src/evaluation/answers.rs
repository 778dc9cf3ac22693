//! The logits that a batch asks for.

use burn::tensor::{Int, Tensor, TensorData};

use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::Batch;

/// Logits at every target of `batch`, `[targets, vocab_size]`: hidden vectors that no target asks for never reach
/// the head.
///
/// # Panics
///
/// If the batch has no target.
pub fn answer_logits<M: SequenceMixer>(model: &LanguageModel<M>, batch: &Batch) -> Tensor<2> {
    let positions = batch.target_positions();
    assert!(!positions.is_empty(), "batch: no example is whole; context_len ({}) is too short", batch.seq);
    let (hidden, _) = model.hidden(batch.tokens(&model.device()), batch.segments().as_ref(), None);
    logits_at(model, hidden, positions)
}

/// Logits at these positions of `hidden [rows, seq, d_model]`, counted row after row.
pub(super) fn logits_at<M: SequenceMixer>(
    model: &LanguageModel<M>,
    hidden: Tensor<3>,
    positions: Vec<i32>,
) -> Tensor<2> {
    let [rows, seq, d_model] = hidden.dims();
    let count = positions.len();
    let positions = Tensor::<1, Int>::from_data(TensorData::new(positions, [count]), &hidden.device());
    model.logits(hidden.reshape([rows * seq, d_model]).select(0, positions))
}
