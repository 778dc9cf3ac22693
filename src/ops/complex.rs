//! Complex numbers, as two tensors: Burn's have no complex type.

use burn::tensor::Tensor;

/// Real and imaginary parts.
#[derive(Clone, Debug)]
pub(crate) struct Complex<const D: usize> {
    pub(crate) re: Tensor<D>,
    pub(crate) im: Tensor<D>,
}

impl<const D: usize> Complex<D> {
    /// From `[.., 2]`, one rank more.
    pub(crate) fn unpack<const P: usize>(pairs: Tensor<P>) -> Self {
        let part = |index| pairs.clone().narrow(P - 1, index, 1).squeeze_dim(P - 1);
        Self { re: part(0), im: part(1) }
    }

    /// To `[.., 2]`, one rank more.
    pub(crate) fn pack<const P: usize>(self) -> Tensor<P> {
        Tensor::stack(vec![self.re, self.im], D)
    }

    /// The same function of both parts, such as a change of shape.
    pub(crate) fn map<const E: usize>(&self, function: impl Fn(Tensor<D>) -> Tensor<E>) -> Complex<E> {
        Complex { re: function(self.re.clone()), im: function(self.im.clone()) }
    }

    /// The same function of both parts of two.
    pub(crate) fn zip(self, other: Self, function: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<D>) -> Self {
        Self { re: function(self.re, other.re), im: function(self.im, other.im) }
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        let product = |x: &Tensor<D>, y: &Tensor<D>| x.clone() * y.clone();
        Self {
            re: product(&self.re, &other.re) - product(&self.im, &other.im),
            im: product(&self.re, &other.im) + product(&self.im, &other.re),
        }
    }

    pub(crate) fn over(&self, other: &Self) -> Self {
        let square = other.re.clone().square() + other.im.clone().square();
        let conjugate = Self { re: other.re.clone(), im: other.im.clone().neg() };
        self.times(&conjugate).map(|part| part / square.clone())
    }
}
