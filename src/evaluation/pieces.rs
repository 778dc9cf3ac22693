//! Strings read in pieces, the state carried from one to the next.

use super::answers::logits_at;
use crate::layers::SequenceMixer;
use crate::models::{LanguageModel, ModelState};
use crate::tasks::Batch;

/// The most likely token at every target of `batch`, row after row. The state before token `changed` passes through
/// `channel`.
///
/// # Panics
///
/// If rows are padded: a piece could be padding and nothing else.
pub(super) fn said<M: SequenceMixer>(
    model: &LanguageModel<M>,
    batch: &Batch,
    piece: usize,
    changed: Option<usize>,
    mut channel: impl FnMut(ModelState<M>) -> ModelState<M>,
) -> Vec<u32> {
    assert!(
        batch.segments().is_none(),
        "accuracy: strings read in pieces must have the same number of tokens"
    );
    let device = model.device();
    let tokens = batch.tokens(&device);
    let mut state = model.init_state(batch.batch, &device);
    let mut said: Vec<Vec<u32>> = vec![Vec::new(); batch.batch];
    let mut start = 0;
    while start < batch.seq {
        if Some(start) == changed {
            state = channel(state);
        }
        let until = changed.filter(|&place| place > start).unwrap_or(batch.seq);
        let end = until.min(start + piece);
        let (hidden, next) =
            model.hidden(tokens.clone().slice([0..batch.batch, start..end]), None, Some(state));
        state = next;
        let asked: Vec<(usize, i32)> = (batch.targets.iter().enumerate())
            .flat_map(|(row, targets)| targets.iter().map(move |target| (row, target.position)))
            .filter(|(_, position)| (start..end).contains(position))
            .map(|(row, position)| (row, (row * (end - start) + position - start) as i32))
            .collect();
        if !asked.is_empty() {
            let logits = logits_at(model, hidden, asked.iter().map(|(_, place)| *place).collect());
            let tokens: Vec<u32> = logits.argmax(1).into_data().iter::<u32>().collect();
            asked.iter().zip(tokens).for_each(|((row, _), token)| said[*row].push(token));
        }
        start = end;
    }
    said.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{accuracy, accuracy_through, answer_logits};
    use crate::models::LanguageModelConfig;
    use crate::tasks::{Copying, Task};
    use crate::theory::HashCopier;
    use burn::tensor::Device;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    #[test]
    fn pieces_say_what_the_whole_says() {
        let task = Copying::new(1..=9);
        let config: LanguageModelConfig =
            LanguageModelConfig::parse("mamba2(head_dim=8), attention(n_heads=2), lstm", 16, 30).unwrap();
        let model = config.init(&Device::default());
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let batch = Batch::evaluation((0..3).map(|_| task.example(9, &mut rng)).collect(), task.padding());
        let whole: Vec<u32> = answer_logits(&model, &batch).argmax(1).into_data().iter::<u32>().collect();
        for (piece, changed) in [(1, None), (4, None), (100, None), (100, Some(10)), (3, Some(10))] {
            assert_eq!(said(&model, &batch, piece, changed, |state| state), whole, "piece {piece}");
        }
    }

    /// A copier whose cache is emptied before `|` has nothing left to copy.
    #[test]
    fn what_the_channel_stops_is_lost() {
        let model = HashCopier::new(26, 4).unwrap().init(&Device::default());
        let task = Copying::new(1..=9);
        let through = accuracy_through(&model, &task, 9, 40, 0, |state| state);
        assert_eq!(through, accuracy(&model, &task, 9, 40, 0));
        assert_eq!(through.string, 1.0);
        let emptied = accuracy_through(&model, &task, 9, 40, 0, |_| model.init_state(40, &model.device()));
        assert_eq!(emptied.string, 0.0);
    }
}
