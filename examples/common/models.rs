//! The models that experiments compare, of equal size within 10 %.

use burn_sequence::Result;
use burn_sequence::models::LanguageModelConfig;

use super::cli::Options;

/// A model to train: its name in records and figures, its architecture, its width.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Short name.
    pub name: String,
    /// In the hybrid notation.
    pub pattern: String,
    /// Width.
    pub d_model: usize,
}

/// Name, pattern, width; about 0.4 million parameters each.
pub const CONTENDERS: [(&str, &str, usize); 9] = [
    ("transformer-hard-alibi", "2*(attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp)", 128),
    ("transformer-rope", "2*(attention(position=rope(fraction=0.25)) + mlp)", 128),
    ("transformer-nope", "2*(attention(position=nope) + mlp)", 128),
    ("transformer-alibi", "2*(attention(position=alibi) + mlp)", 128),
    ("mamba", "4*mamba", 120),
    ("mamba2", "4*mamba2(head_dim=60)", 120),
    ("linear-attention", "2*(linear_attention + mlp)", 128),
    ("lstm", "3*lstm", 128),
    (
        "hybrid",
        "attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp, \
         attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])), mamba2",
        128,
    ),
];

/// What `--quick` runs.
const QUICK: [&str; 3] = ["transformer-hard-alibi", "mamba", "hybrid"];

impl Contender {
    /// The models that the flags ask for.
    ///
    /// # Errors
    ///
    /// If a model is neither a name nor a pattern.
    pub fn chosen(options: &Options, vocab_size: usize) -> Result<Vec<Self>> {
        let named = |name: &str| {
            let (name, pattern, d_model) = CONTENDERS.iter().find(|contender| contender.0 == name)?;
            Some(Self { name: (*name).into(), pattern: (*pattern).into(), d_model: *d_model })
        };
        let all = || CONTENDERS.iter().map(|contender| contender.0);
        if options.models.is_empty() {
            let names: Vec<&str> = if options.quick { QUICK.to_vec() } else { all().collect() };
            return Ok(names.into_iter().filter_map(named).collect());
        }
        let asked = options.models.iter().map(|asked| match named(asked) {
            Some(contender) => Ok(contender),
            None => {
                let d_model = options.d_model;
                let config = <LanguageModelConfig>::parse(asked, d_model, vocab_size)?;
                Ok(Self { name: config.pattern(), pattern: config.pattern(), d_model })
            }
        });
        asked.collect()
    }
}
