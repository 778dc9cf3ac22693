//! Weights of 8 or 16 bits, for decoding.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::LinearConfig;
use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Device, Tensor};

use super::language_model::LanguageModel;
use crate::layers::SequenceMixer;

/// Inputs, and outputs, that share a scale.
const BLOCK: usize = 8;

impl<M: SequenceMixer> LanguageModel<M> {
    /// The model with the weights of its linear maps in 8 bits: a quarter of the memory that decoding reads for every
    /// token.
    ///
    /// ```text
    /// w ≈ scale · q,   q integer, |q| ≤ 127,   scale = max |w| / 127 over 8 inputs by 8 outputs
    /// ```
    ///
    /// Burn's own quantisation, symmetric, in blocks. Activations, states, convolutions, norms, recurrences' own
    /// parameters, biases and the embedding stay as they are, and so do maps whose sizes are no multiples of 8 and
    /// the weights inside an LSTM. A tied head becomes a matrix of its own, if it is quantised.
    ///
    /// The result is for inference. On flex, decoding reads the 8 bits; on ndarray weights are made floats for every
    /// product, so that only their storage is smaller, and so it is on GPUs. A mixer of your own whose map should be quantised applies it with
    /// [`ops::linear`](crate::ops::linear).
    pub fn quantize(self) -> Self {
        let store = store(&self.device());
        self.narrow(Format::Int8(store))
    }

    /// The model with the weights of its linear maps in bf16, the upper half of 32 bits: half of the memory that decoding
    /// reads for every token. Weights that were published in bf16 lose nothing.
    ///
    /// All else is as [`quantize`](Self::quantize) leaves it. The result is for inference, on flex, which reads the 16 bits and
    /// computes in 32. On GPUs that compute with such numbers weights are made 32 bits wide for every product; that has not been
    /// tried.
    ///
    /// # Panics
    ///
    /// If the device does not compute in bf16, as ndarray, and wgpu on Vulkan and WebGPU.
    pub fn to_bf16(self) -> Self {
        let device = self.device();
        assert!(
            device.supports_dtype(DType::BF16),
            "to_bf16: {device:?} cannot store bf16; expected another device"
        );
        self.narrow(Format::Bf16)
    }

    fn narrow(self, format: Format) -> Self {
        let mut model = self.valid();
        if model.head.is_none() && format.fits(&[model.d_model(), model.vocab_size()]) {
            let weight = model.embedding.weight.val().transpose();
            let [d_model, vocab_size] = weight.dims();
            let mut head = LinearConfig::new(d_model, vocab_size).with_bias(false).init(&weight.device());
            head.weight = Param::from_tensor(weight);
            model.head = Some(head);
        }
        model.map(&mut Narrow { around: Vec::new(), format })
    }
}

/// How narrow weights are stored.
#[derive(Clone, Copy, Debug)]
enum Format {
    Int8(QuantStore),
    Bf16,
}

impl Format {
    /// Whether weights of these sizes can be stored so.
    fn fits(self, dims: &[usize]) -> bool {
        match self {
            Self::Int8(_) => dims.iter().all(|dim| dim % BLOCK == 0),
            Self::Bf16 => true,
        }
    }

    fn narrow<const D: usize>(self, weight: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Int8(store) => {
                let scheme = QuantScheme::default()
                    .with_value(QuantValue::Q8S)
                    .with_store(store)
                    .per_block([BLOCK as u8; 2], ScaleDtype::F32);
                weight.quantize_dynamic(&scheme)
            }
            Self::Bf16 => weight.cast(DType::BF16),
        }
    }
}

/// Kernels of GPUs put four numbers into one of 32 bits.
fn store(device: &Device) -> QuantStore {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::kernels::is_host(&device.clone().inner()) {
        return QuantStore::Native;
    }
    let _ = device;
    QuantStore::PackedU32(0)
}

/// Narrows the weights of linear maps.
struct Narrow {
    /// The structs around the parameter.
    around: Vec<String>,
    format: Format,
}

impl ModuleMapper for Narrow {
    fn enter_module(&mut self, _: &str, container: &str) {
        self.around.push(container.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.around.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let is_linear = self.around.last().is_some_and(|container| container == "Struct:Linear");
        let in_lstm = self.around.iter().any(|container| container == "Struct:GateController");
        let dims = param.lazy_shape();
        let is_float = param.val().dtype() == DType::F32;
        if !is_linear || in_lstm || dims.len() != 2 || !self.format.fits(&dims) || !is_float {
            return param;
        }
        param.map(|weight| self.format.narrow(weight))
    }
}
