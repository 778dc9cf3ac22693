//! Several tokens a pass, where the text repeats itself.

use super::decoder::ints;
use super::generate::{Row, read_rows};
use super::options::GenerateOptions;
use crate::Result;
use crate::layers::SequenceMixer;
use crate::models::{LanguageModel, ModelState};

/// The longest and the shortest run of last tokens that is looked up.
const LONGEST: usize = 4;
const SHORTEST: usize = 2;

/// What followed the last earlier occurrence of the last tokens of `text`, at most `most` tokens; the longest run of last
/// tokens that occurs counts. Empty: none occurs.
fn draft(text: &[u32], most: usize) -> &[u32] {
    for len in (SHORTEST..=LONGEST.min(text.len().saturating_sub(1))).rev() {
        let end = &text[text.len() - len..];
        let earlier = text[..text.len() - 1].windows(len).rposition(|window| window == end);
        if let Some(place) = earlier {
            let after = &text[place + len..];
            return &after[..most.min(after.len())];
        }
    }
    &[]
}

/// A model that reads one text, and can go back.
struct Reader<'a, M: SequenceMixer> {
    model: &'a LanguageModel<M>,
    /// After what has been read; `None`: nothing.
    state: Option<ModelState<M>>,
    /// Tokens of the text that the state does not know yet.
    unread: Vec<u32>,
}

impl<M: SequenceMixer> Reader<'_, M> {
    /// The logits after the unread tokens, and after every token of `draft` that follows them; the state after all.
    fn pass(&mut self, draft: &[u32]) -> (Vec<Vec<f32>>, ModelState<M>) {
        let tokens = [&self.unread, draft].concat();
        let len = tokens.len();
        let tokens = ints(&tokens, &self.model.device());
        // Without a draft the state is not needed again, and caches grow in place.
        let state = if draft.is_empty() { self.state.take() } else { self.state.clone() };
        let (logits, state) = match state {
            Some(state) if len == 1 => self.model.step(tokens, state),
            state => {
                let (hidden, state) = self.model.hidden(tokens.unsqueeze(), None, state);
                let hidden = hidden.narrow(1, len - 1 - draft.len(), 1 + draft.len()).squeeze_dim::<2>(0);
                (self.model.logits(hidden), state)
            }
        };
        (read_rows(logits), state)
    }
}

/// Continues one prompt: as token by token, in fewer passes.
pub(super) fn speculate<M: SequenceMixer>(
    model: &LanguageModel<M>,
    row: &mut Row,
    options: &GenerateOptions,
    mut on_token: impl FnMut(u32) -> std::ops::ControlFlow<()>,
) -> Result<()> {
    let mut reader = Reader { model, state: None, unread: row.tokens.clone() };
    while row.finish.is_none() {
        // The last token of a text is never read, so what is drafted ends one earlier.
        let most = options.speculate.min(row.room(options).saturating_sub(1));
        // Wrong guesses leave tokens to be read again; a pass without a guess reads them for good.
        let guesses = reader.state.is_some() && reader.unread.len() <= options.speculate;
        let guess = if guesses { draft(&row.tokens, most).to_vec() } else { Vec::new() };
        let (logits, after) = reader.pass(&guess);
        let mut right = 0;
        for logits in &logits {
            row.advance(logits, options, &mut on_token)?;
            if row.finish.is_some() {
                return Ok(());
            }
            if guess.get(right) != Some(&row.last()) {
                break;
            }
            right += 1;
        }
        if right == guess.len() {
            reader.state = Some(after);
            reader.unread.clear();
        } else {
            reader.unread.extend(&guess[..right]);
        }
        reader.unread.push(row.last());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_follow_the_last_and_longest_match() {
        assert_eq!(draft(&[1, 2, 3, 4, 9, 1, 2], 2), [3, 4]);
        assert_eq!(draft(&[1, 2, 3, 1, 2, 4, 1, 2], 9), [4, 1, 2]);
        // Three tokens match further back than two.
        assert_eq!(draft(&[7, 1, 2, 5, 1, 2, 6, 7, 1, 2], 1), [5]);
        // It may overlap what it continues.
        assert_eq!(draft(&[8, 8, 8], 3), [8]);
        assert!(draft(&[1, 2, 3, 3], 4).is_empty());
        assert!(draft(&[1], 4).is_empty() && draft(&[], 4).is_empty());
    }
}
