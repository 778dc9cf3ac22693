//! What the past leaves behind, as a plain value.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{Error, Result};

/// The state of a mixer: everything that the next token needs to know of the past.
///
/// A plain value: clone it to fork a generation, keep it to rewind, save it to go on later. An implementation
/// writes [`map`](Self::map), one line a field; the rest follows.
pub trait MixerState: Clone + std::fmt::Debug + Send + 'static {
    /// Passes every tensor and counter of the state, by name, through `mapper`, and rebuilds the state.
    ///
    /// What is only reserved (the free part of a cache) does not pass.
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self;

    /// Bytes of what the state holds: tensors at the size of their dtype, counters at eight bytes.
    fn bytes(&self) -> usize {
        let mut sum = Bytes(0);
        self.clone().map(&mut sum);
        sum.0
    }

    /// The state on another device.
    fn to_device(self, device: &Device) -> Self {
        self.map(&mut ToDevice(device))
    }

    /// The state cut off from the graph that computed it: truncated back-propagation through time.
    fn detach(self) -> Self {
        self.map(&mut Detach)
    }

    /// Writes the state to a safetensors file, under a temporary name first.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut collector = Collect::default();
        self.clone().map(&mut collector);
        let views = collector.entries.iter().map(|(name, (dtype, shape, bytes))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("bytes match the shape"))
        });
        let bytes = safetensors::serialize(views, None).expect("names are unique");
        crate::files::write_atomically(path.as_ref(), &bytes)
    }

    /// Reads a state that [`save`](Self::save) wrote; `self` gives the structure and the device, so it must
    /// come from the same model (`model.init_state(batch, &device)`).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is not a state of this structure.
    fn load(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|problem| Error::file(path, problem))?;
        let mut restore = Restore { tensors, scope: Vec::new(), used: 0, problem: None };
        let state = self.map(&mut restore);
        match restore.problem {
            Some(problem) => Err(Error::file(path, problem)),
            None if restore.used < restore.tensors.len() => {
                Err(Error::file(path, "holds more tensors than this state: it was saved from another model"))
            }
            None => Ok(state),
        }
    }
}

/// A state that is one tensor, the batch its first axis.
impl<const D: usize> MixerState for Tensor<D> {
    fn map<M: StateMapper>(self, mapper: &mut M) -> Self {
        mapper.tensor("state", self)
    }
}

/// Visits and replaces the parts of a [`MixerState`].
pub trait StateMapper {
    /// A tensor, of the same shape whatever has been seen.
    fn tensor<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D>;

    /// A tensor that is longer in `axis` the more has been seen: a saved one may differ from a fresh one there, and
    /// nowhere else.
    fn growing<const D: usize>(&mut self, name: &str, tensor: Tensor<D>, axis: usize) -> Tensor<D> {
        let _ = axis;
        self.tensor(name, tensor)
    }

    /// Room that is reserved but holds nothing yet: it moves with the state and does not count.
    fn reserved<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        tensor
    }

    /// Counters, such as the tokens a row has seen.
    fn counts(&mut self, name: &str, counts: Vec<usize>) -> Vec<usize> {
        let _ = name;
        counts
    }

    /// What came back does not fit together: a [`load`](MixerState::load) fails with this.
    fn reject(&mut self, problem: &str) {
        let _ = problem;
    }

    /// What follows, up to [`exit`](Self::exit), belongs to the part of this name.
    fn enter(&mut self, name: &str) {
        let _ = name;
    }

    /// The part is over.
    fn exit(&mut self) {}
}

struct Bytes(usize);

impl StateMapper for Bytes {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        self.0 += tensor.shape().num_elements() * tensor.dtype().size();
        tensor
    }

    fn counts(&mut self, _: &str, counts: Vec<usize>) -> Vec<usize> {
        self.0 += 8 * counts.len();
        counts
    }
}

struct ToDevice<'a>(&'a Device);

impl StateMapper for ToDevice<'_> {
    fn reserved<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        tensor.to_device(self.0)
    }

    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        tensor.to_device(self.0)
    }
}

struct Detach;

