use super::view::{View, exponentials, greatest, sees};
use super::{Layout, Shape, SharedMut};
use crate::kernels::cpu::lanes::dot;
use crate::kernels::cpu::vectorised::Work;
use crate::kernels::host::Array;
use crate::kernels::real::Real;

/// All queries of one head, few enough that keys and values are best read once, as they lie.
pub(super) struct Head<'a, F> {
    pub(super) shape: Shape,
    pub(super) row: usize,
    pub(super) head: usize,
    pub(super) view: View<'a, F>,
    pub(super) inputs: &'a [Array<'a, F>],
    pub(super) scale: F,
    pub(super) out: &'a SharedMut<'a, F>,
    pub(super) log_sums: &'a SharedMut<'a, F>,
}

impl<F: Real> Work for Head<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { shape, row, head, view, inputs, scale, out, log_sums } = self;
        let [q, k, v] = [0, 1, 2].map(|input| inputs[input].data);
        let Shape { seq, n_heads, n_kv_heads, head_dim, value_dim, .. } = shape;
        let kv_head = head * n_kv_heads / n_heads;
        let seen = view.tile(0, seq);
        if seen.is_empty() {
            return;
        }
        let [k_at, v_at] = [1, 2].map(|input| Layout::of(&inputs[input], row, seen.start, kv_head));
        let q_at = Layout::of(&inputs[0], row, 0, head);
        // `[keys, seq]`: a key is read once for all queries.
        let mut by_key = vec![F::zero(); seen.len() * seq];
        for (key, scores) in by_key.chunks_exact_mut(seq).enumerate() {
            let key = &k[k_at.start + key * k_at.rows..][..head_dim];
            for (i, score) in scores.iter_mut().enumerate() {
                *score = scale * dot::<F, FMA>(key, &q[q_at.start + i * q_at.rows..][..head_dim]);
            }
        }
        let mut scores = vec![F::zero(); seen.len()];
        let o_at = shape.o(row, head);
        for i in 0..seq {
            for (score, by_key) in scores.iter_mut().zip(by_key.chunks_exact(seq)) {
                *score = by_key[i];
            }
            let range = view.apply::<FMA>(i, &seen, &mut scores);
            let greatest = greatest(&mut scores[range.clone()]);
            let sum = exponentials::<F, FMA>(&mut scores[range.clone()], greatest);
            if !sees(sum) {
                continue;
            }
            // SAFETY: the outputs and sums of a head belong to its task.
            let out = unsafe { out.at(o_at.start + i * o_at.rows, value_dim) };
            for key in range {
                let value = &v[v_at.start + key * v_at.rows..][..value_dim];
                for (out, &value) in out.iter_mut().zip(value) {
                    *out = F::fma::<FMA>(scores[key], value, *out);
                }
            }
            out.iter_mut().for_each(|value| *value = *value / sum);
            // SAFETY: as above.
            unsafe { log_sums.at((row * n_heads + head) * seq + i, 1) }.fill(greatest + sum.ln());
        }
    }
}
