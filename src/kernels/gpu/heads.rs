//! Arrays `[batch, seq, heads, dim]`, however they lie in memory.

use cubecl::prelude::*;

/// Where the entries of a head lie in an array `[batch, seq, heads, dim]`.
#[derive(CubeType)]
pub(super) struct Walk {
    start: usize,
    token: usize,
    element: usize,
}

/// `row`: of batch and heads together.
#[cube]
pub(super) fn walk<F: Float>(x: &Tensor<F>, row: usize) -> Walk {
    let heads = x.shape(2);
    Walk {
        start: (row / heads) * x.stride(0) + (row % heads) * x.stride(2),
        token: x.stride(1),
        element: x.stride(3),
    }
}

#[cube]
pub(super) fn place(walk: &Walk, t: usize, element: usize) -> usize {
    walk.start + t * walk.token + element * walk.element
}

#[cube]
pub(super) fn at<F: Float>(x: &Tensor<F>, walk: &Walk, t: usize, element: usize) -> F {
    x[place(walk, t, element)]
}

/// `exp(log_decay)`; e⁻¹⁰⁰⁰ is 0 in every float type, and not every GPU knows −∞.
#[cube]
pub(super) fn decay<F: Float>(log_decay: &Tensor<F>, walk: &Walk, t: usize, key: usize) -> F {
    max(at::<F>(log_decay, walk, t, key), F::new(-1000.0_f32)).exp()
}
