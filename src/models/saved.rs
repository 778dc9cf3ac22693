//! A model in a folder: its configuration as JSON, its parameters as a burnpack.

use std::path::Path;

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::Device;
use serde::de::DeserializeOwned;

use super::language_model::{Head, LanguageModel, LanguageModelConfig};
use crate::files::write_together;
use crate::layers::BuildMixer;
use crate::{Error, Result};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.bpk";

impl<C: BuildMixer> LanguageModelConfig<C> {
    /// Writes the model that this configuration describes to `folder`, both files under temporary names first.
    ///
    /// The head is written down as the model has it: a tied one has become a matrix of its own where weights were
    /// [narrowed](LanguageModel::quantize).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be written.
    pub fn save_model(&self, model: &LanguageModel<C::Mixer>, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let head = if model.head.is_some() { Head::Untied } else { Head::Tied };
        let json =
            serde_json::to_vec_pretty(&self.clone().with_head(head)).expect("a configuration is plain data");
        let weights = folder.join(WEIGHTS);
        let record = model.valid().into_record().into_bytes();
        let record = record.map_err(|problem| Error::file(&weights, problem))?;
        write_together(&[(&weights, &record), (&folder.join(CONFIG), &json)])
    }

    /// Reads what [`save_model`](Self::save_model) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::File`] if it is damaged or does not fit the
    /// configuration, [`Error::Config`] if no such model can be built.
    pub fn load_model(folder: impl AsRef<Path>, device: &Device) -> Result<(Self, LanguageModel<C::Mixer>)> {
        let path = folder.as_ref().join(CONFIG);
        let json = std::fs::read(&path).map_err(Error::io(&path))?;
        let config: Self = parsed(&json).map_err(|problem| Error::file(&path, problem))?;
        config.check()?;
        let path = folder.as_ref().join(WEIGHTS);
        if !path.is_file() {
            return Err(Error::file(&path, "is missing; a saved model has config.json and model.bpk"));
        }
        let record = ModuleRecord::load(&path).map_err(|problem| Error::file(&path, problem))?;
        let model =
            config.blank(device).try_load_record(record).map_err(|problem| Error::file(&path, problem))?;
        Ok((config, model))
    }
}

/// What JSON says, all of it: an option that was misspelt, or that this version does not know, is not passed over.
fn parsed<T: DeserializeOwned>(json: &[u8]) -> std::result::Result<T, String> {
    let mut unknown = None;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_ignored::deserialize(&mut reader, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    });
    let value =
        value.and_then(|value| reader.end().map(|()| value)).map_err(|problem| problem.to_string())?;
    match unknown {
        None => Ok(value),
        Some(key) => Err(format!("key {key:?} is no option that is known here")),
    }
}
