//! Shapes and dtypes, known before the kernels run.

use burn::backend::fusion::custom::TensorSpec;

use super::between;

/// Of the outputs of the forward.
pub(super) fn forward(
    u: &TensorSpec,
    _delta: &TensorSpec,
    a: &TensorSpec,
    _b: &TensorSpec,
    _c: &TensorSpec,
    state: &TensorSpec,
    _survival: &TensorSpec,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    (u.clone(), state.clone(), TensorSpec::new(between(&u.shape, &a.shape), u.dtype))
}

/// Of the gradients.
#[allow(clippy::too_many_arguments, clippy::type_complexity, reason = "as the operation has them")]
pub(super) fn backward(
    u: &TensorSpec,
    delta: &TensorSpec,
    a: &TensorSpec,
    b: &TensorSpec,
    c: &TensorSpec,
    _before: &TensorSpec,
    _survival: &TensorSpec,
    _grad_y: &TensorSpec,
    grad_after: &TensorSpec,
) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    (u.clone(), delta.clone(), a.clone(), b.clone(), c.clone(), grad_after.clone())
}
