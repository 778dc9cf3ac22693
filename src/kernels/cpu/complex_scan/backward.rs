//! The gradients of every input.

use super::{Block, Complex, PIECE, advance};
use crate::kernels::cpu::lanes::{LANES, Lanes, fade, fma, fnma, load, store, times};
use crate::kernels::cpu::shared::SharedMut;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::real::Real;

/// What tasks fill: all but `u` for every row.
pub(super) struct Gradients<'a, F> {
    pub(super) u: SharedMut<'a, F>,
    pub(super) decay: SharedMut<'a, F>,
    pub(super) c: SharedMut<'a, F>,
    pub(super) state: SharedMut<'a, F>,
}

pub(super) struct Backward<'a, F> {
    pub(super) block: Block<'a, F>,
    pub(super) kept: &'a [F],
    pub(super) grad_y: &'a [F],
    pub(super) grad_last: &'a [F],
    pub(super) grads: &'a Gradients<'a, F>,
}

impl<F: Real> Work for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, kept, grad_y, grad_last, grads } = self;
        let zero = [F::zero(); LANES];
        let decay = block.transposed(block.inputs[1].data);
        let c = block.transposed(block.inputs[2].data);
        let mut d_h = block.of_row(grad_last);
        let [mut d_decay, mut d_c] = [(); 2].map(|()| vec![[zero; 2]; block.shape.d_state]);
        let [mut u, mut dy, mut du] = [[zero; PIECE]; 3];
        // Of one piece: a state before each token, and after the last.
        let mut states = [[zero; 2]; PIECE + 1];
        for stretch in block.stretches.iter().rev() {
            let len = stretch.piece.tokens.len();
            block.tokens(block.inputs[0].data, &stretch.piece, &mut u);
            block.tokens(grad_y, &stretch.piece, &mut dy);
            du[..len].fill(zero);
            for n in 0..block.shape.d_state {
                states[0] = stretch.slot.map_or([zero; 2], |slot| {
                    let place = block.shape.kept(block.row, slot, block.index) + n * 2 * LANES;
                    [place, place + LANES].map(|place| load(&kept[place..place + LANES]))
                });
                let tokens = Tokens { u: &u[..len], dy: &dy[..len], du: &mut du[..len], states: &mut states };
                tokens.back::<FMA>([&decay[n], &c[n]], [&mut d_h[n], &mut d_decay[n], &mut d_c[n]]);
                if stretch.piece.resets {
                    d_h[n] = [zero; 2];
                }
            }
            for (du, t) in du.iter().zip(stretch.piece.tokens.clone()) {
                // SAFETY: the channels of a block belong to its task.
                store(du, unsafe { grads.u.at(block.place(t), block.width) });
            }
        }
        block.untransposed(&d_h, &grads.state);
        block.untransposed(&d_decay, &grads.decay);
        block.untransposed(&d_c, &grads.c);
    }
}

/// A piece's tokens, and one state before each of them and after the last; at first only before the first.
struct Tokens<'a, F> {
    u: &'a [Lanes<F>],
    dy: &'a [Lanes<F>],
    du: &'a mut [Lanes<F>],
    states: &'a mut [Complex<F>; PIECE + 1],
}

impl<F: Real> Tokens<'_, F> {
    /// Adds to the gradients of u, λ and c; turns that of the state after the piece into that of the state before it.
    ///
    /// Gradients are complex numbers whose parts are those of the parts.
    #[inline(always)]
    fn back<const FMA: bool>(self, [decay, c]: [&Complex<F>; 2], [d_h, d_decay, d_c]: [&mut Complex<F>; 3]) {
        let Self { u, dy, du, states } = self;
        // Copies, which stay in registers.
        let (decay, c) = (*decay, *c);
        let (mut g, mut to_decay, mut to_c) = (*d_h, *d_decay, *d_c);
        let mut h = states[0];
        for (u, after) in u.iter().zip(&mut states[1..]) {
            h = advance::<F, FMA>(&h, &decay, u);
            *after = h;
        }
        for (t, (dy, du)) in dy.iter().zip(du).enumerate().rev() {
            let [before, after] = [&states[t], &states[t + 1]];
            to_c[0] = fma::<F, FMA>(dy, &after[0], &to_c[0]);
            to_c[1] = fnma::<F, FMA>(dy, &after[1], &to_c[1]);
            let re = fma::<F, FMA>(dy, &c[0], &g[0]);
            let im = fnma::<F, FMA>(dy, &c[1], &g[1]);
            for l in 0..LANES {
                du[l] += re[l];
            }
            to_decay[0] = fma::<F, FMA>(&re, &before[0], &to_decay[0]);
            to_decay[0] = fma::<F, FMA>(&im, &before[1], &to_decay[0]);
            to_decay[1] = fma::<F, FMA>(&im, &before[0], &to_decay[1]);
            to_decay[1] = fnma::<F, FMA>(&re, &before[1], &to_decay[1]);
            g[0] = fma::<F, FMA>(&decay[0], &re, &times(&decay[1], &im));
            g[1] = fnma::<F, FMA>(&decay[1], &re, &times(&decay[0], &im));
        }
        g.iter_mut().for_each(fade);
        (*d_h, *d_decay, *d_c) = (g, to_decay, to_c);
    }
}
