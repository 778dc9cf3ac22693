//! States of few bits.

use burn::tensor::Tensor;

use crate::layers::{MixerState, StateMapper};

/// Rounds states to few bits. Where to round it learns from states of other strings, so that what is left of a string's state
/// is its bits and nothing else.
///
/// Every number of the state has a mean μ and a deviation σ over the rows that were learnt from, and is rounded to the middle
/// of one of `2^bits` cells of equal width between `μ − 3 σ` and `μ + 3 σ`; what lies beyond goes to the last cell, and what was
/// the same in all rows stays so.
#[derive(Clone, Debug)]
pub struct Quantiser {
    /// Of every tensor of the state, μ and σ of its numbers: `[1, numbers]`.
    ranges: Vec<[Tensor<2>; 2]>,
}

/// A state whose every number is one of `2^bits`, and how many bits it holds.
#[derive(Clone, Debug)]
pub struct Quantised<S> {
    /// The state, its numbers rounded.
    pub state: S,
    /// Bits of one row: numbers × `bits`. Counters do not count: all strings of a length have the same.
    pub row_bits: usize,
}

impl Quantiser {
    /// Learns from a state whose rows (the first axis) are of many strings.
    ///
    /// # Panics
    ///
    /// If there is one row alone, which tells nothing of others.
    pub fn fit<S: MixerState>(state: S) -> Self {
        let mut fit = Fit(Vec::new());
        let _ = state.map(&mut fit);
        Self { ranges: fit.0 }
    }

    /// Rounds every number of `state`, which may have another number of rows.
    ///
    /// # Panics
    ///
    /// If `bits` is 0 or above 16, or the state is not of the same model after as many tokens.
    pub fn round<S: MixerState>(&self, state: S, bits: u32) -> Quantised<S> {
        assert!((1..=16).contains(&bits), "quantiser: bits must be between 1 and 16, not {bits}");
        let mut round = Round { ranges: self.ranges.iter(), cells: f64::from(1 << bits), numbers: 0 };
        let state = state.map(&mut round);
        assert!(
            round.ranges.next().is_none(),
            "quantiser: the state has fewer tensors than that learnt from"
        );
        Quantised { state, row_bits: round.numbers * bits as usize }
    }
}

/// A row of numbers for each row of the state.
fn flat<const D: usize>(tensor: &Tensor<D>) -> Tensor<2> {
    let dims = tensor.dims();
    tensor.clone().reshape([dims[0], dims[1..].iter().product()])
}

struct Fit(Vec<[Tensor<2>; 2]>);

impl StateMapper for Fit {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        if !tensor.dims().contains(&0) {
            assert!(tensor.dims()[0] > 1, "quantiser: learns from two rows or more, not one");
            let numbers = flat(&tensor);
            let mean = numbers.clone().mean_dim(0);
            let deviation = (numbers - mean.clone()).square().mean_dim(0).sqrt();
            self.0.push([mean, deviation]);
        }
        tensor
    }
}

struct Round<'a> {
    ranges: std::slice::Iter<'a, [Tensor<2>; 2]>,
    cells: f64,
    numbers: usize,
}

impl StateMapper for Round<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        let dims = tensor.dims();
        if dims.contains(&0) {
            return tensor;
        }
        let numbers = flat(&tensor);
        let [mean, deviation] =
            self.ranges.next().expect("quantiser: as many tensors as were learnt from").clone();
        let [found, expected] = [numbers.dims()[1], mean.dims()[1]];
        assert_eq!(found, expected, "quantiser: {name}: {found} numbers, {expected} were learnt from");
        self.numbers += found;
        let same = deviation.clone().equal_elem(0.0);
        let width = deviation * (6.0 / self.cells);
        let low = mean.clone() - width.clone() * (0.5 * self.cells);
        let cell = ((numbers - low.clone()) / width.clone().mask_fill(same, 1.0)).floor();
        let cell = cell.clamp(0.0, self.cells - 1.0);
        ((cell + 0.5) * width + low).reshape(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// Numbers of very different sizes, and one that is always the same.
    fn state(rows: usize, seed: f32) -> Tensor<3> {
        let values: Vec<f32> = (0..rows)
            .flat_map(|row| {
                let wave = (row as f32 * 0.37 + seed).sin();
                [wave, 1e-3 * wave + 5.0, 1e3 * wave, 7.0, -wave, wave]
            })
            .collect();
        Tensor::<1>::from_data(&values[..], &Device::default()).reshape([rows, 2, 3])
    }

    #[test]
    fn levels_and_bits() {
        let quantiser = Quantiser::fit(state(600, 0.0));
        let seen = state(50, 1.0).into_data().iter::<f32>().collect::<Vec<_>>();
        for bits in [1, 3, 8] {
            let Quantised { state: rounded, row_bits } = quantiser.round(state(50, 1.0), bits);
            assert_eq!(row_bits, 6 * bits as usize);
            let rounded: Vec<f32> = rounded.into_data().iter::<f32>().collect();
            // σ of a sine is 0.71: half a cell is 2.12 / 2^bits, and at most as much is rounded away.
            let half = 2.13 / f32::powi(2.0, bits as i32);
            for (number, size) in [1.0, 1e-3, 1e3, 0.0, 1.0, 1.0].into_iter().enumerate() {
                let of =
                    |values: &[f32]| values.iter().skip(number).step_by(6).copied().collect::<Vec<f32>>();
                let (mut levels, seen) = (of(&rounded), of(&seen));
                let near = |(level, value): (&f32, &f32)| (level - value).abs() <= half * size + 1e-5;
                assert!(levels.iter().zip(&seen).all(near), "number {number} of {bits} bits");
                levels.sort_by(f32::total_cmp);
                levels.dedup();
                assert!(levels.len() <= 1 << bits, "{} levels", levels.len());
            }
        }
    }

    /// A state says nothing of itself but its bits: with another beside it, it is rounded as alone.
    #[test]
    fn rows_alone() {
        let quantiser = Quantiser::fit(state(600, 0.0));
        let [together, alone] = [state(9, 2.0), state(9, 2.0).narrow(0, 4, 1)]
            .map(|state| quantiser.round(state, 4).state.into_data());
        let together: Vec<f32> = together.iter().collect();
        let alone: Vec<f32> = alone.iter().collect();
        assert_eq!(together[4 * 6..5 * 6], alone);
    }

    #[test]
    #[should_panic(expected = "quantiser: bits must be between 1 and 16, not 0")]
    fn no_bits() {
        Quantiser::fit(state(4, 0.0)).round(state(4, 0.0), 0);
    }

    #[test]
    #[should_panic(expected = "quantiser: learns from two rows or more, not one")]
    fn one_row() {
        Quantiser::fit(state(1, 0.0));
    }

    #[test]
    #[should_panic(expected = "6 numbers, 2 were learnt from")]
    fn another_state() {
        Quantiser::fit(Tensor::<2>::ones([4, 2], &Device::default())).round(state(4, 0.0), 2);
    }
}
