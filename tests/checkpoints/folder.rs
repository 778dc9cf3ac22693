//! Folders of models to read, and copies of them to damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

/// A committed model.
pub fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints").join(name)
}

/// What the committed model says, by name.
pub fn expected(name: &str) -> BTreeMap<String, TensorData> {
    let bytes = std::fs::read(published(name).join("expected.safetensors")).expect("a committed file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let array = |(name, view): (&str, safetensors::tensor::TensorView)| {
        let values: Vec<f32> =
            view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (name.to_string(), TensorData::new(values, view.shape().to_vec()))
    };
    file.iter().map(array).collect()
}

/// The largest difference, relative to the largest expected entry.
pub fn deviation<const D: usize>(actual: Tensor<D>, expected: &TensorData) -> f64 {
    assert_eq!(actual.dims().to_vec(), expected.shape().to_vec());
    let expected: Vec<f64> = expected.iter().collect();
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let actual = actual.into_data();
    let difference = actual.iter::<f64>().zip(&expected).map(|(actual, expected)| (actual - expected).abs());
    most(difference) / largest
}

/// The largest of these; NaN if one is, which `max` passes over.
pub fn most(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |most, number| if most.is_nan() || number <= most { most } else { number })
}

/// The numbers as a tensor.
pub fn tensor<const D: usize>(data: &TensorData) -> Tensor<D> {
    Tensor::from_data(data.clone(), &Device::default())
}

/// A copy of a committed model that may be damaged.
pub struct Copy {
    folder: TempDir,
}

impl Copy {
    pub fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for entry in std::fs::read_dir(published(name)).expect("a committed folder") {
            let entry = entry.expect("a file");
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("room for a copy");
        }
        std::fs::remove_file(folder.path().join("expected.safetensors")).expect("every model has one");
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path().join(file)).expect("a file of the model")
    }

    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(file), bytes).expect("room for a file");
    }

    /// Changes a JSON file.
    pub fn json(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&self.bytes(file)).expect("JSON");
        change(&mut json);
        self.write(file, serde_json::to_vec(&json).expect("JSON"));
    }

    /// Changes the header of `model.safetensors`, and leaves its data.
    pub fn header(&self, change: impl FnOnce(&mut Value)) {
        let file = self.bytes("model.safetensors");
        let (len, rest) = file.split_at(8);
        let len = u64::from_le_bytes(len.try_into().expect("8 bytes")) as usize;
        let (header, data) = rest.split_at(len);
        let mut json = serde_json::from_slice(header).expect("JSON");
        change(&mut json);
        let header = serde_json::to_vec(&json).expect("JSON");
        let len = (header.len() as u64).to_le_bytes();
        self.write("model.safetensors", [&len, header.as_slice(), data].concat());
    }
}
