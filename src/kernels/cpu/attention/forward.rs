use rayon::prelude::*;

use super::view::{View, exponentials, greatest, sees};
use super::{Attention, KEYS, QUERIES, Shape, SharedMut, Transposed, blocks, from};
use crate::kernels::cpu::gemm::{Layout, gemm};
use crate::kernels::cpu::vectorised::{Work, vectorised};
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// What a thread reuses from tile to tile.
struct Buffers<F> {
    /// `[queries, keys of the block]`.
    scores: Vec<F>,
    /// `[queries, value_dim]`, not divided by the sums yet.
    output: Vec<F>,
    greatest: Vec<F>,
    sums: Vec<F>,
}

/// Fills in the output, `[batch, seq, n_heads, value_dim]`, and the logarithms of the sums, `[batch, n_heads, seq]`.
pub(super) fn forward<F: Real>(
    op: &Attention,
    shape: Shape,
    inputs: &[Array<'_, F>],
    out: &SharedMut<'_, F>,
    log_sums: &SharedMut<'_, F>,
) {
    let [q, v] = [0, 2].map(|input| inputs[input].data);
    let scale = F::from_f64(op.scale).expect("a float");
    let Shape { batch, seq, n_heads, n_kv_heads, head_dim, value_dim, .. } = shape;
    let transposed = Transposed::new(&inputs[1]);
    let tiles = seq.div_ceil(QUERIES);
    let buffers = || Buffers {
        scores: vec![F::zero(); QUERIES * KEYS],
        output: vec![F::zero(); QUERIES * value_dim],
        greatest: vec![F::zero(); QUERIES],
        sums: vec![F::zero(); QUERIES],
    };
    (0..batch * n_heads * tiles).into_par_iter().for_each_init(buffers, |buffers, task| {
        let (row, head) = (task / tiles / n_heads, task / tiles % n_heads);
        let kv_head = head * n_kv_heads / n_heads;
        let first = task % tiles * QUERIES;
        let m = QUERIES.min(seq - first);
        let view = op.view::<F>(shape, row, head);
        let Buffers { scores, output, greatest, sums } = buffers;
        output.fill(F::zero());
        greatest.fill(View::<F>::least());
        sums.fill(F::zero());
        let dense = Layout::new(0, value_dim, 1);
        for (block, seen) in blocks(view.tile(first, first + m)) {
            let n = seen.len();
            let at = |query: usize, key: usize| Layout::new((query - first) * n + key - seen.start, n, 1);
            let groups = || view.groups(first, first + m, seen.clone());
            for (queries, keys) in groups() {
                let to = (scores.as_mut_slice(), at(queries.start, keys.start));
                let q_group = Layout::of(&inputs[0], row, queries.start, head);
                let k_seen = transposed.block(row, kv_head, block, keys.start);
                gemm([queries.len(), keys.len(), head_dim], to, false, (q, q_group), k_seen, scale);
            }
            let seen = seen.clone();
            vectorised(Online { view, first, seen, scores: &mut scores[..m * n], greatest, sums, output });
            for (queries, keys) in groups() {
                let weights = (scores.as_slice(), at(queries.start, keys.start));
                let v_seen = Layout::of(&inputs[2], row, keys.start, kv_head);
                let to = (output.as_mut_slice(), from(dense, queries.start - first));
                gemm([queries.len(), value_dim, keys.len()], to, true, weights, (v, v_seen), F::one());
            }
        }
        let o_tile = from(shape.o(row, head), first);
        vectorised(Divide { output, sums: &sums[..m], out, at: o_tile });
        // SAFETY: every query of a head belongs to one task, and its sum too.
        let log_sums = unsafe { log_sums.at((row * n_heads + head) * seq + first, m) };
        for ((log_sum, &greatest), &sum) in log_sums.iter_mut().zip(&*greatest).zip(&*sums) {
            if sees(sum) {
                *log_sum = greatest + sum.ln();
            }
        }
    });
}

/// Rows of the output, each by its sum, to their places; where a query sees nothing, 0 stays.
struct Divide<'a, F> {
    output: &'a [F],
    sums: &'a [F],
    out: &'a SharedMut<'a, F>,
    at: Layout,
}

impl<F: Real> Work for Divide<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.output.len() / QUERIES;
        for (t, (output, &sum)) in self.output.chunks_exact(width).zip(self.sums).enumerate() {
            if sees(sum) {
                let factor = sum.recip();
                // SAFETY: every query of a head belongs to one task.
                let out = unsafe { self.out.at(self.at.start + t * self.at.rows, width) };
                out.iter_mut().zip(output).for_each(|(out, &value)| *out = value * factor);
            }
        }
    }
}

/// Scores of a block, in place, to `e^(score − greatest)`, with what came before scaled to the new greatest.
struct Online<'a, F> {
    view: View<'a, F>,
    first: usize,
    seen: std::ops::Range<usize>,
    scores: &'a mut [F],
    greatest: &'a mut [F],
    sums: &'a mut [F],
    output: &'a mut [F],
}

impl<F: Real> Work for Online<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.output.len() / QUERIES;
        let rows = self.scores.chunks_exact_mut(self.seen.len()).zip(self.output.chunks_exact_mut(width));
        for (t, (scores, output)) in rows.enumerate() {
            let range = self.view.apply::<FMA>(self.first + t, &self.seen, scores);
            let (before, now) = (self.greatest[t], greatest(&mut scores[range.clone()]));
            if now > before {
                if self.sums[t] > F::zero() {
                    let factor = F::fast_exp::<FMA>(before - now);
                    self.sums[t] = self.sums[t] * factor;
                    output.iter_mut().for_each(|value| *value = *value * factor);
                }
                self.greatest[t] = now;
            }
            self.sums[t] += exponentials::<F, FMA>(&mut scores[range], self.greatest[t]);
        }
    }
}
