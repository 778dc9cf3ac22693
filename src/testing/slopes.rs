//! Gradients are slopes: differences of values say the same.

use burn::module::{ModuleMapper, Param};
use burn::tensor::Tensor;

use super::outcome::{Outcome, Outputs};
use super::random::Random;
use super::subject::Subject;
use super::trial::Trial;

/// How far a parameter or input is moved, in units of its direction's entries. Long steps cross kinks and bends, short ones
/// drown in rounding: a gradient is right if differences over one of them say so.
const STEPS: [f64; 4] = [1e-2, 3e-3, 1e-3, 3e-4];

/// Of the gradient's norm. A kink that is crossed costs some hundredths; a term that is wrong is most often as large as the
/// others.
const TOLERANCE: f64 = 0.1;

/// Gradients below this part of the largest have too few digits left in differences.
const NOTHING: f64 = 1e-2;

/// Moves every input and every parameter along a random direction of its own, and compares what becomes of the outputs with
/// what the gradient says.
pub(super) fn slopes<S: Subject>(trial: &mut Trial<S>) {
    let inputs = [trial.tokens(2, 4), trial.tokens(2, 11)];
    let named = [("earlier inputs", &inputs[0]), ("inputs", &inputs[1])];
    let outcome = Outcome::new(&trial.subject, &named, run(&trial.subject, &inputs));
    let norm = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let largest = outcome.gradients.iter().map(|(_, values)| norm(values)).fold(0.0, f64::max);
    for (number, (name, gradient)) in outcome.gradients.iter().enumerate() {
        let value = |by: f64| {
            let moved = |input: usize| {
                let tokens = inputs[input].clone().inner();
                if input == number { tokens.clone() + direction(number, &tokens) * by } else { tokens }
            };
            let mut shift = Shift { number, by, next: inputs.len() };
            let subject = trial.subject.clone().map(&mut shift).valid();
            run(&subject, &[moved(0), moved(1)]).value()
        };
        let slope = |step: f64| (value(step) - value(-step)) / (2.0 * step);
        let flat = Tensor::<1>::from_floats(gradient.as_slice(), &trial.device.clone().inner());
        let expected: f64 = (direction(number, &flat) * flat).sum().into_scalar::<f32>().into();
        let allowed = TOLERANCE * norm(gradient).max(NOTHING * largest);
        let mut found = Vec::new();
        let near = STEPS.iter().any(|&step| {
            // What is cubic cancels.
            let between = (4.0 * slope(step) - slope(2.0 * step)) / 3.0;
            found.push(between);
            (between - expected).abs() <= allowed
        });
        trial.assert(near, || {
            format!(
                "the {name} says {expected} along a random direction, differences over {STEPS:?} say {found:?}; its norm is {}",
                norm(gradient)
            )
        });
    }
}

fn run<S: Subject>(subject: &S, [earlier, x]: &[Tensor<3>; 2]) -> Outputs {
    let mut outputs = Outputs::default();
    let (_, state) = subject.forward(earlier.clone(), None, None);
    let (y, state) = subject.forward(x.clone(), None, Some(state));
    outputs.push("outputs", y);
    outputs.push("outputs after", subject.forward(earlier.clone(), None, Some(state)).0);
    outputs
}

/// Entries of variance 1, in order: the same whatever the shape.
fn direction<const D: usize>(number: usize, like: &Tensor<D>) -> Tensor<D> {
    Random::new(1000 + number as u64).tensor(like.dims(), 3.0_f32.sqrt(), &like.device())
}

/// Moves one parameter: they are numbered after the inputs, in the order of visiting.
struct Shift {
    number: usize,
    by: f64,
    next: usize,
}

impl ModuleMapper for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        self.next += 1;
        if self.number + 1 != self.next {
            return param;
        }
        param.map(|values| {
            let moved = values.clone().detach() + direction(self.number, &values) * self.by;
            moved.detach().require_grad()
        })
    }
}
