//! How the parameters of a model stand in a published file: data, one table a family.

use std::collections::BTreeMap;

use burn::tensor::Shape;

/// How a tensor lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As in the model.
    Same,
    /// `[out, in]`, in the model `[in, out]`.
    Transposed,
    /// `[channels, 1, d_conv]`, in the model `[d_conv, channels]`.
    Conv,
    /// One less than in the model: what a scale differs from 1 by.
    LessOne,
    /// `[n_heads, len / n_heads]`, in the model `[len]`.
    Heads(usize),
}

/// Some rows of a tensor: `groups` times `len` of `group`, from row `from` of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub group: usize,
    pub from: usize,
    pub len: usize,
    pub groups: usize,
}

impl Rows {
    /// All rows of a tensor of this many.
    pub fn all(len: usize) -> Self {
        Self { group: len, from: 0, len, groups: 1 }
    }

    /// Rows of the whole tensor.
    pub fn total(&self) -> usize {
        self.group * self.groups
    }

    /// The rows, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..self.groups).flat_map(move |group| {
            let first = group * self.group + self.from;
            first..first + self.len
        })
    }
}

/// Where a parameter is: these rows of these tensors, one after another; `None`: all of the only one.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub form: Form,
    pub parts: Vec<(String, Option<Rows>)>,
}

/// Where every parameter of a model is, by its path in the model: where it is written, and where else it may be found.
/// What the model does not have may be in it.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<String, Vec<Entry>>,
}

impl Table {
    /// A parameter that is a tensor of its own.
    pub fn whole(&mut self, ours: String, theirs: String, form: Form) {
        self.entries.insert(ours, vec![Entry { form, parts: vec![(theirs, None)] }]);
    }

    /// A parameter made of rows of other tensors.
    pub fn rows(&mut self, ours: String, form: Form, parts: Vec<(String, Rows)>) {
        self.entries.remove(&ours);
        self.or_rows(ours, form, parts);
    }

    /// A parameter that is made of rows of these tensors in other files.
    pub fn or_rows(&mut self, ours: String, form: Form, parts: Vec<(String, Rows)>) {
        let parts = parts.into_iter().map(|(key, rows)| (key, Some(rows))).collect();
        self.entries.entry(ours).or_default().push(Entry { form, parts });
    }

    /// A linear map: weight and bias.
    pub fn linear(&mut self, ours: &str, theirs: &str) {
        self.whole(format!("{ours}.weight"), format!("{theirs}.weight"), Form::Transposed);
        self.whole(format!("{ours}.bias"), format!("{theirs}.bias"), Form::Same);
    }

    /// A linear map whose outputs are rows of other maps.
    pub fn linear_rows(&mut self, ours: &str, parts: &[(String, Rows)]) {
        for (name, form) in [("weight", Form::Transposed), ("bias", Form::Same)] {
            let parts = parts.iter().map(|(theirs, rows)| (format!("{theirs}.{name}"), *rows)).collect();
            self.rows(format!("{ours}.{name}"), form, parts);
        }
    }

    /// A normalisation: scale and shift.
    pub fn norm(&mut self, ours: &str, theirs: &str) {
        self.whole(format!("{ours}.gamma"), format!("{theirs}.weight"), Form::Same);
        self.whole(format!("{ours}.beta"), format!("{theirs}.bias"), Form::Same);
    }

    /// A root-mean-square norm that has this name in other files.
    pub fn or_norm(&mut self, ours: &str, theirs: &str) {
        let entry = Entry { form: Form::Same, parts: vec![(format!("{theirs}.weight"), None)] };
        self.entries.entry(format!("{ours}.gamma")).or_default().push(entry);
    }

    /// Where the parameter of this path is: the first is where it is written.
    pub fn entries(&self, path: &str) -> &[Entry] {
        let known = self.entries.get(path);
        known.unwrap_or_else(|| panic!("checkpoint: no key is known for parameter {path}"))
    }
}

impl Entry {
    /// The tensors it is in, with their shapes and the rows of each, for a parameter of this shape.
    pub fn tensors(&self, ours: &Shape) -> impl Iterator<Item = (&str, Vec<usize>, Option<Rows>)> {
        let shape = self.form.theirs(ours);
        self.parts.iter().map(move |(key, rows)| {
            let mut shape = shape.clone();
            if let Some(rows) = rows {
                shape[0] = rows.total();
            }
            (key.as_str(), shape, *rows)
        })
    }
}

impl Form {
    /// The shape in the file of what has this shape in the model.
    pub fn theirs(self, ours: &Shape) -> Vec<usize> {
        let ours: Vec<usize> = ours.iter().copied().collect();
        match (self, ours.as_slice()) {
            (Self::Transposed, [inputs, outputs]) => vec![*outputs, *inputs],
            (Self::Conv, [d_conv, channels]) => vec![*channels, 1, *d_conv],
            (Self::Heads(n_heads), [len]) => vec![n_heads, len / n_heads],
            _ => ours,
        }
    }

    /// Values in the file's order to the model's, `shape`.
    pub fn to_ours(self, values: Vec<f32>, shape: &Shape) -> Vec<f32> {
        match self {
            Self::Same | Self::Heads(_) => values,
            Self::LessOne => values.into_iter().map(|value| value + 1.0).collect(),
            Self::Transposed | Self::Conv => transposed(&values, [shape[1], shape[0]]),
        }
    }

    /// Values in the model's order, `shape`, to the file's.
    pub fn to_theirs(self, values: Vec<f32>, shape: &Shape) -> Vec<f32> {
        match self {
            Self::Same | Self::Heads(_) => values,
            Self::LessOne => values.into_iter().map(|value| value - 1.0).collect(),
            Self::Transposed | Self::Conv => transposed(&values, [shape[0], shape[1]]),
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`, in squares that stay in the cache.
fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    use rayon::prelude::*;
    const SQUARE: usize = 32;
    let mut turned = vec![0.0; values.len()];
    if values.is_empty() {
        return turned;
    }
    turned.par_chunks_mut(SQUARE * rows).enumerate().for_each(|(strip, turned)| {
        let first = strip * SQUARE;
        let width = SQUARE.min(columns - first);
        for top in (0..rows).step_by(SQUARE) {
            for row in top..rows.min(top + SQUARE) {
                for column in 0..width {
                    turned[column * rows + row] = values[row * columns + first + column];
                }
            }
        }
    });
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_groups() {
        let rows = Rows { group: 6, from: 2, len: 2, groups: 3 };
        assert_eq!(rows.iter().collect::<Vec<_>>(), [2, 3, 8, 9, 14, 15]);
        assert_eq!(rows.total(), 18);
    }

    #[test]
    fn transposing_twice_is_nothing() {
        for dims in [[1, 1], [3, 70], [70, 3], [64, 33]] {
            let [rows, columns] = dims;
            let values: Vec<f32> = (0..rows * columns).map(|value| value as f32).collect();
            let turned = transposed(&values, dims);
            assert_eq!(turned[(columns - 1) * rows], values[columns - 1]);
            assert_eq!(transposed(&turned, [columns, rows]), values);
        }
    }
}
