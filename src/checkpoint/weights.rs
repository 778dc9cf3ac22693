//! Safetensors files, mapped into memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::problem::CheckpointProblem as Problem;
use super::settings::Limits;
use crate::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a folder, wherever in its files they are.
pub(super) struct Weights {
    files: Vec<(PathBuf, Mmap)>,
    tensors: BTreeMap<String, Place>,
}

/// Where a tensor is.
struct Place {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: std::ops::Range<usize>,
}

/// A tensor in a file.
pub(super) struct View<'a> {
    pub dtype: Dtype,
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
}

impl Weights {
    /// Maps `model.safetensors` of this folder, or all files that `model.safetensors.index.json` names.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut weights = Self { files: Vec::new(), tensors: BTreeMap::new() };
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        // As Transformers: one file goes before several.
        if single.is_file() {
            weights.add(single)?;
            return Ok(weights);
        }
        if !index.is_file() {
            let problem = format!(
                "is missing, and so is {INDEX}; weights are read from safetensors, not from pickles (.bin)"
            );
            return Err(Error::file(&single, problem));
        }
        let json = std::fs::read(&index).map_err(Error::io(&index))?;
        let json: Value = serde_json::from_slice(&json).map_err(|problem| Error::file(&index, problem))?;
        let map = json.get("weight_map").and_then(Value::as_object);
        let map =
            map.ok_or_else(|| Error::file(&index, "key \"weight_map\" is missing, expected an object"))?;
        let mut names = BTreeSet::new();
        for (key, file) in map {
            // A plain name: nothing outside the folder is read.
            let name = file.as_str().filter(|name| Path::new(name).file_name() == Some(name.as_ref()));
            let name = name.ok_or_else(|| {
                Error::file(
                    &index,
                    format!("key \"weight_map.{key}\" is {file}, expected the name of a file beside it"),
                )
            })?;
            names.insert(name);
        }
        if names.is_empty() {
            return Err(Error::file(&index, "key \"weight_map\" is empty, expected a file for every tensor"));
        }
        for name in names {
            weights.add(folder.join(name))?;
        }
        for (key, file) in map {
            let inside = weights.tensors.get(key).map(|place| &weights.files[place.file].0);
            if inside.and_then(|path| path.file_name()?.to_str()) != file.as_str() {
                return Err(Error::file(&index, format!("key {key:?} is said to be in {file}, and is not")));
            }
        }
        Ok(weights)
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let file = File::open(&path).map_err(Error::io(&path))?;
        // SAFETY: the map is only read, and lives no longer than the load. Should another process shorten the file
        // meanwhile, this one gets SIGBUS; should it write, it gets other numbers: as for every reader of such files.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(&path))?;
        let error = |problem| Error::Checkpoint { path: path.clone(), problem };
        let parsed =
            SafeTensors::deserialize(&map).map_err(|problem| error(Problem::Damaged(problem.to_string())))?;
        let start = map.as_ptr() as usize;
        for (key, view) in parsed.iter() {
            let bytes = view.data().as_ptr() as usize - start;
            let place = Place {
                file: self.files.len(),
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: bytes..bytes + view.data().len(),
            };
            if let Some(other) = self.tensors.insert(key.into(), place) {
                let other = self.files[other.file].0.display().to_string();
                return Err(error(Problem::Twice { key: key.into(), other }));
            }
        }
        drop(parsed);
        self.files.push((path, map));
        Ok(())
    }

    /// What a configuration beside these may ask for.
    pub fn limits(&self) -> Limits {
        Limits { bytes: self.files.iter().map(|(_, map)| map.len()).sum(), tensors: self.tensors.len() }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor of this key and shape, of floating-point numbers.
    pub fn tensor(&self, key: &str, expected: &[usize]) -> Result<View<'_>> {
        let Some(Place { file, dtype, shape, bytes }) = self.tensors.get(key) else {
            let problem = Problem::MissingTensor { key: key.into(), expected: expected.into() };
            return Err(self.error(0, problem));
        };
        if shape != expected {
            let (found, expected) = (shape.clone(), expected.into());
            return Err(self.error(*file, Problem::WrongShape { key: key.into(), found, expected }));
        }
        if !matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(
                self.error(*file, Problem::WrongType { key: key.into(), found: format!("{dtype:?}") })
            );
        }
        Ok(View { dtype: *dtype, shape, bytes: &self.files[*file].1[bytes.clone()] })
    }

    /// Whether both are there and hold other bytes.
    pub fn differ(&self, key: &str, other: &str) -> bool {
        let bytes = |key: &str| {
            let place = self.tensors.get(key)?;
            Some(&self.files[place.file].1[place.bytes.clone()])
        };
        bytes(key).zip(bytes(other)).is_some_and(|(one, other)| one != other)
    }

    /// An error about what all files together hold.
    pub fn error(&self, file: usize, problem: Problem) -> Error {
        Error::Checkpoint { path: self.files[file].0.clone(), problem }
    }
}
