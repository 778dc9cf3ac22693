//! `config.json`, read key by key.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::CheckpointProblem as Problem;
use super::python_json;
use crate::{Error, Result};

/// The keys of a `config.json`, or of an object in it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    path: PathBuf,
    /// The names of the objects around, each with a dot.
    within: String,
    values: Map<String, Value>,
    limits: Limits,
}

/// What the weights beside it allow, so that no number in it can ask for more memory than they hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of all files.
    pub bytes: usize,
    /// In all files.
    pub tensors: usize,
}

/// A kind of value, with its name in messages.
pub(super) trait Kind: DeserializeOwned {
    const NAME: &str;
}

macro_rules! kinds {
    ($($kind:ty: $name:literal),+ $(,)?) => { $( impl Kind for $kind { const NAME: &str = $name; } )+ };
}

kinds! {
    usize: "a whole number, 0 or more",
    f64: "a number",
    bool: "true or false",
    String: "a text",
    Map<String, Value>: "an object",
    Vec<String>: "a list of texts",
    Vec<usize>: "a list of whole numbers, 0 or more",
}

impl Settings {
    /// Reads a file.
    pub fn read(path: &Path, limits: Limits) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::io(path))?;
        let text = String::from_utf8(text).map_err(|problem| Error::file(path, problem))?;
        let values = serde_json::from_str(&python_json::to_json(&text));
        let values = values.map_err(|problem| Error::file(path, problem))?;
        Ok(Self { path: path.into(), within: String::new(), values, limits })
    }

    /// All keys and values.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The object `key`; without keys if it is missing or null.
    pub fn object(&self, key: &str) -> Result<Self> {
        let values = self.optional(key)?.unwrap_or_default();
        Ok(Self { within: format!("{}{key}.", self.within), values, ..self.clone() })
    }

    /// Whether `key` is there, and null.
    pub fn is_null(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_null)
    }

    /// The value of `key`; `None`: missing or null.
    pub fn optional<T: Kind>(&self, key: &str) -> Result<Option<T>> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match serde_json::from_value(value.clone()) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.wrong(key, T::NAME.into())),
            },
        }
    }

    /// The value of `key`.
    pub fn required<T: Kind>(&self, key: &str) -> Result<T> {
        self.optional(key)?
            .ok_or_else(|| self.error(Problem::MissingSetting { key: self.full(key), expected: T::NAME }))
    }

    /// The value of `key`, or what it is without one.
    pub fn or<T: Kind>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A size, at least 1.
    pub fn size(&self, key: &str) -> Result<usize> {
        let size = self.required(key)?;
        self.check_size(key, size)
    }

    /// A size, at least 1, or what it is without one.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        let size = self.or(key, default)?;
        self.check_size(key, size)
    }

    /// A number of layers.
    pub fn layers(&self, key: &str) -> Result<usize> {
        let (layers, tensors) = (self.size(key)?, self.limits.tensors);
        match layers > tensors {
            true => Err(self.wrong(key, format!("at most {tensors}, the tensors of the model's files"))),
            false => Ok(layers),
        }
    }

    /// That a matrix of `rows` by the size of `key`, or what it is without one, fits into the files.
    pub fn area(&self, key: &str, rows: usize, default: usize) -> Result<usize> {
        let (size, bytes) = (self.size_or(key, default)?, self.limits.bytes);
        match rows.checked_mul(size).is_some_and(|area| area <= bytes) {
            true => Ok(size),
            false => {
                Err(self.wrong(key, format!("at most {}, for the bytes of the model's files", bytes / rows)))
            }
        }
    }

    fn check_size(&self, key: &str, size: usize) -> Result<usize> {
        let bytes = self.limits.bytes;
        match size {
            0 => Err(self.wrong(key, "at least 1".into())),
            _ if size > bytes => {
                Err(self.wrong(key, format!("at most {bytes}, the bytes of the model's files")))
            }
            _ => Ok(size),
        }
    }

    /// That `key` is one of these, or missing and the first of them the default.
    pub fn only(&self, key: &str, supported: &[Value]) -> Result<()> {
        let found = match self.values.get(key) {
            None | Some(Value::Null) => return Ok(()),
            Some(found) => found,
        };
        let equal = |value: &Value| match (value.as_f64(), found.as_f64()) {
            (Some(value), Some(found)) => value == found,
            _ => value == found,
        };
        if supported.iter().any(equal) {
            return Ok(());
        }
        Err(self.unsupported(key, supported))
    }

    /// That `key` is none of these.
    pub fn unsupported(&self, key: &str, supported: &[Value]) -> Error {
        let supported = supported.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        self.error(Problem::Unsupported { key: self.full(key), found: self.found(key), supported })
    }

    /// An error about `key`.
    pub fn wrong(&self, key: &str, expected: String) -> Error {
        self.error(Problem::WrongSetting { key: self.full(key), found: self.found(key), expected })
    }

    /// An error of this file.
    pub fn error(&self, problem: Problem) -> Error {
        Error::Checkpoint { path: self.path.clone(), problem }
    }

    fn found(&self, key: &str) -> String {
        self.values.get(key).map_or("missing".into(), Value::to_string)
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.within)
    }
}
