//! The logits that a batch asks for.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

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

/// The tokens due at the targets of `batch`, `[targets]`.
pub(super) fn answer_labels(batch: &Batch, device: &Device) -> Tensor<1, Int> {
    let labels = batch.target_tokens();
    let count = labels.len();
    Tensor::from_data(TensorData::new(labels, [count]), device)
}

/// The logarithm of the probability that `logits [targets, vocab_size]` give to `labels [targets]`; `[targets, 1]`.
pub(super) fn log_likelihoods(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2> {
    log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1))
}

/// The mean cross entropy at the targets of `batch`, `[1]`, with the logits there and the tokens due.
#[cfg(feature = "autodiff")]
pub(crate) fn answer_cross_entropy<M: SequenceMixer>(
    model: &LanguageModel<M>,
    batch: &Batch,
) -> (Tensor<1>, Tensor<2>, Tensor<1, Int>) {
    let logits = answer_logits(model, batch);
    let labels = answer_labels(batch, &logits.device());
    (log_likelihoods(logits.clone(), labels.clone()).mean().neg(), logits, labels)
}
