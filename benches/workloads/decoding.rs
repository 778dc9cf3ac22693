//! Greedy decoding of one row.

use std::time::{Duration, Instant};

use burn::tensor::TensorData;
use burn_sequence::generation::GenerateOptions;
use burn_sequence::models::LanguageModel;

use crate::arrays::Arrays;
use crate::{Variant, Workload};

/// A model and a prompt.
pub struct DecodingWorkload {
    model: LanguageModel,
    /// Made when it is first asked for.
    quantized: Option<LanguageModel>,
    prompt: Vec<u32>,
    tokens: usize,
}

impl DecodingWorkload {
    /// `prompt [1, seq]`, to go on for `tokens` tokens.
    pub fn new(model: LanguageModel, prompt: &TensorData, tokens: usize) -> Self {
        Self {
            model,
            quantized: None,
            prompt: prompt.iter::<f32>().map(|token| token as u32).collect(),
            tokens,
        }
    }

    fn generate(&self, model: &LanguageModel, tokens: usize) -> Vec<u32> {
        let options = GenerateOptions::default().with_max_tokens(tokens);
        let generated = model.generate(std::slice::from_ref(&self.prompt), &options);
        generated.unwrap_or_else(|error| panic!("{error}")).swap_remove(0).tokens
    }

    fn time(&self, model: &LanguageModel, tokens: usize) -> Duration {
        let began = Instant::now();
        self.generate(model, tokens);
        began.elapsed()
    }
}

/// Tokens before those that are timed: they pay for the prompt.
const FIRST: usize = 2;

impl Workload for DecodingWorkload {
    fn results(&mut self) -> Arrays {
        let tokens: Vec<f32> =
            self.generate(&self.model, self.tokens).into_iter().map(|token| token as f32).collect();
        let len = tokens.len();
        Arrays::from([("tokens".into(), TensorData::new(tokens, [len]))])
    }

    fn run(&mut self, variant: Variant) -> Duration {
        let model = match variant {
            Variant::Decode => &self.model,
            Variant::DecodeInt8 => {
                self.quantized.get_or_insert_with(|| self.model.clone().quantize());
                self.quantized.as_ref().expect("just made")
            }
            Variant::Forward | Variant::Train => panic!("{variant:?} is not decoding"),
        };
        self.time(model, FIRST + self.tokens).saturating_sub(self.time(model, FIRST))
    }
}
