//! The gradients of every input.

use std::marker::PhantomData;

use super::gates::{Gates, MOST};
use super::{Block, CHUNK, WIDEST};
use crate::kernels::cpu::lanes::{LANES, Lanes, fade, store};
use crate::kernels::cpu::shared::SharedMut;
use crate::kernels::cpu::tokens::Token;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::real::Real;

/// What tasks fill; the rate's for every row.
pub(super) struct Gradients<'a, F> {
    pub(super) arrays: Vec<SharedMut<'a, F>>,
    pub(super) state: SharedMut<'a, F>,
    pub(super) rate: SharedMut<'a, F>,
}

pub(super) struct Backward<'a, G, F> {
    block: Block<'a, F>,
    kept: &'a [F],
    grad: &'a [F],
    grads: &'a Gradients<'a, F>,
    gates: PhantomData<G>,
}

impl<'a, G, F> Backward<'a, G, F> {
    pub(super) fn new(
        block: Block<'a, F>,
        kept: &'a [F],
        grad: &'a [F],
        grads: &'a Gradients<'a, F>,
    ) -> Self {
        Self { block, kept, grad, grads, gates: PhantomData }
    }
}

impl<G: Gates, F: Real> Work for Backward<'_, G, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let block = &self.block;
        let mut d_states = [[F::zero(); LANES]; WIDEST];
        let mut d_rates = d_states;
        for chunk in (0..block.shape.chunks()).rev() {
            for vector in 0..block.vectors() {
                self.chunk::<FMA>(chunk, vector, [&mut d_states[vector], &mut d_rates[vector]]);
            }
        }
        for vector in 0..block.vectors() {
            let place = block.place(block.row, vector);
            // SAFETY: the states of a block belong to its task.
            store(&d_states[vector], unsafe { self.grads.state.at(place, block.lanes(vector)) });
            // SAFETY: as above; this array has a rate for every row.
            store(&d_rates[vector], unsafe { self.grads.rate.at(place, block.lanes(vector)) });
        }
    }
}

impl<G: Gates, F: Real> Backward<'_, G, F> {
    /// One chunk of one vector: forward to its states, and back. `d_state` is the gradient of the state after the
    /// chunk, then of the one before.
    #[inline(always)]
    fn chunk<const FMA: bool>(&self, chunk: usize, vector: usize, [d_state, d_rate]: [&mut Lanes<F>; 2]) {
        let Self { block, kept, grad, grads, .. } = self;
        let zero = [F::zero(); LANES];
        let rate = &block.rate::<G>(vector);
        let start = chunk * CHUNK;
        let end = block.shape.seq.min(start + CHUNK);
        // Each token's decay, and the state before it.
        let (mut decays, mut befores) = ([zero; CHUNK], [zero; CHUNK]);
        let mut h = block.load(kept, block.kept(chunk, vector), vector);
        for t in start..end {
            if block.tokens[t] == Token::Reset {
                h = zero;
            }
            befores[t - start] = h;
            if block.tokens[t] != Token::Padding {
                decays[t - start] = block.advance::<G, FMA>(t, vector, rate, &mut h);
            }
        }
        for t in (start..end).rev() {
            let place = block.at(t, vector);
            let dy = block.load(grad, place, vector);
            for l in 0..LANES {
                d_state[l] += dy[l];
            }
            if block.tokens[t] == Token::Padding {
                continue;
            }
            let (decay, before) = (&decays[t - start], &befores[t - start]);
            let [a, b, c] = block.arrays::<G>(t, vector);
            let first = block.is_first(t);
            let [mut d_a, mut d_b, mut d_c] = [zero; MOST];
            for l in 0..LANES {
                let d_write = d_state[l];
                let d_before = d_write * decay[l];
                let d = [d_before * before[l], d_write];
                let (d, to_rate) = G::back::<F, FMA>([a[l], b[l], c[l]], rate[l], first, d);
                [d_a[l], d_b[l], d_c[l]] = d;
                d_rate[l] += to_rate;
                d_state[l] = d_before;
            }
            for (d_array, to) in [d_a, d_b, d_c].iter().zip(&grads.arrays) {
                // SAFETY: the channels of a block belong to its task.
                store(d_array, unsafe { to.at(place, block.lanes(vector)) });
            }
            if block.tokens[t] == Token::Reset {
                *d_state = zero;
            }
        }
        fade(d_state);
    }
}
