//! Cross entropy on the answers alone.

use burn::tensor::Tensor;

use crate::evaluation::answer_cross_entropy;
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::Batch;

/// The mean cross entropy at the targets of `batch`, `[1]`, in nats, and the token the model would say at each of them.
///
/// Hidden vectors that no target asks for never reach the head.
///
/// # Panics
///
/// If the batch has no target.
pub fn answer_loss<M: SequenceMixer>(model: &LanguageModel<M>, batch: &Batch) -> (Tensor<1>, Vec<u32>) {
    let (loss, logits, _) = answer_cross_entropy(model, batch);
    let said = logits.inner().argmax(1);
    (loss, said.into_data().iter::<u32>().collect())
}
