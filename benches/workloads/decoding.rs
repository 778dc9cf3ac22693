//! Greedy decoding of one row.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use burn::tensor::TensorData;
use burn_sequence::generation::GenerateOptions;
use burn_sequence::models::LanguageModel;

use crate::arrays::Arrays;
use crate::{Variant, Workload};

/// A model and a prompt.
pub struct DecodingWorkload {
    model: LanguageModel,
    /// With narrower weights, made when they are first asked for.
    bf16: OnceCell<LanguageModel>,
    int8: OnceCell<LanguageModel>,
    prompt: Vec<u32>,
    tokens: usize,
}

impl DecodingWorkload {
    /// `prompt [1, seq]`, to go on for `tokens` tokens.
    pub fn new(model: LanguageModel, prompt: &TensorData, tokens: usize) -> Self {
        Self {
            model,
            bf16: OnceCell::new(),
            int8: OnceCell::new(),
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
            Variant::DecodeBf16 => self.bf16.get_or_init(|| self.model.clone().to_bf16()),
            Variant::DecodeInt8 => self.int8.get_or_init(|| self.model.clone().quantize()),
            Variant::Forward | Variant::Train => panic!("{variant:?} is not decoding"),
        };
        self.time(model, FIRST + self.tokens).saturating_sub(self.time(model, FIRST))
    }
}
