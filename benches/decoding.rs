//! A token of a language model of 0.1 billion random weights, in 32, 16 and 8 bits, for one text and for several at once.
//!
//! ```text
//! cargo bench --bench decoding             # all of them
//! cargo bench --bench decoding -- int8     # those whose path matches
//! cargo bench --bench decoding -- --test   # each once, with a small model: do they run?
//! ```
#![recursion_limit = "256"]

#[path = "../examples/common/allocator.rs"]
mod allocator;
#[path = "common/drain.rs"]
mod drain;
#[path = "common/harness.rs"]
mod harness;

use std::fmt;

use burn::tensor::{Device, Int, Tensor};
use burn_sequence::models::{LanguageModel, LanguageModelConfig};
use divan::Bencher;
use drain::drain;

fn main() {
    harness::run();
}

/// In the sizes of Pythia-160M and Mamba-130M, their heads tied.
const MODELS: [(&str, &str); 2] =
    [("transformer", "12*(attention(n_heads=12) + mlp)"), ("mamba", "24*mamba")];

/// How the weights are stored.
type Format = (&'static str, fn(LanguageModel) -> LanguageModel);

const FORMATS: [Format; 3] =
    [("f32", |model| model), ("bf16", LanguageModel::to_bf16), ("int8", LanguageModel::quantize)];

/// Texts at once.
const ROWS: [usize; 3] = [1, 4, 16];

/// Tokens of each before those that are timed.
const PROMPT: usize = 64;

struct Case {
    model: (&'static str, &'static str),
    format: Format,
    rows: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}/{}", self.model.0, self.format.0, self.rows)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let all = |model| FORMATS.map(|format| ROWS.map(|rows| Case { model, format, rows }));
    MODELS.into_iter().flat_map(all).flatten()
}

#[divan::bench(args = cases())]
fn step(bencher: Bencher, case: &Case) {
    let device = Device::default();
    let [d_model, vocab_size] = if harness::is_test() { [48, 320] } else { [768, 50_304] };
    let config: LanguageModelConfig =
        LanguageModelConfig::parse(case.model.1, d_model, vocab_size).expect("a pattern");
    let model = (case.format.1)(config.init(&device));
    let token = Tensor::<1, Int>::zeros([case.rows], &device);
    let mut state = Some(model.forward(Tensor::zeros([case.rows, PROMPT], &device), None, None).1);
    bencher.bench_local(|| {
        let (logits, later) = model.step(token.clone(), state.take().expect("the last step left one"));
        state = Some(later);
        drain(&logits);
    });
}
