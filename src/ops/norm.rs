//! Normalisation of rows, fused on the CPU.

use burn::tensor::{Tensor, assert_shape};

use super::silu;

#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::{
    Implementation,
    cpu::{gated_norm::GatedNorm, norm::Norm},
    host::{self, HostInput},
};

/// `x / √(mean(x²) + ε) ⊙ gamma` over the last axis, `x [.., width]`, `gamma [width]` (arXiv 1910.07467, equation 4).
///
/// # Panics
///
/// If the widths differ.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let [width] = gamma.dims();
    assert_shape!(x, [.., width]);
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if Implementation::Auto.is_fused(&x) {
        let dims = x.dims();
        return normed(Norm { centred: false, epsilon }, vec![x.into(), gamma.into()]).reshape(dims);
    }
    let mean_square = x.clone().square().mean_dim(D - 1);
    x / (mean_square + epsilon).sqrt() * gamma.unsqueeze()
}

/// `(x − μ) / √(mean((x − μ)²) + ε) ⊙ gamma + beta` over the last axis, μ its mean; `x [.., width]`, `gamma [width]`,
/// `beta [width]` (arXiv 1607.06450, equation 4).
///
/// # Panics
///
/// If the widths differ.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let [width] = gamma.dims();
    assert_shape!(x, [.., width]);
    assert_shape!(beta, [width]);
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if Implementation::Auto.is_fused(&x) {
        let dims = x.dims();
        let inputs = vec![x.into(), gamma.into(), beta.into()];
        return normed(Norm { centred: true, epsilon }, inputs).reshape(dims);
    }
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().square().mean_dim(D - 1);
    centred / (variance + epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

// Not generic: compiled here, and not again in every crate that normalises a tensor of some rank.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn normed(op: Norm, inputs: Vec<HostInput>) -> Tensor<1> {
    let [y] = host::run(op, inputs);
    y
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn gated(op: GatedNorm, inputs: Vec<HostInput>) -> Tensor<1> {
    let [y] = host::run(op, inputs);
    y
}

/// How a [`gated_rms_norm`] normalises, in the terms of `mamba_ssm`'s `RMSNormGated`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatedNormOptions {
    /// So many neighbours are normalised together; it divides the width.
    pub group_size: usize,
    /// Whether the gate comes after the normalisation.
    pub norm_before_gate: bool,
    /// ε, under the root.
    pub epsilon: f64,
}

/// `n(x ⊙ silu(z))`, or with `norm_before_gate` `n(x) ⊙ silu(z)`, where
/// `n(u) = u / √(mean(u²) + ε) ⊙ gamma` over groups of the last axis; `x, z [.., width]`, `gamma [width]`.
///
/// # Panics
///
/// If the shapes do not agree, or `group_size` does not divide the width.
///
/// # Source
///
/// arXiv 2405.21060, section 7.1, and the authors' code.
pub fn gated_rms_norm<const D: usize>(
    x: Tensor<D>,
    z: Tensor<D>,
    gamma: Tensor<1>,
    options: GatedNormOptions,
) -> Tensor<D> {
    let [width] = gamma.dims();
    let GatedNormOptions { group_size, norm_before_gate, epsilon } = options;
    assert_shape!(x, [.., width]);
    assert_eq!(z.dims(), x.dims(), "gated_rms_norm: z must have the shape of x");
    assert!(
        group_size > 0 && width % group_size == 0,
        "gated_rms_norm: group_size ({group_size}) must divide the width ({width})"
    );
    let dims = x.dims();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if Implementation::Auto.is_fused(&x) {
        let op = GatedNorm { group_size, norm_before_gate, epsilon };
        return gated(op, vec![x.into(), z.into(), gamma.into()]).reshape(dims);
    }
    let gate = silu(z);
    let normed = |x: Tensor<D>| {
        let x: Tensor<3> =
            x.reshape([dims.iter().product::<usize>() / width, width / group_size, group_size]);
        let root = (x.clone().square().mean_dim(2) + epsilon).sqrt();
        (x / root).reshape(dims) * gamma.clone().unsqueeze()
    };
    if norm_before_gate { normed(x) * gate } else { normed(x * gate) }
}
