//! The models of an experiment: those it names, or those that the flags ask for.

use burn_sequence::models::LanguageModelConfig;
use burn_sequence::{Error, Result};

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

    /// Those of `all` that the flags ask for; with `--quick` and no flag those named in `quick`. A pattern without a width is made as
    /// large as the first of `all`.
    ///
    /// # Errors
    ///
    /// If a model is neither a name nor a pattern, or a width is given and no pattern.
    pub fn chosen(all: &[Self], quick: &[&str], options: &Options, vocab_size: usize) -> Result<Vec<Self>> {
        let is_named = |asked: &String| all.iter().any(|contender| contender.name == *asked);
        if options.d_model.is_some() && options.models.iter().all(is_named) {
            return Err(Error::Config(
                "--d-model: is for a --model given as a pattern; a model by name has its own width".into(),
            ));
        }
        if options.models.is_empty() {
            let runs = |contender: &&Self| !options.quick || quick.contains(&&*contender.name);
            return Ok(all.iter().filter(runs).cloned().collect());
        }
        let mut chosen: Vec<Self> = Vec::new();
        for asked in &options.models {
            let contender = match all.iter().find(|contender| contender.name == *asked) {
                Some(named) => named.clone(),
                None => {
                    let d_model = match options.d_model {
                        Some(d_model) => d_model,
                        None => width_like(&all[0], asked, vocab_size)?,
                    };
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

/// The width, a multiple of a sixteenth of the other's, at which a pattern's parameters are nearest to those of another model.
fn width_like(other: &Contender, pattern: &str, vocab_size: usize) -> Result<usize> {
    let params = |pattern: &str, d_model: usize| {
        let config = <LanguageModelConfig>::parse(pattern, d_model, vocab_size)?;
        config.check().map(|()| config.num_params())
    };
    let wanted = params(&other.pattern, other.d_model)?;
    let step = (other.d_model / 16).max(1);
    let mut nearest = None;
    for d_model in (1..=64).map(|steps| steps * step) {
        // Not every width has so many heads.
        let Ok(found) = params(pattern, d_model) else { continue };
        let distance = found.abs_diff(wanted);
        if nearest.is_none_or(|(least, _)| distance < least) {
            nearest = Some((distance, d_model));
        }
        if found > wanted {
            break;
        }
    }
    Ok(nearest.map_or(other.d_model, |(_, d_model)| d_model))
}
