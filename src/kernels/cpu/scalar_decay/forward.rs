use rayon::prelude::*;

use super::rows::Scale;
use super::{Fade, Layout, Place, Scratch, SharedMut, gemm, tasks, vectorised};
use crate::kernels::cpu::scalar_decay::ScalarDecay;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

pub(super) fn forward<F: Real>(
    op: &ScalarDecay,
    inputs: &[Array<'_, F>],
    keep: bool,
) -> (Vec<Vec<F>>, Vec<F>) {
    let shape = op.chunks.shape(inputs);
    let (key_dim, value_dim, one) = (shape.key_dim, shape.value_dim, F::one());
    let [q, k, v, initial] = [0, 1, 2, 4].map(|input| inputs[input].data);
    let d = op.d(inputs);
    let mut output = zeros(inputs[2].len());
    let mut last = initial.to_vec();
    let mut kept = zeros(if keep { shape.kept(shape.batch, 0, 0) } else { 0 });
    let (out, kept_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut kept));
    tasks(shape).shares(&mut last, shape.state()).into_par_iter().for_each_init(
        || Scratch::new(shape),
        |scratch, (heads, states)| {
            let (of_keys, of_values) = (Layout::new(0, key_dim, 1), Layout::new(0, value_dim, 1));
            for (chunk, start) in (0..shape.seq).step_by(shape.chunk).enumerate() {
                let len = shape.chunk.min(shape.seq - start);
                let [q_at, k_at] =
                    [0, 1].map(|input| Layout::of(&inputs[input], heads.row, start, heads.group));
                let square = Layout::new(0, len, 1);
                scratch.score(shape, [(q, q_at), (k, k_at)], len);
                for (head, state) in (heads.first..).zip(states.chunks_exact_mut(shape.state())) {
                    if keep {
                        // SAFETY: every (row, head, chunk) has its own place, and one task.
                        unsafe { kept_shared.at(shape.kept(heads.row, head, chunk), shape.state()) }
                            .copy_from_slice(state);
                    }
                    let place = Place { row: heads.row, head, start, len };
                    let through = scratch.weigh(op, shape, inputs, place);
                    let Scratch { weights, decays, scaled, written, values: o, .. } = scratch;
                    let (size, weights) = ([len, value_dim, len], (weights.as_slice(), square));
                    gemm(size, (o, of_values), false, weights, (written, of_values), one);
                    let factors = &decays.from_state[..len];
                    vectorised(Scale { x: q, at: q_at, width: key_dim, factors, to: scaled });
                    let size = [len, value_dim, key_dim];
                    gemm(size, (o, of_values), true, (scaled, of_keys), (state, of_values), one);
                    let (at, v_at) = (
                        shape.values(heads.row, start, head),
                        Layout::of(&inputs[2], heads.row, start, head),
                    );
                    let skip = d.map_or(F::zero(), |d| d[head]);
                    vectorised(Emit {
                        o: &o[..len * value_dim],
                        v,
                        v_at,
                        at,
                        width: value_dim,
                        skip,
                        out: &out,
                    });

                    vectorised(Fade { state, through });
                    let factors = &decays.to_end[..len];
                    vectorised(Scale { x: k, at: k_at, width: key_dim, factors, to: scaled });
                    let size = [key_dim, value_dim, len];
                    gemm(size, (state, of_values), true, (scaled, of_keys.t()), (written, of_values), one);
                }
            }
        },
    );
    (vec![output, last], kept)
}

/// `out ← o + skip · v`, to the places of a head.
struct Emit<'a, F> {
    o: &'a [F],
    v: &'a [F],
    v_at: Layout,
    at: Layout,
    width: usize,
    skip: F,
    out: &'a SharedMut<'a, F>,
}

impl<F: Real> Work for Emit<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (t, o) in self.o.chunks_exact(self.width).enumerate() {
            let place = self.at.start + t * self.at.rows;
            // SAFETY: the outputs of a head belong to its task.
            let out = unsafe { self.out.at(place, self.width) };
            let v = &self.v[self.v_at.start + t * self.v_at.rows..][..self.width];
            for ((out, &o), &v) in out.iter_mut().zip(o).zip(v) {
                *out = F::fma::<FMA>(self.skip, v, o);
            }
        }
    }
}
