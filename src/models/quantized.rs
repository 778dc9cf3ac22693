//! Weights of 8 bits, for decoding.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::LinearConfig;
use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Tensor};

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
    /// product, so that only their storage is smaller; on GPUs it has not been tried. A mixer of your own whose map should be quantised applies it with
    /// [`ops::linear`](crate::ops::linear).
    pub fn quantize(self) -> Self {
        let mut model = self.valid();
        if model.head.is_none() && in_blocks(&[model.d_model(), model.vocab_size()]) {
            let weight = model.embedding.weight.val().transpose();
            let [d_model, vocab_size] = weight.dims();
            let mut head = LinearConfig::new(d_model, vocab_size).with_bias(false).init(&weight.device());
            head.weight = Param::from_tensor(weight);
            model.head = Some(head);
        }
        model.map(&mut Quantize::default())
    }
}

fn in_blocks(dims: &[usize]) -> bool {
    dims.iter().all(|dim| dim % BLOCK == 0)
}

/// Quantises the weights of linear maps.
#[derive(Default)]
struct Quantize {
    /// The structs around the parameter.
    around: Vec<String>,
}

impl ModuleMapper for Quantize {
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
        if !is_linear || in_lstm || dims.len() != 2 || !in_blocks(&dims) || !is_float {
            return param;
        }
        let scheme = QuantScheme::default()
            .with_value(QuantValue::Q8S)
            .with_store(QuantStore::Native)
            .per_block([BLOCK as u8; 2], ScaleDtype::F32);
        param.map(|weight| weight.quantize_dynamic(&scheme))
    }
}
