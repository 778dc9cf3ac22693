//! The float types the kernels are written for.

#[cfg(feature = "flex")]
use burn::backend::tensor::FloatTensor;
use num_traits::{Float, FromPrimitive};

/// `f32` or `f64`, with what vectorised loops need beyond [`num_traits::Float`].
pub(crate) trait Real:
    Float + From<i8> + FromPrimitive + burn::tensor::Element + std::iter::Sum + std::ops::AddAssign + Send + Sync
{
    /// `a · b + c`, with one rounding where `FMA` says that the target has the instruction.
    fn fma<const FMA: bool>(a: Self, b: Self, c: Self) -> Self;

    /// `eˣ` without branches or calls, so that a loop over it vectorises; exact to about two units in the last
    /// place of an `f32`, four of an `f64`. Arguments beyond the range saturate to 0 and to a huge number.
    fn fast_exp<const FMA: bool>(x: Self) -> Self;

    /// What is smaller counts as nothing where factors pile up: their product would soon be no normal number, and
    /// processors take a hundred times longer over those.
    #[inline(always)]
    fn negligible() -> Self {
        Self::min_positive_value() / Self::epsilon()
    }

    /// The number, or 0 where it is [`negligible`](Self::negligible).
    #[inline(always)]
    fn or_nothing(self) -> Self {
        if self.abs() < Self::negligible() { Self::zero() } else { self }
    }

    /// The error function, to about the type's precision.
    fn erf<const FMA: bool>(x: Self) -> Self;

    /// `ln(1 + x)` for x in [0, 1], without branches or calls: 2 artanh(x / (2 + x)).
    fn ln_1p_unit<const FMA: bool>(x: Self) -> Self;

    /// `eˣ − 1` for x not above 0, without the cancellation near 0.
    fn expm1<const FMA: bool>(x: Self) -> Self;

    /// The hyperbolic tangent, precise near 0 too.
    #[inline(always)]
    fn fast_tanh<const FMA: bool>(x: Self) -> Self {
        let e = Self::expm1::<FMA>(-(x.abs() + x.abs()));
        let y = -e / (e + Self::one() + Self::one());
        if x < Self::zero() { -y } else { y }
    }

    /// `1 / (1 + e⁻ˣ)`.
    #[inline(always)]
    fn sigmoid<const FMA: bool>(x: Self) -> Self {
        Self::one() / (Self::one() + Self::fast_exp::<FMA>(-x))
    }

    /// `1 / (1 + e⁻ˣ)` and `1 / (1 + eˣ)`: the second has digits where the first is nearly 1, as far as eˣ is finite.
    #[inline(always)]
    fn sigmoids<const FMA: bool>(x: Self) -> [Self; 2] {
        let power = Self::fast_exp::<FMA>(-x);
        let sigmoid = Self::one() / (Self::one() + power);
        [sigmoid, power * sigmoid]
    }

    /// `ln(1 + eˣ)`.
    #[inline(always)]
    fn softplus<const FMA: bool>(x: Self) -> Self {
        let positive = if x > Self::zero() { x } else { Self::zero() };
        positive + Self::ln_1p_unit::<FMA>(Self::fast_exp::<FMA>(-x.abs()))
    }

    /// The elements of a Flex tensor, from its first on; of a view, what lies between them too.
    #[cfg(feature = "flex")]
    fn of_flex(tensor: &FloatTensor<burn::backend::Flex>) -> &[Self];
}

macro_rules! polynomial {
    ($x:expr, $fma:ident; $last:expr $(, $coefficient:expr)*) => {{
        let (x, mut sum) = ($x, $last);
        $( sum = Self::fma::<$fma>(sum, x, $coefficient); )*
        sum
    }};
}

macro_rules! real {
    ($float:ty, erf = $erf:ident, magic = $magic:expr, mantissa = $mantissa:expr, bias = $bias:expr,
     low = $low:expr, high = $high:expr, ln2 = ($ln2_high:expr, $ln2_low:expr), exp = [$($c:expr),*],
     artanh = [$($odd:expr),*], expm1 = [$($factorial:expr),*]) => {
        impl Real for $float {
            #[inline(always)]
            fn erf<const FMA: bool>(x: Self) -> Self {
                $erf::<FMA>(x)
            }

            #[inline(always)]
            fn fma<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
                if FMA { a.mul_add(b, c) } else { a * b + c }
            }

            // x = k ln 2 + r with |r| ≤ ln 2 / 2; adding `magic` leaves k in the low bits of the mantissa.
            #[inline(always)]
            fn fast_exp<const FMA: bool>(x: Self) -> Self {
                let x = if x < $low { $low } else { x };
                let x = if x > $high { $high } else { x };
                let shifted = Self::fma::<FMA>(x, std::f64::consts::LOG2_E as $float, $magic);
                let k = shifted - $magic;
                let r = Self::fma::<FMA>(k, -$ln2_low, Self::fma::<FMA>(k, -$ln2_high, x));
                let power = polynomial!(r, FMA; $($c),*);
                let scale = Self::from_bits((shifted.to_bits() << $mantissa).wrapping_add($bias << $mantissa));
                power * scale
            }

            #[inline(always)]
            fn ln_1p_unit<const FMA: bool>(x: Self) -> Self {
                let s = x / (2.0 + x);
                let sum = polynomial!(s * s, FMA; $(1.0 / $odd),*);
                (s + s) * sum
            }

            #[inline(always)]
            fn expm1<const FMA: bool>(x: Self) -> Self {
                let sum = polynomial!(x, FMA; $(1.0 / $factorial),*);
                if x > -0.5 { x * sum } else { Self::fast_exp::<FMA>(x) - 1.0 }
            }

            #[cfg(feature = "flex")]
            fn of_flex(tensor: &FloatTensor<burn::backend::Flex>) -> &[Self] {
                let from_first = || &tensor.storage::<$float>()[tensor.layout().start_offset()..];
                tensor.as_slice::<$float>().unwrap_or_else(from_first)
            }
        }
    };
}

