//! Named arrays of f32 in files, as both sides read and write them.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};

/// Arrays by name.
pub type Arrays = BTreeMap<String, TensorData>;

/// The numbers of a tensor.
pub fn array<const D: usize>(tensor: &Tensor<D>) -> TensorData {
    tensor.clone().into_data()
}

/// Reads a safetensors file.
pub fn read(path: &Path) -> Arrays {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let array = |view: &TensorView| {
        let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        TensorData::new(numbers.collect::<Vec<f32>>(), view.shape().to_vec())
    };
    file.iter().map(|(name, view)| (name.to_string(), array(&view))).collect()
}

/// Writes one.
pub fn write(arrays: &Arrays, path: &Path) {
    let bytes: Vec<(&String, Vec<u8>, Vec<usize>)> = arrays
        .iter()
        .map(|(name, data)| {
            (name, data.iter::<f32>().flat_map(f32::to_le_bytes).collect(), data.shape().to_vec())
        })
        .collect();
    let views = bytes.iter().map(|(name, bytes, shape)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.expect("as many numbers as the shape says"))
    });
    serialize_to_file(views, None, path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
