//! The state ledger: what a state holds, and how that grows.

use burn::tensor::Tensor;

use super::subject::Subject;
use super::trial::Trial;
use crate::layers::{MixerState, StateGrowth, StateMapper};
use crate::ops::Segments;

/// A window longer than this is not run to its end.
const LONGEST_WINDOW: usize = 300;

pub(super) fn growth<S: Subject>(trial: &mut Trial<S>) {
    let subject = trial.subject.clone().valid();
    let tokens = |seq: usize| Tensor::<3>::ones([2, seq, trial.d_model], &trial.device.clone().inner());
    let bytes = |seq: usize| counted(trial, &subject.forward(tokens(seq), None, None).1);
    let empty = counted(trial, &subject.init_state(2, &trial.device.clone().inner()));
    match subject.state_growth() {
        StateGrowth::Constant => {
            let found = [empty, bytes(1), bytes(10), bytes(100)];
            trial.assert(found.iter().all(|&bytes| bytes == found[0]), || {
                format!("declared constant, but after 0, 1, 10 and 100 tokens there are {found:?} bytes")
            });
        }
        StateGrowth::Window(window) if window <= LONGEST_WINDOW => {
            let found = [bytes(window), bytes(window + 1), bytes(3 * window)];
            trial.assert(found.iter().all(|&bytes| bytes == found[0]), || {
                format!(
                    "declared a window of {window}, but after 1, 1 and 3 windows there are {found:?} bytes"
                )
            });
            let before = if window == 1 { empty } else { bytes(window - 1) };
            trial.assert(before < found[0], || {
                format!("declared a window of {window}, but the state is full before: {before} bytes")
            });
        }
        // A longer window is not run to its end: so far its state grows as if there were none.
        StateGrowth::Linear | StateGrowth::Window(_) => {
            let found = [bytes(100), bytes(200), bytes(300)];
            // Beside what grows without end, a window may come to its own.
            trial.assert(
                found[1] < found[2] && found[2] - found[1] <= found[1].saturating_sub(found[0]),
                || format!("declared linear, but after 100, 200 and 300 tokens there are {found:?} bytes"),
            );
        }
    }

    let mut state = subject.init_state(2, &trial.device.clone().inner());
    for t in 1..=40 {
        state = subject.step(Tensor::ones([2, trial.d_model], &trial.device.clone().inner()), state).1;
        let (found, expected) = (counted(trial, &state), bytes(t));
        trial.assert(found == expected, || {
            format!("{found} bytes after {t} steps, {expected} after forward on {t} tokens")
        });
    }

    let padded = |segments: Segments| {
        counted(trial, &subject.forward(tokens(segments.seq()), Some(&segments), None).1)
    };
    let expected = bytes(5);
    for (name, rows) in [
        ("right padding", (0, vec![5])),
        ("left padding", (7, vec![5])),
        ("an earlier document", (0, vec![7, 5])),
    ] {
        let found = padded(Segments::new(12, [rows.clone(), rows]));
        trial.assert(found == expected, || {
            format!("{found} bytes after 5 tokens and {name}, {expected} after 5 tokens")
        });
    }
}

/// The bytes of a state, summed here, after comparing with `bytes()`.
fn counted<S: Subject, T: MixerState>(trial: &Trial<S>, state: &T) -> usize {
    let mut sum = Sum(0);
    let _ = state.clone().map(&mut sum);
    let (found, expected) = (state.bytes(), sum.0);
    trial.assert(found == expected, || format!("bytes() is {found}, but the parts have {expected} bytes"));
    found
}

/// Bytes of the values themselves, read from the device.
struct Sum(usize);

impl StateMapper for Sum {
    fn tensor<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        self.0 += tensor.to_data().as_bytes().len();
        tensor
    }

    fn counts(&mut self, _: &str, counts: Vec<usize>) -> Vec<usize> {
        self.0 += counts.iter().map(|count| (*count as u64).to_le_bytes().len()).sum::<usize>();
        counts
    }
}
