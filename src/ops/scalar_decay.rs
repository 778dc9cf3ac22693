//! The matrix-valued recurrence with one decay for a head and a token.

use burn::tensor::{Bool, Tensor, assert_shape};

use super::Segments;
use crate::kernels::Implementation;

/// What a [`scalar_decay`] runs on.
///
/// One recurrence for linear attention (no decay), retention (a fixed decay for each head) and state-space
/// duality (`log_decay = Δ A`, `k = Δ B`, `q = C`, `v = x`).
#[derive(Clone, Debug)]
pub struct ScalarDecayInputs {
    /// `[batch, groups, seq, key_dim]`: where a token reads; `groups` divides `heads`, and head `h` reads group
    /// `h · groups / heads`.
    pub q: Tensor<4>,
    /// `[batch, groups, seq, key_dim]`: where a token writes.
    pub k: Tensor<4>,
    /// `[batch, heads, seq, value_dim]`: what is written.
    pub v: Tensor<4>,
    /// `[batch, heads, seq]`, or with 1 for `batch` and `seq`: the logarithm of the decay, not positive; `None`:
    /// nothing decays.
    pub log_decay: Option<Tensor<3>>,
    /// `[batch, heads, key_dim, value_dim]`: the state before the first token.
    pub state: Tensor<4>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
    /// Tokens handled at once by the chunked form.
    pub chunk_size: usize,
}

impl ScalarDecayInputs {
    fn check(&self) {
        let [batch, groups, seq, key_dim] = self.q.dims();
        let [_, heads, _, value_dim] = self.v.dims();
        let Self { q: _, k, v, state, segments, chunk_size, log_decay } = self;
        assert_shape!(k, [batch, groups, seq, key_dim]);
        assert_eq!(heads % groups, 0, "scalar_decay: {groups} groups must divide {heads} heads");
        assert_shape!(v, [batch, heads, seq, value_dim]);
        assert_shape!(state, [batch, heads, key_dim, value_dim]);
        if let Some(log_decay) = log_decay {
            assert_shape!(log_decay, [_, heads, _]);
        }
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
        assert!(*chunk_size > 0, "scalar_decay: chunk_size must be at least 1, got 0");
    }

    /// Keys and log-decays as if there were no padding: there a token writes nothing and decays nothing.
    fn without_padding(mut self) -> Self {
        let [batch, heads, seq, _] = self.v.dims();
        self.log_decay = self.log_decay.map(|decay| decay.expand([batch, heads, seq]));
        if let Some(segments) = self.segments.as_ref().filter(|segments| segments.has_right_padding()) {
            let mask = segments.mask(&self.k.device()).cast(self.k.dtype());
            self.k = self.k * mask.clone().unsqueeze_dims::<4>(&[1, 3]);
            self.log_decay = self.log_decay.map(|decay| decay * mask.unsqueeze_dim(1));
        }
        self
    }

    /// Queries and keys repeated for every head.
    fn with_a_key_head_each(mut self) -> Self {
        let [batch, groups, seq, key_dim] = self.q.dims();
        let [_, heads, _, _] = self.v.dims();
        if groups != heads {
            let repeat = |x: Tensor<4>| {
                let each = x.unsqueeze_dim::<5>(2).expand([batch, groups, heads / groups, seq, key_dim]);
                each.reshape([batch, heads, seq, key_dim])
            };
            (self.q, self.k) = (repeat(self.q), repeat(self.k));
        }
        self
    }
}

/// Runs the recurrence
///
/// ```text
/// S_t = a_t S_{t-1} + k_t v_tᵀ        o_t = S_tᵀ q_t        a_t = exp(log_decay_t)
/// ```
///
/// and returns `o [batch, heads, seq, value_dim]` and the last state.
///
/// Chunked: within a chunk of `chunk_size` tokens as masked attention, between chunks through the state, so time
/// is `seq · (chunk_size + key_dim) · value_dim` and memory `seq · chunk_size` for each head.
///
/// # Panics
///
/// If the shapes do not agree, or `chunk_size` is 0.
///
/// # Source
///
/// arXiv 2405.21060, section 6 and listing 1; with a fixed decay arXiv 2307.08621, equation 7.
pub fn scalar_decay(inputs: ScalarDecayInputs, implementation: Implementation) -> (Tensor<4>, Tensor<4>) {
    inputs.check();
    let inputs = inputs.without_padding();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.q) {
        return fused(inputs);
    }
    let _ = implementation;
    portable(inputs.with_a_key_head_each())
}

/// Layout `[batch, seq, heads, dim]`, as projections leave it: where the caller swapped axes, nothing is copied.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    use crate::kernels::{cpu, host};
    let ScalarDecayInputs { q, k, v, log_decay, state, segments, chunk_size } = inputs;
    let [batch, heads, seq, value_dim] = v.dims();
    let [_, _, _, key_dim] = q.dims();
    let log_decay = log_decay.unwrap_or_else(|| Tensor::zeros([batch, heads, seq], (&v.device(), v.dtype())));
    let op = cpu::scalar_decay::ScalarDecay {
        chunk_size,
        least: LEAST_LOG_DECAY,
        documents: segments.filter(Segments::has_resets).map(|segments| segments.id_table().into()),
    };
    let tokens_first = |x: Tensor<4>| x.swap_dims(1, 2).into();
    let arrays = vec![
        tokens_first(q),
        tokens_first(k),
        tokens_first(v),
        log_decay.swap_dims(1, 2).into(),
        state.into(),
    ];
    let [o, state] = host::run(op, arrays);
    let o = o.reshape([batch, seq, heads, value_dim]).swap_dims(1, 2);
    (o, state.reshape([batch, heads, key_dim, value_dim]))
}

