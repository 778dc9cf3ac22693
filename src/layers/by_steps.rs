//! The parallel form of a mixer that has none: its steps, one after another.

use std::any::Any;
use std::collections::VecDeque;

use burn::tensor::{Bool, Tensor, TensorData};

use super::mixer::SequenceMixer;
use super::state::{MixerState, StateMapper};
use crate::ops::{Segments, expect_tokens};

/// [`SequenceMixer::forward`] by calling [`step`](SequenceMixer::step) for every token, documents and padding
/// included. The mixer writes `step` itself: the default would call `forward` again.
///
/// The quickest way to a new mixer that keeps the whole contract, and an oracle for a faster forward. For states of
/// constant shape, with the batch as their tensors' first axis and a counter a row.
///
/// # Panics
///
/// If there is no row or no token, `x` and `segments` do not agree, or, beside `segments`, the state has another number of
/// counters than rows.
pub fn forward_by_steps<M: SequenceMixer>(
    mixer: &M,
    x: Tensor<3>,
    segments: Option<&Segments>,
    state: Option<M::State>,
) -> (Tensor<3>, M::State) {
    let [batch, seq, _] = x.dims();
    expect_tokens("forward_by_steps", [batch, seq]);
    if let Some(segments) = segments {
        segments.check(batch, seq);
    }
    let device = x.device();
    let empty = mixer.init_state(batch, &device);
    let mut state = state.unwrap_or_else(|| empty.clone());
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        if let Some(segments) = segments {
            state = choose_rows(state, &empty, &segments.begins_at(t));
        }
        let before = segments.map(|_| state.clone());
        let (y, after) = mixer.step(x.clone().narrow(1, t, 1).squeeze_dim(1), state);
        outputs.push(y.unsqueeze_dim(1));
        state = match (segments, &before) {
            (Some(segments), Some(before)) => {
                let padding: Vec<bool> = (0..batch).map(|row| !segments.columns(row).contains(&t)).collect();
                choose_rows(after, before, &padding)
            }
            _ => after,
        };
    }
    (Tensor::cat(outputs, 1), state)
}

/// `state` with the rows marked in `theirs` taken from `other`.
fn choose_rows<S: MixerState>(state: S, other: &S, theirs: &[bool]) -> S {
    if !theirs.contains(&true) {
        return state;
    }
    let mut parts = Parts(VecDeque::new());
    other.clone().map(&mut parts);
    state.map(&mut Choose { parts: parts.0, theirs })
}

/// The parts of a state, in order.
struct Parts(VecDeque<Box<dyn Any>>);

impl StateMapper for Parts {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        self.0.push_back(Box::new(tensor.clone()));
        tensor
    }

    fn counts(&mut self, _: &str, counts: Vec<usize>) -> Vec<usize> {
        self.0.push_back(Box::new(counts.clone()));
        counts
    }
}

struct Choose<'a> {
    parts: VecDeque<Box<dyn Any>>,
    theirs: &'a [bool],
}

impl Choose<'_> {
    fn next<T: 'static>(&mut self) -> T {
        let part = self.parts.pop_front().and_then(|part| part.downcast().ok());
        *part.expect("two states of one mixer have the same parts")
    }
}

impl StateMapper for Choose<'_> {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        let other: Tensor<D> = self.next();
        let mut mask_dims = [1; D];
        mask_dims[0] = self.theirs.len();
        let mask =
            Tensor::<D, Bool>::from_data(TensorData::new(self.theirs.to_vec(), mask_dims), &tensor.device());
        let dims = tensor.dims();
        tensor.mask_where(mask.expand(dims), other)
    }

    fn counts(&mut self, name: &str, counts: Vec<usize>) -> Vec<usize> {
        let (found, expected) = (counts.len(), self.theirs.len());
        assert_eq!(
            found, expected,
            "forward_by_steps: {name} has {found} counters, expected one a row, {expected}"
        );
        let other: Vec<usize> = self.next();
        let rows = counts.into_iter().zip(other).zip(self.theirs);
        rows.map(|((ours, other), &theirs)| if theirs { other } else { ours }).collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::layers::MatrixState;

    #[test]
    #[should_panic(expected = "forward_by_steps: seen has 1 counters, expected one a row, 2")]
    fn a_counter_for_all_rows_is_refused() {
        let state = MatrixState { matrix: Tensor::zeros([2, 1, 1, 1], &Device::default()), seen: vec![0] };
        choose_rows(state.clone(), &state, &[true, false]);
    }
}
