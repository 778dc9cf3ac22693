//! Weights of 16 bits, the upper half of an `f32`: half of what decoding reads.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::bf16;
use rayon::prelude::*;

use super::add_rows::{Unscaled, Weight, Weights};
use super::constant::Constant;
use super::few_rows;
use crate::kernels::cpu::gemm::Layout;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::real::Real;

/// The weights, row after row.
#[derive(Clone, Debug)]
pub(crate) struct Bf16(FlexTensor);

impl Bf16 {
    pub(crate) fn new(weights: &FlexTensor) -> Self {
        Self(weights.to_contiguous())
    }
}

impl<F: Real> Weight<F> for bf16 {
    #[inline(always)]
    fn float(self) -> F {
        F::from_f32(f32::from_bits(u32::from(self.to_bits()) << 16)).expect("a float")
    }
}

impl Constant for Bf16 {
    fn dims(&self) -> [usize; 2] {
        self.0.shape().dims()
    }

    fn floats<F: Real>(&self) -> Vec<F> {
        const CHUNK: usize = 1 << 14;
        let weights: &[bf16] = self.0.storage();
        let mut floats = vec![F::zero(); weights.len()];
        let chunks = floats.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK));
        chunks.for_each(|(floats, weights)| vectorised(Widen { floats, weights }));
        floats
    }

    fn few_rows<F: Real>(&self, x: &[F]) -> Vec<F> {
        let [d_input, d_output] = self.dims();
        let at = Layout::new(0, d_output, 1);
        let weights = Weights { weights: self.0.storage::<bf16>(), at, scale: Unscaled };
        few_rows::by_inputs(x, weights, [d_output, d_input])
    }
}

struct Widen<'a, F> {
    floats: &'a mut [F],
    weights: &'a [bf16],
}

impl<F: Real> Work for Widen<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (float, &weight) in self.floats.iter_mut().zip(self.weights) {
            *float = weight.float();
        }
    }
}
