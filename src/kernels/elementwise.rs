//! Functions of each element that have kernels on CPUs and on GPUs.

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Elementwise {
    /// `elu(x) + 1`: `eˣ` below 0, `x + 1` above.
    EluPlusOne,
    /// `x Φ(x)`, with the exact normal distribution function.
    Gelu,
    /// Its tanh approximation.
    GeluTanh,
    /// `−eˣ`.
    NegExp,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `x σ(x)`.
    Silu,
    /// `ln(1 + eˣ)`.
    Softplus,
}
