//! Scans in plain tensor operations, in as many passes as the logarithm of their length.

use burn::tensor::Tensor;

/// `h_t = decay_t ⊙ h_{t−1} + write_t` along axis 1, from nothing: the products of the decays up to each token, and h.
///
/// Each pass joins every stretch of tokens to the equally long one before it.
pub(super) fn doubling<const D: usize>(mut decay: Tensor<D>, write: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    let (mut h, len) = (write, decay.dims()[1]);
    let mut by = 1;
    while by < len {
        let head = |x: &Tensor<D>| x.clone().narrow(1, 0, by);
        let earlier = |x: &Tensor<D>| x.clone().narrow(1, 0, len - by);
        let later = |x: &Tensor<D>| x.clone().narrow(1, by, len - by);
        let joined = later(&h) + later(&decay) * earlier(&h);
        h = Tensor::cat(vec![head(&h), joined], 1);
        decay = Tensor::cat(vec![head(&decay), later(&decay) * earlier(&decay)], 1);
        by *= 2;
    }
    (decay, h)
}