fn portable(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    let ScalarDecayInputs { q, k, v, log_decay, mut state, segments, chunk_size } = inputs;
    let [_, _, seq, _] = q.dims();
    let device = q.device();
    let ids =
        segments.as_ref().filter(|segments| segments.has_resets()).map(|segments| segments.ids(&device));
    let mut outputs = Vec::with_capacity(seq.div_ceil(chunk_size));
    for start in (0..seq).step_by(chunk_size) {
        let len = chunk_size.min(seq - start);
        let piece = |x: &Tensor<4>| x.clone().narrow(2, start, len);
        let (q, k, v) = (piece(&q), piece(&k), piece(&v));
        let ids = ids.as_ref().map(|ids| {
            // The document that the state belongs to, and those of the chunk's tokens.
            let before = ids.clone().narrow(1, start.saturating_sub(1), 1).unsqueeze_dims::<4>(&[1, 3]);
            (before, ids.clone().narrow(1, start, len).unsqueeze_dims::<4>(&[1, 3]))
        });

        let scores = q.clone().matmul(k.clone().swap_dims(2, 3));
        let future = Tensor::<2, Bool>::tril_mask([len, len], 0, &device).unsqueeze::<4>();
        let future = match &ids {
            None => future,
            Some((_, ids)) => future.bool_or(ids.clone().not_equal(ids.clone().swap_dims(2, 3))),
        };
        // From the state to each token, and from each token to the end of the chunk.
        let (mut weights, mut from_state, mut to_end, mut through) = (scores, None, None, None);
        if let Some(log_decay) = &log_decay {
            // `[batch, heads, len, 1]`, the sum over the chunk up to each token.
            let log_decay = log_decay.clone().narrow(2, start, len).clamp_min(LEAST_LOG_DECAY);
            let sums = cumulative(log_decay).unsqueeze_dim::<4>(3);
            let between = sums.clone() - sums.clone().swap_dims(2, 3);
            weights = weights * between.mask_fill(future.clone(), f32::NEG_INFINITY).exp();
            let all = sums.clone().narrow(2, len - 1, 1);
            to_end = Some((all.clone() - sums.clone()).exp());
            from_state = Some(sums.exp());
            through = Some(all.exp());
        } else {
            weights = weights.mask_fill(future, 0.0);
        }
        if let Some((before, ids)) = ids {
            let dtype = q.dtype();
            let end = ids.clone().narrow(2, len - 1, 1);
            times(&mut from_state, ids.clone().equal(before.clone()).float().cast(dtype));
            times(&mut to_end, ids.equal(end.clone()).float().cast(dtype));
            times(&mut through, end.equal(before).float().cast(dtype));
        }
        let scaled = |x: Tensor<4>, by: Option<Tensor<4>>| match by {
            Some(by) => x * by,
            None => x,
        };
        let inside = weights.matmul(v.clone());
        outputs.push(inside + scaled(q, from_state).matmul(state.clone()));
        state = scaled(state, through) + scaled(k, to_end).swap_dims(2, 3).matmul(v);
    }
    (Tensor::cat(outputs, 2), state)
}

/// e⁻⁴⁰ is nothing beside 1 in any float type; larger sums would drown the decays of the tokens that follow.
const LEAST_LOG_DECAY: f64 = -40.0;

fn times(factor: &mut Option<Tensor<4>>, by: Tensor<4>) {
    *factor = Some(match factor.take() {
        Some(factor) => factor * by,
        None => by,
    });
}

/// Inclusive sums over the last axis, as a product with a triangle: a `cumsum` reads quadratically on GPUs.
fn cumulative(x: Tensor<3>) -> Tensor<3> {
    let [_, _, len] = x.dims();
    let triangle = Tensor::<2>::ones([len, len], (&x.device(), x.dtype())).triu(0);
    x.matmul(triangle.unsqueeze())
}

/// The recurrence as written, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree.
pub fn scalar_decay_reference(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    inputs.check();
    let inputs = inputs.without_padding().with_a_key_head_each();
    let [_, _, seq, _] = inputs.q.dims();
    let survival =
        inputs.segments.as_ref().map(|segments| segments.survival(&inputs.q.device()).cast(inputs.q.dtype()));
    let mut state = inputs.state;
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        let at = |x: &Tensor<4>| x.clone().narrow(2, t, 1);
        if let Some(log_decay) = &inputs.log_decay {
            state = state * log_decay.clone().narrow(2, t, 1).exp().unsqueeze_dim(3);
        }
        if let Some(survival) = &survival {
            state = state * survival.clone().narrow(1, t, 1).unsqueeze_dims::<4>(&[2, 3]);
        }
        state = state + at(&inputs.k).swap_dims(2, 3).matmul(at(&inputs.v));
        outputs.push(at(&inputs.q).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}
