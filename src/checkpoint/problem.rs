//! What can be wrong with a published model.

/// Why a folder cannot be loaded as a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointProblem {
    /// `config.json` names a family that this crate does not know.
    #[error("model_type is {found:?}; known: {known}")]
    UnknownFamily {
        /// What it says.
        found: String,
        /// What it could say.
        known: String,
    },
    /// A key of `config.json` is missing.
    #[error("key {key:?} is missing, expected {expected}")]
    MissingSetting {
        /// The key.
        key: String,
        /// What its value should be.
        expected: &'static str,
    },
    /// A key of `config.json` has a value of the wrong kind or size.
    #[error("key {key:?} is {found}, expected {expected}")]
    WrongSetting {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// `config.json` asks for something that this crate's layers do not do.
    #[error("key {key:?} is {found}, supported: {supported}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// The values that would do.
        supported: String,
    },
    /// A file is no safetensors file, or a damaged one.
    #[error("not a whole safetensors file: {0}; fetch it again")]
    Damaged(String),
    /// A tensor of the model is in no file.
    #[error("key {key:?} is missing, expected shape {expected:?}")]
    MissingTensor {
        /// The key.
        key: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than `config.json` implies.
    #[error("key {key:?} has shape {found:?}, expected {expected:?}")]
    WrongShape {
        /// The key.
        key: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that `config.json` implies.
        expected: Vec<usize>,
    },
    /// A tensor holds no floating-point numbers that this crate reads.
    #[error("key {key:?} is of type {found}, supported: F64, F32, F16, BF16")]
    WrongType {
        /// The key.
        key: String,
        /// The type in the file.
        found: String,
    },
    /// Tensors that the model has no place for: it would not be the model of the file.
    #[error("{} tensors have no place in the model that config.json describes: {}", .0.len(), shortened(.0))]
    UnusedTensors(
        /// Their keys.
        Vec<String>,
    ),
    /// Two files have a tensor of this key.
    #[error("key {key:?} is also in {other}")]
    Twice {
        /// The key.
        key: String,
        /// The other file.
        other: String,
    },
}

fn shortened(keys: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = keys.iter().take(SHOWN).map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", ");
    if keys.len() > SHOWN { format!("{shown}, …") } else { shown }
}
