//! Outputs and the last state.

use rayon::prelude::*;

use super::super::gemm::{Layout, gemm};
use super::super::shared::SharedMut;
use super::Shape;
use super::block::{BLOCK, Block, SQUARE};
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

pub(super) fn run<F: Real>(shape: Shape, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
    let (key_dim, value_dim, one) = (shape.key_dim, shape.value_dim, F::one());
    let [v, initial] = [2, 4].map(|input| inputs[input].data);
    let mut output = zeros(inputs[2].len());
    let mut last = initial.to_vec();
    let mut kept = zeros(if keep { shape.kept(shape.batch, 0, 0) } else { 0 });
    let (out, kept_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut kept));
    let of_values = Layout::new(0, value_dim, 1);
    last.par_chunks_mut(shape.state()).enumerate().for_each_init(
        || (Block::new(shape), vec![F::zero(); BLOCK * value_dim]),
        |(block, o), (task, state)| {
            let (row, head) = (task / shape.heads, task % shape.heads);
            for start in (0..shape.seq).step_by(BLOCK) {
                let len = BLOCK.min(shape.seq - start);
                if keep && start % shape.chunk == 0 {
                    let place = shape.kept(row, head, start / shape.chunk);
                    // SAFETY: every (row, head, chunk) has its own place, and one task.
                    unsafe { kept_shared.at(place, shape.state()) }.copy_from_slice(state);
                }
                block.fill(shape, inputs, [row, head, start, len]);
                let (values, out_at) =
                    (Layout::of(&inputs[2], row, start, head), shape.values(row, start, head));
                let sizes = [len, value_dim, key_dim];
                gemm(sizes, (o, of_values), false, block.reads.matrix(), (state, of_values), one);
                let sizes = [len, value_dim, len];
                gemm(sizes, (o, of_values), true, (&block.weights, SQUARE), (v, values), one);
                for (t, o) in o.chunks_exact(value_dim).take(len).enumerate() {
                    // SAFETY: the outputs of a head belong to its task.
                    unsafe { out.at(out_at.start + t * out_at.rows, value_dim) }.copy_from_slice(o);
                }
                block.advance(shape, state, (v, values));
            }
        },
    );
    (vec![output, last], kept)
}
