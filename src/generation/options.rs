use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How long to generate, and how a token is chosen.
///
/// The default is greedy, up to 128 tokens. What restricts the choice applies in this order: repetition penalty,
/// temperature, top-k, top-p.
///
/// ```
/// use burn_sequence::generation::GenerateOptions;
///
/// let options = GenerateOptions::default().with_max_tokens(200).with_temperature(0.8).with_top_p(0.9);
/// assert!(options.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateOptions {
    /// Tokens of a row at most.
    pub max_tokens: usize,
    /// Logits are divided by this; 0: the most probable token, without chance.
    pub temperature: f64,
    /// Only this many tokens, the most probable, can be chosen; `None`: all.
    pub top_k: Option<usize>,
    /// Only the smallest set of most probable tokens that together reach this probability (nucleus sampling, arXiv
    /// 1904.09751, section 3.1), at least one; `None`: all.
    pub top_p: Option<f64>,
    /// Logits of tokens that are in the prompt or the output already are divided by this where positive, and
    /// multiplied where negative (CTRL, arXiv 1909.05858, section 4.1, with the sign that Hugging Face minds); 1:
    /// nothing is penalised.
    pub repetition_penalty: f64,
    /// A row ends at any of these.
    pub stop_tokens: Vec<u32>,
    /// The same seed gives the same choices.
    pub seed: u64,
    /// So many tokens are guessed ahead, where the text repeats itself: those that followed the last earlier occurrence
    /// of its last two to four tokens. The model reads them in one pass, keeps what it would have said itself, and goes
    /// back to the state before the first wrong one. The output is the same (what rounding leaves of it: a pass over
    /// several tokens adds in another order than steps), in less time where much is copied. Rows are continued one after
    /// another. 0: a token at a time.
    ///
    /// Prompt lookup; the check is that of speculative decoding (arXiv 2211.17192) with a draft that is certain.
    pub speculate: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            temperature: 0.0,
            top_k: None,
            top_p: None,
            repetition_penalty: 1.0,
            stop_tokens: Vec::new(),
            seed: 0,
            speculate: 0,
        }
    }
}

impl GenerateOptions {
    /// With this many tokens of a row at most.
    pub fn with_max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = max_tokens;
        self
    }

    /// With this temperature.
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// With only this many tokens to choose from.
    pub fn with_top_k(mut self, top_k: usize) -> Self {
        self.top_k = Some(top_k);
        self
    }

    /// With only the most probable tokens that together reach this probability.
    pub fn with_top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// With this penalty on tokens that are there already.
    pub fn with_repetition_penalty(mut self, repetition_penalty: f64) -> Self {
        self.repetition_penalty = repetition_penalty;
        self
    }

    /// With these tokens as ends.
    pub fn with_stop_tokens(mut self, stop_tokens: impl Into<Vec<u32>>) -> Self {
        self.stop_tokens = stop_tokens.into();
        self
    }

    /// With this seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With so many tokens guessed ahead.
    pub fn with_speculate(mut self, speculate: usize) -> Self {
        self.speculate = speculate;
        self
    }

    /// Whether tokens can be chosen so.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option, what it is and what it must be.
    pub fn check(&self) -> Result<()> {
        let Self { temperature, repetition_penalty, .. } = *self;
        let problem = if !(temperature.is_finite() && temperature >= 0.0) {
            format!("temperature must be at least 0 and finite, got {temperature}")
        } else if self.top_k == Some(0) {
            "top_k must be at least 1, got 0".into()
        } else if let Some(top_p) = self.top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
            format!("top_p must be above 0 and at most 1, got {top_p}")
        } else if !(repetition_penalty.is_finite() && repetition_penalty > 0.0) {
            format!("repetition_penalty must be above 0 and finite, got {repetition_penalty}")
        } else {
            return Ok(());
        };
        Err(Error::Config(format!("generation: {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(options: GenerateOptions) -> String {
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_option_its_value_and_what_it_must_be() {
        let options = GenerateOptions::default;
        let temperature = "generation: temperature must be at least 0 and finite, got ";
        assert_eq!(problem(options().with_temperature(-0.5)), format!("{temperature}-0.5"));
        assert_eq!(problem(options().with_temperature(f64::NAN)), format!("{temperature}NaN"));
        assert_eq!(problem(options().with_temperature(f64::INFINITY)), format!("{temperature}inf"));
        assert_eq!(problem(options().with_top_k(0)), "generation: top_k must be at least 1, got 0");
        let top_p = "generation: top_p must be above 0 and at most 1, got ";
        assert_eq!(problem(options().with_top_p(0.0)), format!("{top_p}0"));
        assert_eq!(problem(options().with_top_p(1.5)), format!("{top_p}1.5"));
        assert_eq!(problem(options().with_top_p(f64::NAN)), format!("{top_p}NaN"));
        let penalty = "generation: repetition_penalty must be above 0 and finite, got ";
        assert_eq!(problem(options().with_repetition_penalty(0.0)), format!("{penalty}0"));
        assert_eq!(problem(options().with_repetition_penalty(f64::NAN)), format!("{penalty}NaN"));
    }

    #[test]
    fn ends_of_the_ranges_are_allowed() {
        let options = GenerateOptions::default().with_max_tokens(0).with_top_k(1).with_top_p(1.0);
        assert!(options.with_repetition_penalty(0.5).check().is_ok());
    }
}
