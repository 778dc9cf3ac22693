//! AdamW's update in one pass over parameter, gradient and moments.

use rayon::prelude::*;

use super::shared::zeros;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;

/// Inputs: a parameter, its gradient, the moments before; outputs: the parameter, the moments after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWStep {
    pub(crate) betas: [f64; 2],
    /// `1 − βⁿ` of both, after n steps.
    pub(crate) corrections: [f64; 2],
    pub(crate) epsilon: f64,
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
}

/// Elements of a parallel task.
const CHUNK: usize = 1 << 13;

impl HostOp for AdamWStep {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], _: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let [x, grad, first, second] = [0, 1, 2, 3].map(|input| inputs[input].data.par_chunks(CHUNK));
        let mut outputs = [(); 3].map(|()| zeros(inputs[0].data.len()));
        let [new_x, new_first, new_second] = outputs.each_mut().map(|output| output.par_chunks_mut(CHUNK));
        let before = x.zip(grad).zip(first.zip(second));
        let after = new_x.zip(new_first.zip(new_second));
        after.zip(before).for_each(|((x, (first, second)), ((old_x, grad), (old_first, old_second)))| {
            let before = [old_x, grad, old_first, old_second];
            vectorised(Update { step: *self, before, after: [x, first, second] });
        });
        (outputs.into(), Vec::new())
    }

    fn backward<F: Real>(&self, _: &[Array<'_, F>], _: &[F], _: &[&[F]]) -> Vec<Vec<F>> {
        unreachable!("an optimiser's parameters are not tracked")
    }
}

struct Update<'a, F> {
    step: AdamWStep,
    before: [&'a [F]; 4],
    after: [&'a mut [F]; 3],
}

impl<F: Real> Work for Update<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let AdamWStep { betas, corrections, epsilon, learning_rate, weight_decay } = self.step;
        let number = |x: f64| F::from_f64(x).expect("a float");
        let [beta_1, beta_2] = betas.map(number);
        let [rest_1, rest_2] = betas.map(|beta| number(1.0 - beta));
        let [scale_1, scale_2] = corrections.map(|correction| number(correction.recip()));
        let (epsilon, rate) = (number(epsilon), number(learning_rate));
        let kept = number(1.0 - learning_rate * weight_decay);
        let ([x, grad, first, second], [new_x, new_first, new_second]) = (self.before, self.after);
        let before = x.iter().zip(grad).zip(first.iter().zip(second));
        let after = new_x.iter_mut().zip(new_first.iter_mut().zip(new_second));
        for ((new_x, (new_first, new_second)), ((&x, &grad), (&first, &second))) in after.zip(before) {
            *new_first = F::fma::<FMA>(beta_1, first, rest_1 * grad);
            *new_second = F::fma::<FMA>(beta_2, second, rest_2 * grad * grad);
            let step = *new_first * scale_1 / ((*new_second * scale_2).sqrt() + epsilon);
            *new_x = F::fma::<FMA>(kept, x, -rate * step);
        }
    }
}
