//! The affine map.

use burn::nn;
use burn::tensor::{DType, Tensor, assert_shape};

use crate::kernels::Implementation;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::host::{self, HostInput};

/// How the weights of a [`linear`] map lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WeightLayout {
    /// `[d_input, d_output]`, as Burn's `Linear`.
    #[default]
    InputFirst,
    /// `[d_output, d_input]`, as PyTorch's, and as an embedding that serves as head.
    OutputFirst,
}

/// `x W + b`, or with [`WeightLayout::OutputFirst`] `x Wᵀ + b`: `x [.., d_input]` to `[.., d_output]`.
///
/// For a few rows, as in decoding, the fused form reads the weights once at the speed of memory. The weights may be
/// narrower than `x`: those of [`LanguageModel::quantize`](crate::models::LanguageModel::quantize) and of
/// [`LanguageModel::to_bf16`](crate::models::LanguageModel::to_bf16) are read as they are on flex, others are made floats first.
///
/// # Panics
///
/// If the shapes do not agree.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    layout: WeightLayout,
    implementation: Implementation,
) -> Tensor<D> {
    let dims = weight.dims();
    let [d_input, d_output] = match layout {
        WeightLayout::InputFirst => dims,
        WeightLayout::OutputFirst => [dims[1], dims[0]],
    };
    assert_shape!(x, [.., d_input]);
    if let Some(bias) = &bias {
        assert_shape!(bias, [d_output]);
    }
    let [y] = pieces(x, weight, bias, (layout, [d_output]), implementation);
    y
}

/// The columns of a [`linear`] map cut into pieces of these widths.
fn pieces<const D: usize, const N: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    (layout, widths): (WeightLayout, [usize; N]),
    implementation: Implementation,
) -> [Tensor<D>; N] {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&x) {
        use crate::kernels::cpu;
        let bias = bias.clone().map(HostInput::from);
        #[cfg(feature = "flex")]
        if let Some(products) = narrow::products(&weight, layout, &widths) {
            return fused(x, bias, widths, products);
        }
        if weight.dtype() == x.dtype() {
            let op = cpu::linear::Linear { layout, widths: widths.into() };
            let others = std::iter::once(weight.into()).chain(bias);
            return fused(x, others, widths, |inputs| products(op, inputs));
        }
    }
    let _ = implementation;
    let weight = match weight.dtype() {
        DType::QFloat(_) => weight.dequantize(),
        dtype if dtype == x.dtype() => weight,
        _ => weight.cast(x.dtype()),
    };
    let weight = match layout {
        WeightLayout::InputFirst => weight,
        WeightLayout::OutputFirst => weight.transpose(),
    };
    split(burn::tensor::module::linear(x, weight, bias), widths)
}

// Not generic: compiled here, and not again in every crate that multiplies a tensor of some rank.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn products(op: crate::kernels::cpu::linear::Linear, inputs: Vec<HostInput>) -> Vec<Tensor<1>> {
    host::run_all(op, inputs)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused<const D: usize, const N: usize>(
    x: Tensor<D>,
    others: impl IntoIterator<Item = HostInput>,
    widths: [usize; N],
    products: impl FnOnce(Vec<HostInput>) -> Vec<Tensor<1>>,
) -> [Tensor<D>; N] {
    let dims = x.dims();
    let inputs = std::iter::once(x.into()).chain(others);
    let mut pieces = products(inputs.collect()).into_iter();
    widths.map(|width| {
        let mut dims = dims;
        dims[D - 1] = width;
        pieces.next().expect("as many pieces as widths").reshape(dims)
    })
}

/// Weights on flex in formats of which only constants are made.
#[cfg(feature = "flex")]
mod narrow {
    use burn::backend::flex::FlexQTensor;
    use burn::backend::{BackendTensor, DispatchTensorKind, TensorMetadata};
    use burn::tensor::{DType, Tensor};

    use super::WeightLayout;
    use crate::kernels::cpu::linear::bf16::Bf16;
    use crate::kernels::cpu::linear::constant::{Constant, ConstantLinear};
    use crate::kernels::cpu::linear::int8::{BLOCK, Int8};
    use crate::kernels::host::{self, HostInput};

    type Products = Box<dyn FnOnce(Vec<HostInput>) -> Vec<Tensor<1>>>;

    /// What multiplies with such weights; `None`: they are floats of the usual widths, or lie otherwise.
    pub(super) fn products(weight: &Tensor<2>, layout: WeightLayout, widths: &[usize]) -> Option<Products> {
        let is_narrow = matches!(weight.dtype(), DType::QFloat(_) | DType::BF16);
        if layout != WeightLayout::InputFirst || !is_narrow {
            return None;
        }
        match weight.clone().into_dispatch().kind {
            DispatchTensorKind::Flex(BackendTensor::Quantized(weight)) if in_blocks(&weight) => {
                Some(of(Int8(weight), widths))
            }
            DispatchTensorKind::Flex(BackendTensor::Float(weight)) if weight.dtype() == DType::BF16 => {
                Some(of(Bf16::new(&weight), widths))
            }
            _ => None,
        }
    }

    fn in_blocks(weight: &FlexQTensor) -> bool {
        let DType::QFloat(scheme) = weight.dtype() else { return false };
        let block = scheme.block_size().map(|block| block.as_dim::<2>().map(usize::from));
        scheme.num_levels() == 1 && block == Some([BLOCK; 2])
    }

    fn of(weights: impl Constant, widths: &[usize]) -> Products {
        let op = ConstantLinear { weights, widths: widths.into() };
        Box::new(|inputs| host::run_all(op, inputs))
    }
}

/// Cuts the last axis into pieces of these widths.
pub(super) fn split<const D: usize, const N: usize>(x: Tensor<D>, widths: [usize; N]) -> [Tensor<D>; N] {
    let mut start = 0;
    widths.map(|width| {
        start += width;
        x.clone().narrow(D - 1, start - width, width)
    })
}

/// What a layer's `forward` computes.
pub(crate) fn apply<const D: usize>(layer: &nn::Linear, x: Tensor<D>) -> Tensor<D> {
    let bias = layer.bias.as_ref().map(|bias| bias.val());
    linear(x, layer.weight.val(), bias, WeightLayout::InputFirst, Implementation::Auto)
}

/// What a layer's `forward` computes, cut into pieces of these widths: cheaper, above all backward, than slices of
/// the whole.
pub(crate) fn apply_in_pieces<const D: usize, const N: usize>(
    layer: &nn::Linear,
    x: Tensor<D>,
    widths: [usize; N],
) -> [Tensor<D>; N] {
    let weight = layer.weight.val();
    let [d_input, d_output] = weight.dims();
    assert_shape!(x, [.., d_input]);
    debug_assert_eq!(widths.iter().sum::<usize>(), d_output);
    let bias = layer.bias.as_ref().map(|bias| bias.val());
    pieces(x, weight, bias, (WeightLayout::InputFirst, widths), Implementation::Auto)
}

/// The dtype of what a layer makes of floats: its weights', unless they are narrower than what the device computes in.
pub(crate) fn output_dtype(layer: &nn::Linear) -> DType {
    let weight = layer.weight.val();
    match weight.dtype() {
        DType::QFloat(_) | DType::BF16 => weight.device().settings().float_dtype.into(),
        dtype => dtype,
    }
}
