//! Every state.

use std::marker::PhantomData;

use super::gates::Gates;
use super::{Block, CHUNK, WIDEST};
use crate::kernels::cpu::lanes::{LANES, store};
use crate::kernels::cpu::shared::SharedMut;
use crate::kernels::cpu::tokens::Token;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::real::Real;

pub(super) struct Forward<'a, G, F> {
    block: Block<'a, F>,
    out: &'a SharedMut<'a, F>,
    kept: Option<&'a SharedMut<'a, F>>,
    gates: PhantomData<G>,
}

impl<'a, G, F> Forward<'a, G, F> {
    pub(super) fn new(
        block: Block<'a, F>,
        out: &'a SharedMut<'a, F>,
        kept: Option<&'a SharedMut<'a, F>>,
    ) -> Self {
        Self { block, out, kept, gates: PhantomData }
    }
}

impl<G: Gates, F: Real> Work for Forward<'_, G, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, out, kept, .. } = self;
        let initial = block.inputs[G::ARRAYS].data;
        let mut states = [[F::zero(); LANES]; WIDEST];
        let mut rates = states;
        for vector in 0..block.vectors() {
            states[vector] = block.load(initial, block.place(block.row, vector), vector);
            rates[vector] = block.rate::<G>(vector);
        }
        for t in 0..block.shape.seq {
            for (vector, h) in states.iter_mut().enumerate().take(block.vectors()) {
                if let Some(kept) = kept.filter(|_| t % CHUNK == 0) {
                    let place = block.kept(t / CHUNK, vector);
                    // SAFETY: the states of a block belong to its task.
                    store(h, unsafe { kept.at(place, block.lanes(vector)) });
                }
                if block.tokens[t] == Token::Reset {
                    *h = [F::zero(); LANES];
                }
                if block.tokens[t] != Token::Padding {
                    block.advance::<G, FMA>(t, vector, &rates[vector], h);
                }
                // SAFETY: the channels of a block belong to its task.
                store(h, unsafe { out.at(block.at(t, vector), block.lanes(vector)) });
            }
        }
    }
}
