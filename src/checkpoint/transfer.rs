//! Numbers between files and a model.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Shape, Tensor, TensorData, bf16, f16};
use safetensors::Dtype;

use super::table::{Entry, Rows, Table};
use super::weights::{View, Weights};
use crate::Result;

/// Puts the tensors of files in the place of a model's parameters.
pub(super) struct Fill<'a> {
    weights: &'a Weights,
    table: &'a Table,
    path: Vec<String>,
    /// The keys that were used.
    pub used: BTreeSet<String>,
    /// The first thing that went wrong.
    pub result: Result<()>,
}

impl<'a> Fill<'a> {
    pub fn new(weights: &'a Weights, table: &'a Table) -> Self {
        Self { weights, table, path: Vec::new(), used: BTreeSet::new(), result: Ok(()) }
    }

    /// The values of a parameter, in the model's order.
    fn values(&mut self, shape: &Shape) -> Result<Vec<f32>> {
        let entries = self.table.entries(&self.path.join("."));
        let is_there = |entry: &&Entry| {
            entry.tensors(shape).all(|(key, shape, _)| self.weights.tensor(key, &shape).is_ok())
        };
        let entry = entries.iter().find(is_there).unwrap_or(&entries[0]);
        let find = |(key, shape, rows): (&str, Vec<usize>, Option<Rows>)| {
            Ok((self.weights.tensor(key, &shape)?, rows))
        };
        // All are there before there is room for them.
        let views = entry.tensors(shape).map(find).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(shape.num_elements());
        views.iter().for_each(|(view, rows)| read(view, *rows, &mut values));
        self.used.extend(entry.parts.iter().map(|(key, _)| key.clone()));
        assert_eq!(values.len(), shape.num_elements(), "checkpoint: rows of {}", self.path.join("."));
        Ok(entry.form.to_ours(values, shape))
    }
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.result.is_err() {
            return param;
        }
        let shape = param.lazy_shape();
        match self.values(&shape) {
            Ok(values) => {
                let options = (&param.lazy_device(), DType::F32);
                let tensor = Tensor::from_data(TensorData::new(values, shape), options);
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.result = Err(error);
                param
            }
        }
    }
}

/// Appends these rows of a tensor; `None`: all.
fn read(view: &View, rows: Option<Rows>, values: &mut Vec<f32>) {
    let len = view.shape.iter().skip(1).product::<usize>();
    match view.dtype {
        Dtype::F64 => decode(view.bytes, len, rows, values, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F32 => decode(view.bytes, len, rows, values, f32::from_le_bytes),
        Dtype::F16 => decode(view.bytes, len, rows, values, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => decode(view.bytes, len, rows, values, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        other => unreachable!("{other:?} is refused when the file is opened"),
    }
}

fn decode<const N: usize>(
    bytes: &[u8],
    len: usize,
    rows: Option<Rows>,
    values: &mut Vec<f32>,
    number: impl Fn([u8; N]) -> f32,
) {
    let mut append =
        |bytes: &[u8]| values.extend(bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
    match rows {
        None => append(bytes),
        Some(rows) => rows.iter().for_each(|row| append(&bytes[row * len * N..(row + 1) * len * N])),
    }
}

/// The parameters of a model as the tensors of a file.
pub(super) struct Collect<'a> {
    table: &'a Table,
    path: Vec<String>,
    /// Shape and values, by key.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl<'a> Collect<'a> {
    pub fn new(table: &'a Table) -> Self {
        Self { table, path: Vec::new(), tensors: BTreeMap::new() }
    }
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let entry = &self.table.entries(&self.path.join("."))[0];
        let tensor = param.transform_for_save().val();
        let shape = tensor.shape();
        let values = entry.form.to_theirs(tensor.into_data().iter::<f32>().collect(), &shape);
        let mut rest = values.as_slice();
        for (key, whole, rows) in entry.tensors(&shape) {
            let Some(rows) = rows else {
                self.tensors.insert(key.into(), (whole, values));
                return;
            };
            let len = whole.iter().skip(1).product::<usize>();
            let empty = || (whole.clone(), vec![0.0; rows.total() * len]);
            let (_, theirs) = self.tensors.entry(key.into()).or_insert_with(empty);
            for row in rows.iter() {
                let (values, after) = rest.split_at(len);
                theirs[row * len..(row + 1) * len].copy_from_slice(values);
                rest = after;
            }
        }
    }
}
