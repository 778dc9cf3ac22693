use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::decoder::{Decoder, check_prompts};
use super::options::GenerateOptions;
use super::sampler::Sampler;
use super::speculation::speculate;
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::{Error, Result};

/// What was generated for a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The tokens after the prompt, without the stop token.
    pub tokens: Vec<u32>,
    /// Why it ends there.
    pub finish: Finish,
}

/// Why a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// This stop token came.
    Stop(u32),
    /// It has `max_tokens`.
    Length,
    /// The caller's `on_token` broke it off.
    Interrupted,
}

impl<M: SequenceMixer> LanguageModel<M> {
    /// Continues every prompt.
    ///
    /// Prompts of different lengths are read in one pass, and all rows go on together; one that ends early
    /// waits for the others. What row `i` gets depends on its prompt, the options and `i`, and not on the
    /// other prompts.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_sequence::generation::GenerateOptions;
    /// use burn_sequence::layers::MambaConfig;
    /// use burn_sequence::models::{BackboneConfig, BlockConfig, LanguageModel, LanguageModelConfig};
    ///
    /// let backbone: BackboneConfig = BackboneConfig::new(16).with_layer(BlockConfig::new(MambaConfig::new(16)));
    /// let model: LanguageModel = LanguageModelConfig::new(30, backbone).init(&Device::default());
    /// let options = GenerateOptions::default().with_temperature(1.0).with_top_k(5).with_max_tokens(3);
    /// let generated = model.generate(&[vec![1, 2, 3], vec![4]], &options)?;
    /// assert_eq!(generated[1].tokens.len(), 3);
    /// # Ok::<(), burn_sequence::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the options are not possible or a stop token is not below `vocab_size`; [`Error::Tokens`] if a
    /// prompt is empty, a token of a prompt is not below `vocab_size`, or logits are not numbers.
    pub fn generate(&self, prompts: &[Vec<u32>], options: &GenerateOptions) -> Result<Vec<Generated>> {
        self.generate_with(prompts, options, |_, _| ControlFlow::Continue(()))
    }

    /// As [`generate`](Self::generate), and calls `on_token(row, token)` for every token as it comes, except stop
    /// tokens. Where it breaks, the row ends with that token; the others go on.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub fn generate_with(
        &self,
        prompts: &[Vec<u32>],
        options: &GenerateOptions,
        mut on_token: impl FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        options.check()?;
        check_prompts(self, prompts)?;
        self.check_tokens(&options.stop_tokens)
            .map_err(|error| Error::Config(format!("generation: stop_tokens: {error}")))?;
        let mut rows: Vec<Row> = prompts
            .iter()
            .enumerate()
            .map(|(row, prompt)| Row::new(row, prompt, options))
            .collect::<Result<_>>()?;
        if rows.iter().all(|row| row.finish.is_some()) {
            return Ok(rows.into_iter().map(Row::generated).collect());
        }
        let model = self.valid();
        if options.speculate > 0 {
            for (index, row) in rows.iter_mut().enumerate() {
                speculate(&model, row, options, |token| on_token(index, token))?;
            }
            return Ok(rows.into_iter().map(Row::generated).collect());
        }
        let mut decoder = Decoder::new(&model);
        let mut logits = decoder.prefill(prompts)?;
        loop {
            for (index, (row, logits)) in rows.iter_mut().zip(read_rows(logits)).enumerate() {
                row.advance(&logits, options, |token| on_token(index, token))?;
            }
            if rows.iter().all(|row| row.finish.is_some()) {
                return Ok(rows.into_iter().map(Row::generated).collect());
            }
            // Rows that ended read their last token again and again; nothing looks at what they say.
            let tokens: Vec<u32> = rows.iter().map(Row::last).collect();
            logits = decoder.next(&tokens)?;
        }
    }
}

/// `[rows, vocab_size]` as numbers.
pub(super) fn read_rows(logits: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, vocab_size] = logits.dims();
    let logits = logits.cast(DType::F32).into_data();
    let logits = logits.as_slice::<f32>().expect("numbers of 32 bits");
    logits.chunks_exact(vocab_size).map(<[f32]>::to_vec).collect()
}

/// A prompt on its way.
pub(super) struct Row {
    /// Prompt and output.
    pub tokens: Vec<u32>,
    prompt: usize,
    sampler: Sampler,
    pub finish: Option<Finish>,
}

impl Row {
    fn new(row: usize, prompt: &[u32], options: &GenerateOptions) -> Result<Self> {
        Ok(Self {
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            sampler: Sampler::new(options, row)?,
            finish: (options.max_tokens == 0).then_some(Finish::Length),
        })
    }

    /// Takes the next token, unless the row has ended.
    pub fn advance(
        &mut self,
        logits: &[f32],
        options: &GenerateOptions,
        on_token: impl FnOnce(u32) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.finish.is_some() {
            return Ok(());
        }
        let token = self.sampler.sample(logits, &self.tokens)?;
        if options.stop_tokens.contains(&token) {
            self.finish = Some(Finish::Stop(token));
            return Ok(());
        }
        self.tokens.push(token);
        if on_token(token).is_break() {
            self.finish = Some(Finish::Interrupted);
        } else if self.room(options) == 0 {
            self.finish = Some(Finish::Length);
        }
        Ok(())
    }

    pub fn last(&self) -> u32 {
        *self.tokens.last().expect("prompts are not empty")
    }

    /// Tokens that may still come.
    pub fn room(&self, options: &GenerateOptions) -> usize {
        options.max_tokens - (self.tokens.len() - self.prompt)
    }

    fn generated(mut self) -> Generated {
        let finish = self.finish.expect("the row has ended");
        Generated { tokens: self.tokens.split_off(self.prompt), finish }
    }
}
