//! Heads: a projection taken apart, and put together again.

use burn::tensor::Tensor;

use crate::ops::{GatedNormOptions, gated_rms_norm};

/// `[batch, seq, heads · dim]` to `[batch, heads, seq, dim]`.
pub(super) fn to_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, seq, width] = x.dims();
    x.reshape([batch, seq, heads, width / heads]).swap_dims(1, 2)
}

/// `[batch, heads, seq, dim]` to `[batch, seq, heads · dim]`.
pub(super) fn from_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, seq, dim] = x.dims();
    x.swap_dims(1, 2).reshape([batch, seq, heads * dim])
}

/// `silu(gate) ⊙ rms_norm_h(o) ⊙ weight`, every head on its own: `o [batch, heads, seq, dim]`,
/// `gate [batch, seq, heads · dim]`, `weight [dim]`; as `gate`.
pub(super) fn gated_heads(o: Tensor<4>, gate: Tensor<3>, weight: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let o = o.swap_dims(1, 2);
    let (together, apart) = (gate.dims(), o.dims());
    let [group_size] = weight.dims();
    let options = GatedNormOptions { group_size, norm_before_gate: true, epsilon };
    gated_rms_norm(o, gate.reshape(apart), weight, options).reshape(together)
}
