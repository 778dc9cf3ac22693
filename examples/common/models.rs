//! The models that experiments compare, of equal size within 10 %.

use burn_sequence::Result;
use burn_sequence::models::LanguageModelConfig;

use super::cli::Options;

/// A model to train: its name in records and figures, its architecture, its width.
#[derive(Clone, Debug, PartialEq)]
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

/// For tasks of filtering, where small models do: about 0.1 million parameters each.
pub const FILTERS: [(&str, &str, usize); 9] = [
    ("transformer-rope", "2*(attention(n_heads=4, position=rope(fraction=0.5)) + mlp)", 64),
    ("transformer-nope", "2*(attention(n_heads=4, position=nope) + mlp)", 64),
    ("transformer-alibi", "2*(attention(n_heads=4, position=alibi) + mlp)", 64),
    ("mamba", "3*mamba", 64),
    ("mamba2", "3*mamba2(head_dim=32)", 64),
    ("linear-attention", "2*(linear_attention(n_heads=4) + mlp)", 64),
    ("s4d", "2*(s4d + mlp)", 64),
    ("lstm", "3*lstm", 64),
    ("hybrid", "2*mamba, attention(n_heads=4, position=nope) + mlp(d_hidden=128)", 64),
];

impl Contender {
    /// Models from a list of names, patterns and widths.
    pub fn list(models: &[(&str, &str, usize)]) -> Vec<Self> {
        let contender = |&(name, pattern, d_model): &(&str, &str, usize)| Self {
            name: name.into(),
            pattern: pattern.into(),
            d_model,
        };
        models.iter().map(contender).collect()
    }

    /// Those of `all` that the flags ask for; with `--quick` and no flag those named in `quick`.
    ///
    /// # Errors
    ///
    /// If a model is neither a name nor a pattern.
    pub fn chosen(all: &[Self], quick: &[&str], options: &Options, vocab_size: usize) -> Result<Vec<Self>> {
        if options.models.is_empty() {
            let runs = |contender: &&Self| !options.quick || quick.contains(&&*contender.name);
            return Ok(all.iter().filter(runs).cloned().collect());
        }
        let mut chosen: Vec<Self> = Vec::new();
        for asked in &options.models {
            let contender = match all.iter().find(|contender| contender.name == *asked) {
                Some(named) => named.clone(),
                None => {
                    let d_model = options.d_model.unwrap_or(all[0].d_model);
                    let pattern = <LanguageModelConfig>::parse(asked, d_model, vocab_size)?.pattern();
                    Self { name: pattern.clone(), pattern, d_model }
                }
            };
            if !chosen.contains(&contender) {
                chosen.push(contender);
            }
        }
        Ok(chosen)
    }
}
