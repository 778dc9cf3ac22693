use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::layers::{Mixer, SequenceMixer};
use crate::models::{LanguageModel, ModelState};
use crate::ops::Segments;
use crate::{Error, Result};

/// A model and what it has read so far: tokens in, logits of the next token out.
///
/// Clone it to fork: both go on from here and neither sees the other, which is all that speculation and
/// rewinding need. Give it `model.valid()`, or every token stays in the graph of gradients.
#[derive(Clone, Debug)]
pub struct Decoder<'a, M: SequenceMixer = Mixer> {
    model: &'a LanguageModel<M>,
    /// What has been read; `None`: nothing.
    pub state: Option<ModelState<M>>,
}

impl<'a, M: SequenceMixer> Decoder<'a, M> {
    /// Nothing read yet.
    pub fn new(model: &'a LanguageModel<M>) -> Self {
        Self { model, state: None }
    }

    /// Goes on from a state of this model.
    pub fn from_state(model: &'a LanguageModel<M>, state: ModelState<M>) -> Self {
        Self { model, state: Some(state) }
    }

    /// Reads a prompt for every row in one pass, after what was read before; the logits after each row's last
    /// token, `[rows, vocab_size]`.
    ///
    /// # Errors
    ///
    /// [`Error::Tokens`], naming the row, if a prompt is empty or a token is not below `vocab_size`.
    ///
    /// # Panics
    ///
    /// If there is no prompt, or the state is of another number of rows.
    pub fn prefill(&mut self, prompts: &[Vec<u32>]) -> Result<Tensor<2>> {
        check_prompts(self.model, prompts)?;
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().expect("there is a prompt");
        let segments = lengths.iter().any(|&length| length < longest);
        let segments = segments.then(|| Segments::right_padded(&lengths, longest));
        let tokens: Vec<u32> = prompts
            .iter()
            .flat_map(|prompt| prompt.iter().copied().chain(std::iter::repeat_n(0, longest - prompt.len())))
            .collect();
        let device = self.model.device();
        let tokens = ints(&tokens, &device).reshape([prompts.len(), longest]);
        let (hidden, state) = self.model.hidden(tokens, segments.as_ref(), self.state.take());
        self.state = Some(state);
        let last: Vec<u32> =
            lengths.iter().enumerate().map(|(row, length)| (row * longest + length - 1) as u32).collect();
        Ok(self.model.logits(hidden.flatten::<2>(0, 1).select(0, ints(&last, &device))))
    }

    /// Reads one token of every row; the logits of the next, `[rows, vocab_size]`.
    ///
    /// # Errors
    ///
    /// [`Error::Tokens`], naming the row, if a token is not below `vocab_size`.
    ///
    /// # Panics
    ///
    /// If there is no token, or the state is of another number of rows.
    pub fn next(&mut self, tokens: &[u32]) -> Result<Tensor<2>> {
        let vocab_size = self.model.vocab_size();
        if let Some(row) = tokens.iter().position(|&token| token as usize >= vocab_size) {
            let problem =
                format!("row {row}: token {} is out of range: vocab_size is {vocab_size}", tokens[row]);
            return Err(Error::Tokens(problem));
        }
        let device = self.model.device();
        let state = self.state.take().unwrap_or_else(|| self.model.init_state(tokens.len(), &device));
        let (logits, state) = self.model.step(ints(tokens, &device), state);
        self.state = Some(state);
        Ok(logits)
    }
}

/// Whether the model can read these.
pub(super) fn check_prompts<M: SequenceMixer>(model: &LanguageModel<M>, prompts: &[Vec<u32>]) -> Result<()> {
    prompts.iter().enumerate().try_for_each(|(row, prompt)| match prompt.is_empty() {
        true => Err(Error::Tokens(format!("row {row}: the prompt is empty, expected at least one token"))),
        false => model.check_tokens(prompt).map_err(in_row(row)),
    })
}

fn in_row(row: usize) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Tokens(problem) => Error::Tokens(format!("row {row}: {problem}")),
        other => other,
    }
}

pub(super) fn ints(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}
