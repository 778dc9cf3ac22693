//! Published models: a folder of Hugging Face's, `config.json` and safetensors, as a
//! [`LanguageModel`], and back.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use burn_sequence::checkpoint;
//! use burn_sequence::generation::GenerateOptions;
//!
//! let published = checkpoint::load("pythia-410m", &Device::default())?;
//! println!("{}: {}", published.family(), published.config.backbone.pattern());
//! let options = GenerateOptions::default().with_max_tokens(20);
//! let generated = published.model.generate(&[vec![12092, 13, 1533]], &options)?;
//! # Ok::<(), burn_sequence::Error>(())
//! ```
//!
//! | `model_type` | family |
//! |---|---|
//! | `gpt_neox` | GPT-NeoX, Pythia |
//! | `llama`, `mistral`, `qwen2`, `qwen3` | Llama and what is built like it: SmolLM2, Mistral, dense Qwen |
//! | `mamba`, `mamba2` | Mamba and Mamba-2 in the layout of Transformers |
//! | `bamba` | Bamba: Mamba-2 and attention, in turn |
//! | `recurrent_gemma` | RecurrentGemma: the RG-LRU and attention within a window |
//! | `olmo2`, `olmo_hybrid` | OLMo 2; OLMo Hybrid: Gated DeltaNet and attention, in turn |
//! | none, but `ssm_cfg` | Mamba and Mamba-2 in the layout of `mamba_ssm` (state-spaces) |
//!
//! Files are mapped into memory, one `model.safetensors` or several under an index, in 16, 32 or 64 bits; parameters are
//! 32 bits wide. Every key is accounted for: a tensor that is missing, has another shape, or has no place in the model is
//! an error, and so are values in `config.json` that the layers do not have. Nothing half-loaded is returned.

mod families;
mod problem;
mod python_json;
mod settings;
mod table;
#[cfg(feature = "tokenizers")]
mod tokenizer;
mod transfer;
mod weights;

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value};

use crate::files::write_together;
use crate::models::{Head, LanguageModel, LanguageModelConfig};
use crate::{Error, Result};

pub use problem::CheckpointProblem;
#[cfg(feature = "tokenizers")]
pub use tokenizer::{TextStream, Tokenizer};

use families::Family;
use settings::Settings;
use transfer::{Collect, Fill};
use weights::Weights;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
/// The key of the tokens that end a text, in both.
const ENDS: &str = "eos_token_id";

/// A published model.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The model.
    pub model: LanguageModel,
    /// What it is made of.
    pub config: LanguageModelConfig,
    /// Tensors of the files that are no parameters of the model: buffers, and the head's copy of a tied embedding.
    pub ignored: Vec<String>,
    /// Tokens that end a text, as `config.json` and `generation_config.json` say.
    pub stop_tokens: Vec<u32>,
    family: &'static Family,
    settings: Map<String, Value>,
    /// What `generation_config.json` holds.
    generation: Map<String, Value>,
}

/// Reads the model in `folder`.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read; [`Error::File`] if a file is no JSON; [`Error::Checkpoint`], which names the
/// file, the key, what is there and what was expected, if the model is of no known family, asks for what the layers do not
/// have, or if tensors are missing, left over, damaged, or of another shape or type; [`Error::Config`] if no such model
/// can be built.
pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Checkpoint> {
    let folder = folder.as_ref();
    let weights = Weights::open(folder)?;
    let settings = Settings::read(&folder.join(CONFIG), weights.limits())?;
    let family = families::of(&settings)?;
    let mut config = (family.config)(&settings)?;
    let (tied, by_default) = family.tied;
    config.head = if settings.or(tied, by_default)? { Head::Tied } else { Head::Untied };
    config.check()?;

    let table = (family.table)(&config);
    // Training may part what the configuration still calls one; as Transformers, the files are believed.
    let embedding = &table.entries("embedding.weight")[0].parts[0].0;
    if config.head == Head::Tied && weights.differ(family.head, embedding) {
        config.head = Head::Untied;
    }
    let mut fill = Fill::new(&weights, &table);
    let model = config.blank(device).map(&mut fill);
    fill.result?;
    let (ignored, unused): (Vec<String>, Vec<String>) = weights
        .keys()
        .filter(|key| !fill.used.contains(*key))
        .map(String::from)
        .partition(|key| family.ignores(key, &config));
    if !unused.is_empty() {
        return Err(weights.error(0, CheckpointProblem::UnusedTensors(unused)));
    }
    let path = folder.join(GENERATION);
    let generation = path.is_file().then(|| Settings::read(&path, weights.limits())).transpose()?;
    let generation = generation.map(|generation| generation.values().clone()).unwrap_or_default();
    let settings = settings.values().clone();
    let stop_tokens = stop_tokens(&[&generation, &settings]);
    Ok(Checkpoint { model, config, ignored, stop_tokens, family, settings, generation })
}

