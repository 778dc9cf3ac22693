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
/// quantised: those of [`LanguageModel::quantize`](crate::models::LanguageModel::quantize) are read as they are, others are made
/// floats first.
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
        if let Some(weight) = int8(&weight, layout) {
            let op = cpu::linear::int8::LinearInt8::new(weight, widths.into());
            return fused(x, bias, widths, |inputs| int8_products(op, inputs));
        }
        if !matches!(weight.dtype(), DType::QFloat(_)) {
            let op = cpu::linear::Linear { layout, widths: widths.into() };
            let others = std::iter::once(weight.into()).chain(bias);
            return fused(x, others, widths, |inputs| products(op, inputs));
        }
    }
    let _ = implementation;
    let weight = weight.dequantize();
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

#[cfg(feature = "flex")]
fn int8_products(
    op: crate::kernels::cpu::linear::int8::LinearInt8,
    inputs: Vec<HostInput>,
) -> Vec<Tensor<1>> {
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

/// Weights on flex that the kernel for 8 bits reads.
#[cfg(feature = "flex")]
fn int8(weight: &Tensor<2>, layout: WeightLayout) -> Option<burn::backend::flex::FlexQTensor> {
    use crate::kernels::cpu::linear::int8::BLOCK;
    use burn::backend::{BackendTensor, DispatchTensorKind};
    let DType::QFloat(scheme) = weight.dtype() else { return None };
    let block: [u8; 2] = scheme.block_size()?.as_dim();
    if layout != WeightLayout::InputFirst || block.map(usize::from) != [BLOCK; 2] {
        return None;
    }
    match weight.clone().into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Quantized(weight)) => Some(weight),
        _ => None,
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

/// The dtype of what a layer makes of floats: its weights', unless they are quantised.
pub(crate) fn output_dtype(layer: &nn::Linear) -> DType {
    match layer.weight.val().dtype() {
        DType::QFloat(_) => DType::F32,
        dtype => dtype,
    }
}
