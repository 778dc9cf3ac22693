//! Cross entropy on the answers alone.

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};

use crate::evaluation::answer_logits;
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::Batch;

/// The mean cross entropy at the targets of `batch`, and the token the model would say at each of them.
///
/// Hidden vectors that no target asks for never reach the head.
///
/// # Panics
///
/// If the batch has no target.
pub fn answer_loss<M: SequenceMixer>(model: &LanguageModel<M>, batch: &Batch) -> (Tensor<1>, Vec<u32>) {
    let logits = answer_logits(model, batch);
    let device = logits.device();
    let [targets, _] = logits.dims();
    let labels = batch.target_tokens();
    let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [targets, 1]), &device);
    let said = logits.clone().inner().argmax(1);
    let loss = log_softmax(logits, 1).gather(1, labels).mean().neg();
    (loss, said.into_data().iter::<u32>().collect())
}
