//! How surprising a text is.

use burn::module::Module;

use super::TOKENS_AT_ONCE;
use super::answers::{answer_labels, log_likelihoods};
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::{Batch, Row};

/// Logits that are there at once: 64 MiB.
const LOGITS_AT_ONCE: usize = 1 << 24;

/// `exp` of the mean over tokens of −log p(token | the tokens before it in its piece), of `tokens` cut into pieces of
/// `context_len`, each of which is read at once.
///
/// Every token but the first is said, up to the end of the last whole piece.
///
/// # Panics
///
/// If `context_len` is 0 or not below the number of tokens, or a token is not below the model's `vocab_size`.
pub fn perplexity<M: SequenceMixer>(model: &LanguageModel<M>, tokens: &[u32], context_len: usize) -> f64 {
    let (count, model) = (tokens.len(), model.valid());
    let enough = (1..count).contains(&context_len);
    assert!(enough, "perplexity: context_len must be 1 to {}, not {context_len}", count.saturating_sub(1));
    let vocab_size = model.vocab_size();
    if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab_size) {
        panic!("perplexity: token {token} is not below the model's vocab_size ({vocab_size})");
    }
    // The last token of a piece is the first of the next.
    let pieces: Vec<&[u32]> = (0..(count - 1) / context_len)
        .map(|piece| &tokens[piece * context_len..][..context_len + 1])
        .collect();
    let most = (LOGITS_AT_ONCE / model.vocab_size()).max(1);
    let logarithm: f64 = pieces
        .chunks((TOKENS_AT_ONCE / context_len).max(1))
        .map(|pieces| {
            let batch = Batch::from_rows(pieces.iter().map(|piece| Row::next_tokens(piece)).collect());
            let (hidden, _) = model.hidden(batch.tokens(&model.device()), None, None);
            let hidden = hidden.flatten::<2>(0, 1);
            let labels = answer_labels(&batch, &hidden.device());
            let said = |first: usize| {
                let count = most.min(hidden.dims()[0] - first);
                let logits = model.logits(hidden.clone().narrow(0, first, count));
                log_likelihoods(logits, labels.clone().narrow(0, first, count)).sum().into_scalar::<f64>()
            };
            (0..hidden.dims()[0]).step_by(most).map(said).sum::<f64>()
        })
        .sum();
    (-logarithm / (pieces.len() * context_len) as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::LanguageModelConfig;
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{Device, Int, Tensor};

    #[test]
    fn every_token_but_the_first_is_said_once_after_those_of_its_piece() {
        let config: LanguageModelConfig = LanguageModelConfig::parse("attention(n_heads=2)", 8, 5).unwrap();
        let model = config.init(&Device::default());
        let tokens = [0, 3, 1, 4, 2, 2, 0, 1, 3, 4, 1];
        let mut sum = 0.0;
        // The last two are no whole piece.
        for piece in [0, 4] {
            let read = Tensor::<1, Int>::from_data(&tokens[piece..][..4], &Device::default()).unsqueeze();
            let logits = log_softmax(model.forward(read, None, None).0, 2);
            let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
            sum += (0..4).map(|place| logits[5 * place + tokens[piece + place + 1] as usize]).sum::<f64>();
        }
        let found = perplexity(&model, &tokens.map(|token| token as u32), 4);
        assert!((found - (-sum / 8.0_f64).exp()).abs() < 1e-4 * found, "{found}");
    }

    #[test]
    #[should_panic(expected = "perplexity: context_len must be 1 to 3, not 4")]
    fn too_long_a_context() {
        let config: LanguageModelConfig = LanguageModelConfig::parse("lstm", 8, 5).unwrap();
        perplexity(&config.init(&Device::default()), &[0, 1, 2, 3], 4);
    }
}
