//! The models of an experiment: those it names, or those that the flags ask for.

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
