//! Activations, fused: between the mixers they take more time than the mixers.

use burn::tensor::activation::{self, relu};
use burn::tensor::{DType, Tensor};

use crate::kernels::elementwise::Elementwise;

/// `x / number`. Burn's gradient of a quotient by a number is rounded to f32; that of a product is not.
pub(crate) fn divided<const D: usize>(x: Tensor<D>, number: f64) -> Tensor<D> {
    x * number.recip()
}

/// `cap · tanh(x / cap)`: `x` near 0, never beyond `cap` (arXiv 2408.00118, section 2).
pub(crate) fn soft_cap<const D: usize>(x: Tensor<D>, cap: f64) -> Tensor<D> {
    divided(x, cap).tanh() * cap
}

/// `elu(x) + 1`: `eˣ` below 0, `x + 1` above (arXiv 2006.16236, equation 7).
pub fn elu_plus_one<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::EluPlusOne, |x| {
        // Burn's elu multiplies, in its backward, 0 by the eˣ of the branch that was not taken: NaN from x = 89 on.
        relu(x.clone()) + x.clamp_max(0.0).exp()
    })
}

/// `x Φ(x)`, with the exact normal distribution function (arXiv 1606.08415).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::Gelu, |x| {
        // Burn's own has the derivative of an approximation.
        (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0) * x * 0.5
    })
}

/// `x σ(√(8/π) (x + 0.044715 x³))`: [`gelu`] with an approximate distribution function, `½ (1 + tanh(…))` of half as much
/// (arXiv 1606.08415, section 2).
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::GeluTanh, |x| {
        let inner = x.clone() * (x.clone().square() * 0.044_715 + 1.0) * (8.0 / std::f64::consts::PI).sqrt();
        x * activation::sigmoid(inner)
    })
}

/// `−eˣ`: a state space's rates from their logarithms.
pub fn neg_exp<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::NegExp, |x| x.exp().neg())
}

/// `1 / (1 + e⁻ˣ)`.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::Sigmoid, activation::sigmoid)
}

/// `x σ(x)` (arXiv 1702.03118).
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::Silu, activation::silu)
}

/// `ln(1 + eˣ)`, without overflow: `max(x, 0) + ln(1 + e^(−|x|))`.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, Elementwise::Softplus, |x| {
        let at = x.clone().detach();
        let value = relu(at.clone()) + ln_1p_unit(at.clone().abs().neg().exp());
        (x - at.clone()) * activation::sigmoid(at) + value
    })
}

/// `ln(1 + x)` for x in [0, 1], as 2 artanh(x / (2 + x)): a GPU's logarithm near 1 has few digits.
fn ln_1p_unit<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let highest = if x.dtype() == DType::F64 { 35 } else { 17 };
    let s = x.clone() / (x + 2.0);
    let square = s.clone().square();
    let series =
        (1..highest).step_by(2).rev().fold(square.zeros_like() + f64::from(highest).recip(), |sum, odd| {
            sum * square.clone() + f64::from(odd).recip()
        });
    s * series * 2.0
}

/// The function's kernel, where there is one, else the portable form.
fn map<const D: usize>(
    x: Tensor<D>,
    function: Elementwise,
    portable: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::kernels::Implementation::Auto.is_fused(&x) {
        let dims = x.dims();
        return on_host(function, x.into()).reshape(dims);
    }
    #[cfg(feature = "_gpu")]
    if crate::kernels::Implementation::Auto.is_fused_on_gpu(&x) {
        let [y] = crate::kernels::gpu::op::run(function, vec![x.into_dispatch()]);
        return Tensor::from_dispatch(y);
    }
    let _ = function;
    portable(x)
}

// Not generic: compiled here, and not again in every crate that maps a tensor of some rank.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn on_host(function: Elementwise, x: crate::kernels::host::HostInput) -> Tensor<1> {
    let [y] = crate::kernels::host::run(function, vec![x]);
    y
}