impl StateMapper for Detach {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        tensor.detach()
    }
}

fn dtype_in_file(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        _ => Dtype::F32,
    }
}

/// What a safetensors file says of a tensor.
type Entry = (Dtype, Vec<usize>, Vec<u8>);

#[derive(Default)]
struct Collect {
    entries: Vec<(String, Entry)>,
    scope: Vec<String>,
}

impl Collect {
    fn insert(&mut self, name: &str, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) {
        self.entries.push((scoped(&self.scope, name), (dtype, shape, bytes)));
    }
}

impl StateMapper for Collect {
    fn tensor<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        let data = tensor.to_data();
        self.insert(name, dtype_in_file(data.dtype()), tensor.dims().to_vec(), data.as_bytes().to_vec());
        tensor
    }

    fn counts(&mut self, name: &str, counts: Vec<usize>) -> Vec<usize> {
        let bytes = counts.iter().flat_map(|&count| (count as u64).to_le_bytes()).collect();
        self.insert(name, Dtype::U64, vec![counts.len()], bytes);
        counts
    }

    fn enter(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    fn exit(&mut self) {
        self.scope.pop();
    }
}

/// No text has more tokens.
const LARGEST_COUNT: usize = 1 << 48;

struct Restore<'a> {
    tensors: SafeTensors<'a>,
    scope: Vec<String>,
    used: usize,
    problem: Option<String>,
}

impl Restore<'_> {
    fn view(&mut self, name: &str) -> Option<TensorView<'_>> {
        let name = scoped(&self.scope, name);
        self.used += 1;
        if self.tensors.tensor(&name).is_err() {
            self.problem.get_or_insert(format!("lacks {name}: it was saved from another model"));
        }
        self.tensors.tensor(&name).ok()
    }

    /// The file's tensor of this name, of this one's shape but for `growing`.
    fn restore<const D: usize>(
        &mut self,
        name: &str,
        tensor: Tensor<D>,
        growing: Option<usize>,
    ) -> Tensor<D> {
        let Some(view) = self.view(name) else { return tensor };
        let dtype = tensor.dtype();
        if view.dtype() != dtype_in_file(dtype) {
            let found = view.dtype();
            self.problem.get_or_insert(format!("{name} holds {found:?}, expected {dtype:?}"));
            return tensor;
        }
        let fits = view.shape().len() == D
            && (0..D).all(|axis| Some(axis) == growing || view.shape()[axis] == tensor.dims()[axis]);
        if !fits {
            let (found, expected) = (view.shape().to_vec(), tensor.dims());
            self.problem.get_or_insert(format!("{name} has shape {found:?}, expected {expected:?}"));
            return tensor;
        }
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
        Tensor::from_data(data, (&tensor.device(), dtype))
    }
}

impl StateMapper for Restore<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        self.restore(name, tensor, None)
    }

    fn growing<const D: usize>(&mut self, name: &str, tensor: Tensor<D>, axis: usize) -> Tensor<D> {
        self.restore(name, tensor, Some(axis))
    }

    fn counts(&mut self, name: &str, counts: Vec<usize>) -> Vec<usize> {
        let Some(view) = self.view(name) else { return counts };
        let view_dtype = view.dtype();
        let found: Vec<usize> = view
            .data()
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("chunks of eight")) as usize)
            .collect();
        let problem = if view_dtype != Dtype::U64 {
            format!("{name} holds {view_dtype:?}, expected {:?}", Dtype::U64)
        } else if found.len() != counts.len() {
            format!("{name} has {} counters, expected {}", found.len(), counts.len())
        } else if let Some(count) = found.iter().find(|count| **count > LARGEST_COUNT) {
            format!("{name} counts {count}, more than {LARGEST_COUNT}")
        } else {
            return found;
        };
        self.reject(&problem);
        counts
    }

    fn reject(&mut self, problem: &str) {
        self.problem.get_or_insert(problem.into());
    }

    fn enter(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    fn exit(&mut self) {
        self.scope.pop();
    }
}

fn scoped(scope: &[String], name: &str) -> String {
    scope.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
}