/// What these call the end.
fn stop_tokens(files: &[&Map<String, Value>]) -> Vec<u32> {
    let token = |value: &Value| value.as_u64().and_then(|token| u32::try_from(token).ok());
    let mut tokens = Vec::new();
    for file in files {
        match file.get(ENDS) {
            Some(Value::Array(several)) => tokens.extend(several.iter().filter_map(token)),
            Some(one) => tokens.extend(token(one)),
            None => {}
        }
    }
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

impl Checkpoint {
    /// The name of the model's family.
    pub fn family(&self) -> &'static str {
        self.family.name
    }

    /// Writes the model to `folder` as it was published, with the parameters and `stop_tokens` it has now, in 32 bits and one
    /// file: Transformers loads it, and so does [`load`] (what came in the layout of `mamba_ssm` stays in it, without a tied head, as safetensors,
    /// where that reads pickles). Each file is written
    /// under a temporary name first. A tokenizer is not part of the model: copy its `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be written.
    ///
    /// # Panics
    ///
    /// If the model is [quantised](LanguageModel::quantize).
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let table = (self.family.table)(&self.config);
        let mut collect = Collect::new(&table);
        self.model.visit(&mut collect);
        let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = collect
            .tensors
            .into_iter()
            .map(|(key, (shape, values))| {
                (key, shape, values.into_iter().flat_map(f32::to_le_bytes).collect())
            })
            .collect();
        let views = bytes.iter().map(|(key, shape, bytes)| {
            let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
            (key, view.expect("four bytes a number"))
        });
        let path = folder.join(WEIGHTS);
        let format = [("format".to_string(), "pt".to_string())].into();
        let file =
            safetensors::serialize(views, Some(format)).map_err(|problem| Error::file(&path, problem))?;

        let mut settings = self.settings.clone();
        settings.insert(self.family.tied.0.into(), (self.config.head == Head::Tied).into());
        for key in ["dtype", "torch_dtype"] {
            if let Some(dtype) = settings.get_mut(key) {
                *dtype = "float32".into();
            }
        }
        let ends: Value = match self.stop_tokens[..] {
            [] => Value::Null,
            [one] => one.into(),
            _ => self.stop_tokens.clone().into(),
        };
        let mut generation = self.generation.clone();
        let generates = !(generation.is_empty() && self.stop_tokens.is_empty());
        generation.insert(ENDS.into(), ends.clone());
        // What has no such key, `mamba_ssm` for one, may not know it.
        if let Some(known) = settings.get_mut(ENDS) {
            *known = ends;
        }
        let [config, generation_config] = [CONFIG, GENERATION].map(|name| folder.join(name));
        let [settings, generation] = [json(&settings), json(&generation)];
        let mut files: Vec<(&Path, &[u8])> = vec![(&path, &file)];
        files.extend(generates.then_some((&*generation_config, generation.as_bytes())));
        files.push((&config, settings.as_bytes()));
        write_together(&files)
    }
}

fn json(values: &Map<String, Value>) -> String {
    python_json::from_json(&serde_json::to_string_pretty(values).expect("plain data"))
}
