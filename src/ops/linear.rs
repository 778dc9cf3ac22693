//! The affine map.

use burn::nn;
use burn::tensor::{Tensor, assert_shape};

use crate::kernels::Implementation;

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
/// For a few rows, as in decoding, the fused form reads the weights once at the speed of memory.
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
        use crate::kernels::{cpu, host};
        let dims = x.dims();
        let inputs = [x.into(), weight.into()].into_iter().chain(bias.map(host::HostInput::from));
        let op = cpu::linear::Linear { layout, widths: widths.into() };
        let mut pieces = host::run::<N>(op, inputs.collect()).into_iter();
        return widths.map(|width| {
            let mut dims = dims;
            dims[D - 1] = width;
            pieces.next().expect("as many pieces as widths").reshape(dims)
        });
    }
    let _ = implementation;
    let weight = match layout {
        WeightLayout::InputFirst => weight,
        WeightLayout::OutputFirst => weight.transpose(),
    };
    split(burn::tensor::module::linear(x, weight, bias), widths)
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
