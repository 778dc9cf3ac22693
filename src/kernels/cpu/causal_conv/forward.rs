use std::ops::Range;

use super::{Elementwise, Row, SharedMut};
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::real::Real;

/// The outputs of some tokens of a row.
pub(super) struct Forward<'a, F> {
    pub(super) row: Row<'a, F>,
    pub(super) tokens: Range<usize>,
    /// The row's first token among all.
    pub(super) first: usize,
    pub(super) activation: Option<Elementwise>,
    pub(super) pieces: &'a [SharedMut<'a, F>],
    pub(super) widths: &'a [usize],
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let mut all = vec![F::zero(); self.row.shape.channels];
        for t in self.tokens {
            self.row.convolve::<FMA>(t, &mut all);
            if let Some(activation) = self.activation {
                activation.in_place::<F, FMA>(&mut all);
            }
            let mut rest = all.as_slice();
            for (piece, &width) in self.pieces.iter().zip(self.widths) {
                let (values, after) = rest.split_at(width);
                // SAFETY: every token belongs to one task.
                unsafe { piece.at((self.first + t) * width, width) }.copy_from_slice(values);
                rest = after;
            }
        }
    }
}
