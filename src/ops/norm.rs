//! Normalisation of rows.

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
    #[cfg(feature = "_gpu")]
    if crate::kernels::Implementation::Auto.is_fused_on_gpu(&x) {
        return on_gpu(x, vec![gamma], (width, epsilon));
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
    #[cfg(feature = "_gpu")]
    if crate::kernels::Implementation::Auto.is_fused_on_gpu(&x) {
        return on_gpu(x, vec![gamma, beta], (width, epsilon));
    }
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().square().mean_dim(D - 1);
    centred / (variance + epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

/// `x` in rows of this width, normalised, times the first of `weights` and, if there is one, plus the second, after centring.
#[cfg(feature = "_gpu")]
fn on_gpu<const D: usize>(
    x: Tensor<D>,
    weights: Vec<Tensor<1>>,
    (width, epsilon): (usize, f64),
) -> Tensor<D> {
    use crate::kernels::gpu::{norm::Norm, op};
    let dims = x.dims();
    let rows: Tensor<2> = x.reshape([dims.iter().product::<usize>() / width, width]);
    let norm = Norm { centred: weights.len() == 2, epsilon };
    let weights = weights.into_iter().map(Tensor::into_dispatch);
    let [y] = op::run(norm, std::iter::once(rows.into_dispatch()).chain(weights).collect());
    Tensor::<2>::from_dispatch(y).reshape(dims)
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
        #[cfg(feature = "_gpu")]
        if crate::kernels::Implementation::Auto.is_fused_on_gpu(&x) {
            return on_gpu(x, vec![gamma.clone()], (group_size, epsilon));
        }
        let x: Tensor<3> =
            x.reshape([dims.iter().product::<usize>() / width, width / group_size, group_size]);
        let root = (x.clone().square().mean_dim(2) + epsilon).sqrt();
        (x / root).reshape(dims) * gamma.clone().unsqueeze()
    };
    if norm_before_gate { normed(x) * gate } else { normed(x * gate) }
}
