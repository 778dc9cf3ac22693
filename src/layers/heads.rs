//! Heads: a projection taken apart, and put together again.

use burn::tensor::Tensor;

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
