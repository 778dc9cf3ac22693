use rayon::prelude::*;

use super::{Chunk, Place, below, layouts};
use crate::kernels::cpu::chunks::{Chunks, Fade};
use crate::kernels::cpu::gemm::gemm;
use crate::kernels::cpu::shared::SharedMut;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// The outputs, and the states before each chunk.
pub(super) fn forward<F: Real>(
    chunks: &Chunks,
    inputs: &[Array<'_, F>],
    keep: bool,
) -> (Vec<Vec<F>>, Vec<F>) {
    let shape = chunks.shape(inputs);
    let (key_dim, value_dim) = (shape.key_dim, shape.value_dim);
    let mut output = zeros(inputs[2].len());
    let mut last = inputs[5].data.to_vec();
    let mut kept = zeros(if keep { shape.kept(shape.batch, 0, 0) } else { 0 });
    let (out, kept_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut kept));
    last.par_chunks_mut(shape.state()).enumerate().for_each_init(
        || Chunk::new(shape),
        |chunk, (task, state)| {
            let (row, head) = (task / shape.heads, task % shape.heads);
            let group = head * shape.groups / shape.heads;
            for (index, start) in (0..shape.seq).step_by(shape.chunk).enumerate() {
                let len = shape.chunk.min(shape.seq - start);
                if keep {
                    // SAFETY: every (row, head, chunk) has its own place, and one task.
                    unsafe { kept_shared.at(shape.kept(row, head, index), shape.state()) }
                        .copy_from_slice(state);
                }
                let place = Place { row, group, head, start, len };
                let through = chunk.fill(chunks, shape, inputs, place, state);
                let (of_keys, of_values, square) = layouts(shape, len);
                let Chunk { stacked, weights, decays, reads, writes, .. } = chunk;

                // From the state before, then from within the chunk.
                vectorised(ScaleRows { rows: reads, width: value_dim, factors: &decays.from_state[..len] });
                gemm(
                    [len, value_dim, len],
                    (reads, of_values),
                    true,
                    (weights, square),
                    (writes, of_values),
                    F::one(),
                );
                let values = shape.values(row, start, head);
                for (t, o) in reads.chunks_exact(value_dim).take(len).enumerate() {
                    // SAFETY: the outputs of a head belong to its task.
                    unsafe { out.at(values.start + t * values.rows, value_dim) }.copy_from_slice(o);
                }

                let keys = below(of_keys, len);
                let rows = &mut stacked[keys.start..];
                vectorised(ScaleRows { rows, width: key_dim, factors: &decays.to_end[..len] });
                vectorised(Fade { state, through });
                gemm(
                    [key_dim, value_dim, len],
                    (state, of_values),
                    true,
                    (stacked, keys.t()),
                    (writes, of_values),
                    F::one(),
                );
            }
        },
    );
    (vec![output, last], kept)
}

/// Rows, each times its factor, in place.
pub(super) struct ScaleRows<'a, F> {
    pub(super) rows: &'a mut [F],
    pub(super) width: usize,
    pub(super) factors: &'a [F],
}

impl<F: Real> Work for ScaleRows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (row, &factor) in self.rows.chunks_exact_mut(self.width).zip(self.factors) {
            row.iter_mut().for_each(|value| *value = *value * factor);
        }
    }
}
