//! Weights of 8 bits: a quarter of what decoding reads.
//!
//! Burn's quantised tensors, `[d_input, d_output]`, with a scale for every block of [`BLOCK`] by [`BLOCK`].

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexQTensor;
use rayon::prelude::*;

use super::add_rows::{STREAMS, Scale, Weight, Weights};
use super::constant::Constant;
use super::few_rows;
use crate::kernels::cpu::gemm::Layout;
use crate::kernels::cpu::lanes::{LANES, Lanes};
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::real::Real;

/// Inputs of a block, and outputs.
pub(crate) const BLOCK: usize = 8;

const _: () = assert!(STREAMS == BLOCK && LANES.is_multiple_of(BLOCK));

/// The weights, in blocks of [`BLOCK`] by [`BLOCK`].
#[derive(Clone, Debug)]
pub(crate) struct Int8(pub(crate) FlexQTensor);

impl Int8 {
    /// `[d_input, d_output]`.
    fn values(&self) -> &[i8] {
        self.0.tensor().storage()
    }
}

impl Constant for Int8 {
    fn dims(&self) -> [usize; 2] {
        self.0.shape().dims()
    }

    fn floats<F: Real>(&self) -> Vec<F> {
        let [d_input, d_output] = self.dims();
        let mut floats = vec![F::zero(); d_input * d_output];
        let scales = self.0.scales().par_chunks_exact(d_output / BLOCK);
        let values = self.values().par_chunks_exact(BLOCK * d_output);
        let blocks = floats.par_chunks_exact_mut(BLOCK * d_output);
        blocks.zip(scales).zip(values).for_each(|((floats, scales), values)| {
            vectorised(Widen { floats, scales, values });
        });
        floats
    }

    fn few_rows<F: Real>(&self, x: &[F]) -> Vec<F> {
        let [d_input, d_output] = self.dims();
        let at = Layout::new(0, d_output, 1);
        let scale = BlockScales { scales: self.0.scales(), row: d_output / BLOCK };
        few_rows::by_inputs(x, Weights { weights: self.values(), at, scale }, [d_output, d_input])
    }
}

/// Some blocks of inputs as floats.
struct Widen<'a, F> {
    floats: &'a mut [F],
    scales: &'a [f32],
    values: &'a [i8],
}

impl<F: Real> Work for Widen<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let d_output = self.scales.len() * BLOCK;
        let rows = self.floats.chunks_exact_mut(d_output).zip(self.values.chunks_exact(d_output));
        for (floats, values) in rows {
            let blocks = floats.as_chunks_mut::<BLOCK>().0.iter_mut().zip(values.as_chunks::<BLOCK>().0);
            for ((floats, values), &scale) in blocks.zip(self.scales) {
                let scale = F::from_f32(scale).expect("a float");
                for l in 0..BLOCK {
                    floats[l] = scale * values[l].into();
                }
            }
        }
    }
}

impl<F: Real> Weight<F> for i8 {
    #[inline(always)]
    fn float(self) -> F {
        self.into()
    }
}

/// A scale for every block, `[d_input / BLOCK, row]`.
#[derive(Clone, Copy)]
struct BlockScales<'a> {
    scales: &'a [f32],
    row: usize,
}

impl<F: Real> Scale<F> for BlockScales<'_> {
    #[inline(always)]
    fn of(self, input: usize, column: usize) -> Lanes<F> {
        let scales = &self.scales[input / BLOCK * self.row + column / BLOCK..];
        // Beyond the last column any number will do.
        let scale = |block| F::from_f32(scales.get(block).copied().unwrap_or(0.0)).expect("a float");
        let scales: [F; LANES / BLOCK] = std::array::from_fn(scale);
        std::array::from_fn(|lane| scales[lane / BLOCK])
    }
}
