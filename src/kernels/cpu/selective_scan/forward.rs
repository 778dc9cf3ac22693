use rayon::prelude::*;

use super::{
    Block, CHUNK, LANES, SelectiveScan, Shape, SharedMut, Token, Work, advance, times, tokens, vectorised,
};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

pub(super) fn forward<F: Real>(
    op: &SelectiveScan,
    inputs: &[Array<'_, F>],
    keep: bool,
) -> (Vec<Vec<F>>, Vec<F>) {
    let shape = Shape::of(inputs);
    let tokens = tokens(op.segments.as_ref(), shape.batch, shape.seq);
    let mut output = zeros(shape.batch * shape.seq * shape.d_inner);
    let mut last = zeros(shape.batch * shape.d_inner * shape.d_state);
    let mut kept = zeros(if keep { shape.kept(shape.batch, 0, 0) } else { 0 });
    let kept_shared = SharedMut::new(&mut kept);
    let (y, last_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut last));
    (0..shape.batch * shape.blocks()).into_par_iter().for_each(|task| {
        let (row, index) = (task / shape.blocks(), task % shape.blocks());
        let block =
            Block::new(op, shape, row, index, inputs, &tokens[row * shape.seq..(row + 1) * shape.seq]);
        vectorised(Forward { block, index, y: &y, last: &last_shared, kept: keep.then_some(&kept_shared) });
    });
    (vec![output, last], kept)
}

struct Forward<'a, F> {
    block: Block<'a, F>,
    index: usize,
    y: &'a SharedMut<'a, F>,
    last: &'a SharedMut<'a, F>,
    kept: Option<&'a SharedMut<'a, F>>,
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, index, y, last, kept } = self;
        let a = block.transposed(block.inputs[2].data);
        let (mut h, skip) = (block.initial(), block.skip());
        for t in 0..block.shape.seq {
            if let Some(kept) = kept.filter(|_| t % CHUNK == 0) {
                let place = block.shape.kept(block.row, t / CHUNK, index);
                // SAFETY: every (row, chunk, block) has its own place, and one task.
                unsafe { kept.at(place, h.len() * LANES) }.copy_from_slice(h.as_flattened());
            }
            if block.tokens[t] == Token::Reset {
                h.fill([F::zero(); LANES]);
            }
            let delta = block.delta(t);
            let u = block.channels(0, t);
            let write = times(&delta, &u);
            let (b, c) = (block.vector(3, t), block.vector(4, t));
            let mut sum = times(&skip, &u);
            for n in 0..block.shape.d_state {
                advance::<F, FMA>(&mut h[n], &a[n], &delta, &write, b[n]);
                for l in 0..LANES {
                    sum[l] = F::fma::<FMA>(h[n][l], c[n], sum[l]);
                }
            }
            if let Some((gate, _)) = block.gate::<FMA>(t) {
                sum = times(&sum, &gate);
            }
            // SAFETY: the channels of a block belong to its task.
            unsafe { y.at(block.place(t), block.width) }.copy_from_slice(&sum[..block.width]);
        }
        let n = block.shape.d_state;
        let place = block.state_row() + block.first * n;
        // SAFETY: the states of a block belong to its task.
        block.untransposed(&h, unsafe { last.at(place, block.width * n) });
    }
}