// Coefficients from the highest order down: of eʳ 1/n!, with a remainder at |r| = 0.35 below half a unit; of the
// others their inverses, 2n + 1 and n!. Written out, since a loop over them would not be unrolled, and so keep the loop
// around it from being vectorised.
real!(
    f32,
    erf = erf_f32,
    magic = 12_582_912.0_f32,
    mantissa = 23,
    bias = 127_u32,
    low = -87.0,
    high = 88.0,
    ln2 = (0.693_359_4_f32, -2.121_944_4e-4_f32),
    exp = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0],
    artanh = [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0],
    expm1 = [362_880.0, 40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0]
);
real!(
    f64,
    erf = erf_f64,
    magic = 6_755_399_441_055_744.0_f64,
    mantissa = 52,
    bias = 1023_u64,
    low = -708.0,
    high = 709.0,
    ln2 = (0.693_147_180_369_123_8_f64, 1.908_214_929_270_587_7e-10_f64),
    exp = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0
    ],
    artanh = [
        35.0, 33.0, 31.0, 29.0, 27.0, 25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0
    ],
    expm1 = [
        1_307_674_368_000.0,
        87_178_291_200.0,
        6_227_020_800.0,
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0
    ]
);

/// A rational minimax approximation, odd over even, on [−4, 4]; beyond, erf is ±1 in f32.
#[inline(always)]
fn erf_f32<const FMA: bool>(x: f32) -> f32 {
    let sign = x.signum();
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let odd = [
        -2.726_142e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2_f32,
    ];
    let even = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2_f32];
    let horner = |sum: f32, coefficient: &f32| f32::fma::<FMA>(sum, square, *coefficient);
    let inside = x * odd.iter().fold(0.0, horner) / even.iter().fold(0.0, horner);
    if x.abs() < 4.0 { inside } else { sign }
}

#[inline(always)]
fn erf_f64<const FMA: bool>(x: f64) -> f64 {
    libm::erf(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst<F: Real, const FMA: bool>(low: f64, high: f64) -> f64 {
        (0..=100_000)
            .map(|i| low + (high - low) * f64::from(i) / 100_000.0)
            .map(|x| {
                let x = F::from_f64(x).unwrap();
                let exact = num_traits::ToPrimitive::to_f64(&x).unwrap().exp();
                (num_traits::ToPrimitive::to_f64(&F::fast_exp::<FMA>(x)).unwrap() / exact - 1.0).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_accurate_over_its_range() {
        assert!(worst::<f32, false>(-86.0, 87.0) < 3e-7);
        assert!(worst::<f32, true>(-86.0, 87.0) < 2e-7);
        assert!(worst::<f64, false>(-700.0, 700.0) < 1e-15);
        assert!(worst::<f64, true>(-700.0, 700.0) < 1e-15);
    }

    #[test]
    fn erf_and_logarithm_are_accurate() {
        for i in -60_000..=60_000 {
            let x = f64::from(i) / 10_000.0;
            assert!(
                (f64::from(<f32 as Real>::erf::<true>(x as f32)) - libm::erf(f64::from(x as f32))).abs()
                    < 5e-7,
                "{x}"
            );
            if (0.0..=1.0).contains(&x) {
                assert!(
                    (f64::from(f32::ln_1p_unit::<true>(x as f32)) - f64::from(x as f32).ln_1p()).abs() < 2e-7
                );
                assert!((f64::ln_1p_unit::<false>(x) - x.ln_1p()).abs() < 2e-15, "{x}");
            }
        }
    }

    #[test]
    fn expm1_is_accurate_near_0_and_far_from_it() {
        for i in -40_000..=0 {
            let x = f64::from(i).powi(3) / 1e13;
            let exact = x.exp_m1();
            assert!((<f64 as Real>::expm1::<true>(x) - exact).abs() <= 3e-16 * exact.abs(), "{x}");
            let (x, exact) = (x as f32, f64::from(x as f32).exp_m1());
            assert!((f64::from(<f32 as Real>::expm1::<false>(x)) - exact).abs() <= 3e-7 * exact.abs(), "{x}");
        }
    }

    #[test]
    fn exp_saturates() {
        assert!(f32::fast_exp::<false>(-1e30) < 1e-37);
        assert!(f32::fast_exp::<false>(f32::NEG_INFINITY) < 1e-37);
        assert!(f32::fast_exp::<false>(1e30).is_finite());
        assert_eq!(f64::fast_exp::<true>(0.0), 1.0);
    }
}
