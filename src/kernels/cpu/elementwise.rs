//! Activations, one pass forward and one back, in place of a handful of passes over memory.

use rayon::prelude::*;

use super::vectorised::{Work, vectorised};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Elements of a parallel task.
const CHUNK: usize = 1 << 14;

impl Elementwise {
    /// The function and its derivative.
    #[inline(always)]
    pub(crate) fn apply<F: Real, const FMA: bool>(self, x: F) -> (F, F) {
        let one = F::one();
        match self {
            Self::EluPlusOne => {
                let power = F::fast_exp::<FMA>(if x < F::zero() { x } else { F::zero() });
                if x < F::zero() { (power, power) } else { (x + one, one) }
            }
            Self::Gelu => {
                let half = F::from_f64(0.5).expect("a constant");
                let distribution = half
                    * (one
                        + F::erf::<FMA>(
                            x * F::from_f64(std::f64::consts::FRAC_1_SQRT_2).expect("a constant"),
                        ));
                // 1/√(2π)
                let scale = F::from_f64(0.398_942_280_401_432_7).expect("a constant");
                let density = scale * F::fast_exp::<FMA>(-half * x * x).or_nothing();
                (x * distribution, F::fma::<FMA>(x, density, distribution))
            }
            Self::GeluTanh => {
                // √(8/π), and the coefficient of the cube.
                let [scale, cube] = [1.595_769_121_605_731, 0.044_715]
                    .map(|constant| F::from_f64(constant).expect("a constant"));
                let three = F::from_f64(3.0).expect("a constant");
                // Far out the slope is large, and what it multiplies is 0.
                let (square, limit) = (x * x, F::from_f64(1e30).expect("a constant"));
                let square = if square < limit { square } else { limit };
                let sigmoids = F::sigmoids::<FMA>(scale * x * F::fma::<FMA>(cube, square, one));
                let [sigmoid, rest] = sigmoids.map(F::or_nothing);
                let slope = scale * F::fma::<FMA>(three * cube, square, one);
                let y = x * sigmoid;
                (y, F::fma::<FMA>(y * rest, slope, sigmoid))
            }
            Self::NegExp => {
                let y = -F::fast_exp::<FMA>(x);
                (y, y)
            }
            Self::Sigmoid => {
                let [y, rest] = F::sigmoids::<FMA>(x);
                (y, y * rest)
            }
            Self::Silu => {
                let [sigmoid, rest] = F::sigmoids::<FMA>(x).map(F::or_nothing);
                let y = x * sigmoid;
                (y, F::fma::<FMA>(y, rest, sigmoid))
            }
            Self::Softplus => (F::softplus::<FMA>(x), F::sigmoid::<FMA>(x)),
        }
    }
}

/// The match on the function stands outside the loops, so that each loop is one function.
macro_rules! each {
    ($chosen:expr, $function:ident => $loop:expr) => {
        match $chosen {
            Elementwise::EluPlusOne => {
                const $function: Elementwise = Elementwise::EluPlusOne;
                $loop
            }
            Elementwise::Gelu => {
                const $function: Elementwise = Elementwise::Gelu;
                $loop
            }
            Elementwise::GeluTanh => {
                const $function: Elementwise = Elementwise::GeluTanh;
                $loop
            }
            Elementwise::NegExp => {
                const $function: Elementwise = Elementwise::NegExp;
                $loop
            }
            Elementwise::Sigmoid => {
                const $function: Elementwise = Elementwise::Sigmoid;
                $loop
            }
            Elementwise::Silu => {
                const $function: Elementwise = Elementwise::Silu;
                $loop
            }
            Elementwise::Softplus => {
                const $function: Elementwise = Elementwise::Softplus;
                $loop
            }
        }
    };
}

impl Elementwise {
    /// `x ← f(x)`.
    #[inline(always)]
    pub(crate) fn in_place<F: Real, const FMA: bool>(self, x: &mut [F]) {
        each!(self, FUNCTION => for x in x {
            *x = FUNCTION.apply::<F, FMA>(*x).0;
        });
    }

    /// `grad ← grad ⊙ f′(x)`.
    #[inline(always)]
    pub(crate) fn times_derivative<F: Real, const FMA: bool>(self, grad: &mut [F], x: &[F]) {
        each!(self, FUNCTION => for (grad, &x) in grad.iter_mut().zip(x) {
            *grad = *grad * FUNCTION.apply::<F, FMA>(x).1;
        });
    }
}

struct Map<'a, F> {
    function: Elementwise,
    x: &'a [F],
    /// Multiplies the derivative; `None`: the function itself is wanted.
    grad: Option<&'a [F]>,
    out: &'a mut [F],
}

impl<F: Real> Map<'_, F> {
    #[inline(always)]
    fn with<const FMA: bool>(self, function: Elementwise) {
        match self.grad {
            None => {
                for (out, &x) in self.out.iter_mut().zip(self.x) {
                    *out = function.apply::<F, FMA>(x).0;
                }
            }
            Some(grad) => {
                for ((out, &x), &grad) in self.out.iter_mut().zip(self.x).zip(grad) {
                    *out = grad * function.apply::<F, FMA>(x).1;
                }
            }
        }
    }
}

impl<F: Real> Work for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        each!(self.function, FUNCTION => self.with::<FMA>(FUNCTION));
    }
}

impl HostOp for Elementwise {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let x = inputs[0].data;
        let mut y = zeros(x.len());
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
            vectorised(Map { function: *self, x, grad: None, out });
        });
        (vec![y], Vec::new())
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], _: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let (x, grad) = (inputs[0].data, grads[0]);
        let mut dx = zeros(x.len());
        let chunks = x.par_chunks(CHUNK).zip(grad.par_chunks(CHUNK));
        dx.par_chunks_mut(CHUNK).zip(chunks).for_each(|(out, (x, grad))| {
            vectorised(Map { function: *self, x, grad: Some(grad), out });
        });
        vec![dx]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_far_out_are_those_of_the_ends() {
        for far in [50.0, 1e6, 2e13, 1e18] {
            for function in
                [Elementwise::Gelu, Elementwise::GeluTanh, Elementwise::Silu, Elementwise::Softplus]
            {
                assert_eq!(function.apply::<f32, false>(far).1, 1.0, "{far}");
                let before = function.apply::<f32, false>(-far).1;
                assert!(before.abs() < 1e-15, "-{far}: {before}");
            }
        }
        for function in [Elementwise::Gelu, Elementwise::GeluTanh, Elementwise::Silu] {
            let beyond = [1e25, -1e25, 3e38, -3e38].map(|x| function.apply::<f32, false>(x));
            assert_eq!(beyond, [(1e25, 1.0), (0.0, 0.0), (3e38, 1.0), (0.0, 0.0)], "{function:?}");
        }
    }
}
