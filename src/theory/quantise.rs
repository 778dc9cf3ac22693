//! States of few bits.

use burn::tensor::Tensor;

use crate::layers::{MixerState, StateMapper};

/// A state whose every number is one of `2^bits`, and how many bits it holds.
#[derive(Clone, Debug)]
pub struct Quantised<S> {
    /// The state, its numbers rounded.
    pub state: S,
    /// Bits of one row: numbers × `bits`. Counters do not count: all strings of a length have the same.
    pub row_bits: usize,
}

/// Rounds every number of `state` to the middle of one of `2^bits` cells, of equal width between `mean − 3 σ` and
/// `mean + 3 σ` of its tensor; what lies beyond goes to the last cell.
///
/// Mean and deviation are over all rows (the first axis), so that with many they say nothing of one string.
///
/// # Panics
///
/// If `bits` is 0 or above 16.
pub fn quantise<S: MixerState>(state: S, bits: u32) -> Quantised<S> {
    assert!((1..=16).contains(&bits), "quantise: bits must be between 1 and 16, not {bits}");
    let mut round = Round { cells: f64::from(1 << bits), numbers: 0 };
    let state = state.map(&mut round);
    Quantised { state, row_bits: round.numbers * bits as usize }
}

struct Round {
    cells: f64,
    numbers: usize,
}

impl StateMapper for Round {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        // The batch is the first axis.
        let dims = tensor.dims();
        self.numbers += dims[1..].iter().product::<usize>();
        if dims.contains(&0) {
            return tensor;
        }
        let mean = tensor.clone().mean().into_scalar::<f64>();
        let deviation = (tensor.clone() - mean).square().mean().sqrt().into_scalar::<f64>();
        if deviation == 0.0 {
            return tensor;
        }
        let low = mean - 3.0 * deviation;
        let width = 6.0 * deviation / self.cells;
        let cell = ((tensor - low) / width).floor().clamp(0.0, self.cells - 1.0);
        (cell + 0.5) * width + low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn levels_and_bits() {
        let device = Device::default();
        let values: Vec<f32> = (0..600).map(|i| (i as f32 * 0.37).sin()).collect();
        let state = Tensor::<1>::from_data(&values[..], &device).reshape([6, 100]);
        for bits in [1, 3, 8] {
            let Quantised { state: rounded, row_bits } = quantise(state.clone(), bits);
            assert_eq!(row_bits, 100 * bits as usize);
            let mut levels: Vec<f32> = rounded.into_data().iter::<f32>().collect();
            // σ of a sine is 0.71: half a cell is 2.12 / 2^bits, and at most as much is rounded away.
            let half = 2.13 / f32::powi(2.0, bits as i32);
            assert!(levels.iter().zip(&values).all(|(level, value)| (level - value).abs() <= half));
            levels.sort_by(f32::total_cmp);
            levels.dedup();
            assert!(levels.len() <= 1 << bits, "{} levels", levels.len());
        }
    }

    #[test]
    #[should_panic(expected = "quantise: bits must be between 1 and 16, not 0")]
    fn no_bits() {
        quantise(Tensor::<1>::zeros([2], &Device::default()), 0);
    }
}
