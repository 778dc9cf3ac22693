//! Outputs and the final state.

use super::{Block, Complex, PIECE, advance};
use crate::kernels::cpu::lanes::{LANES, Lanes, store};
use crate::kernels::cpu::shared::SharedMut;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::real::Real;

/// States that pass over a piece together: a step of one waits for the step before it, and not for another's.
const TOGETHER: usize = 2;

pub(super) struct Forward<'a, F> {
    pub(super) block: Block<'a, F>,
    pub(super) y: &'a SharedMut<'a, F>,
    pub(super) last: &'a SharedMut<'a, F>,
    pub(super) kept: Option<&'a SharedMut<'a, F>>,
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, y, last, kept } = self;
        let zero = [F::zero(); LANES];
        let decay = block.transposed(block.inputs[1].data);
        let c = block.transposed(block.inputs[2].data);
        let mut h = block.of_row(block.inputs[3].data);
        let (mut u, mut sums) = ([zero; PIECE], [zero; PIECE]);
        for stretch in block.stretches {
            match (stretch.slot, kept) {
                (None, _) => h.fill([zero; 2]),
                (Some(_), None) => {}
                (Some(slot), Some(kept)) => {
                    let place = block.shape.kept(block.row, slot, block.index);
                    let states = h.as_flattened().as_flattened();
                    // SAFETY: every (row, slot, block) has its own place, and one task.
                    unsafe { kept.at(place, states.len()) }.copy_from_slice(states);
                }
            }
            let len = stretch.piece.tokens.len();
            block.tokens(block.inputs[0].data, &stretch.piece, &mut u);
            sums[..len].fill(zero);
            let (u, sums) = (&u[..len], &mut sums[..len]);
            let (pairs, rest) = h.as_chunks_mut::<TOGETHER>();
            let (decay_pairs, decay_rest) = decay.as_chunks::<TOGETHER>();
            let (c_pairs, c_rest) = c.as_chunks::<TOGETHER>();
            for ((h, decay), c) in pairs.iter_mut().zip(decay_pairs).zip(c_pairs) {
                pass::<F, FMA, TOGETHER>(h, decay, c, u, sums);
            }
            for ((h, decay), c) in rest.iter_mut().zip(decay_rest).zip(c_rest) {
                pass::<F, FMA, 1>(std::array::from_mut(h), &[*decay], &[*c], u, sums);
            }
            for (sum, t) in sums.iter().zip(stretch.piece.tokens.clone()) {
                // SAFETY: the channels of a block belong to its task.
                store(sum, unsafe { y.at(block.place(t), block.width) });
            }
        }
        block.untransposed(&h, last);
    }
}

/// Takes states over a piece, and adds what its tokens read of them.
#[inline(always)]
fn pass<F: Real, const FMA: bool, const N: usize>(
    states: &mut [Complex<F>; N],
    decay: &[Complex<F>; N],
    c: &[Complex<F>; N],
    u: &[Lanes<F>],
    sums: &mut [Lanes<F>],
) {
    let mut h = *states;
    for (u, sum) in u.iter().zip(sums) {
        for n in 0..N {
            h[n] = advance::<F, FMA>(&h[n], &decay[n], u);
            for l in 0..LANES {
                let real = F::fma::<FMA>(c[n][0][l], h[n][0][l], sum[l]);
                sum[l] = F::fma::<FMA>(-c[n][1][l], h[n][1][l], real);
            }
        }
    }
    *states = h;
}
