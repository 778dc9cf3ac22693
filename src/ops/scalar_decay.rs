//! The matrix-valued recurrence with one decay for a head and a token.

use burn::tensor::{Tensor, assert_shape};

use super::Segments;
use super::chunks::{ChunkDecays, documents, for_every_head, scaled};
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// What a [`scalar_decay`] runs on.
///
/// One recurrence for linear attention (no decay), retention (a fixed decay for each head) and state-space
/// duality (`log_decay = Δ A`, `dt = Δ`, `k = B`, `q = C`, `v = x`).
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
    /// `[batch, heads, seq]`: how much of `v` is written; `None`: all of it.
    pub dt: Option<Tensor<3>>,
    /// `[heads]`: how much of `v` is said at once, past the state; `None`: nothing.
    pub d: Option<Tensor<1>>,
    /// `[batch, heads, key_dim, value_dim]`: the state before the first token.
    pub state: Tensor<4>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
    /// Tokens handled at once by the chunked form; on GPUs the kernel has chunks of its own.
    pub chunk_size: usize,
}

impl ScalarDecayInputs {
    fn check(&self) {
        let [batch, groups, seq, key_dim] = self.q.dims();
        expect_tokens("scalar_decay", [batch, seq]);
        let [_, heads, _, value_dim] = self.v.dims();
        let Self { q: _, k, v, state, segments, chunk_size, log_decay, dt, d } = self;
        assert_shape!(k, [batch, groups, seq, key_dim]);
        assert_eq!(heads % groups, 0, "scalar_decay: {groups} groups must divide {heads} heads");
        assert_shape!(v, [batch, heads, seq, value_dim]);
        assert_shape!(state, [batch, heads, key_dim, value_dim]);
        if let Some(log_decay) = log_decay {
            assert_shape!(log_decay, [_, heads, _]);
        }
        if let Some(dt) = dt {
            assert_shape!(dt, [batch, heads, seq]);
        }
        if let Some(d) = d {
            assert_shape!(d, [heads]);
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
        if let Some(segments) = &self.segments {
            self.k = segments.silenced(self.k, 2);
            self.log_decay = self.log_decay.map(|decay| segments.silenced(decay, 2));
        }
        self
    }

    /// The same without `dt`, without `d`, and with queries and keys repeated for every head; and what `d` adds to the
    /// output.
    fn plain(mut self) -> (Self, Option<Tensor<4>>) {
        let [_, heads, _, _] = self.v.dims();
        self.q = for_every_head(self.q, heads);
        self.k = for_every_head(self.k, heads);
        let skipped = self.d.take().map(|d| self.v.clone() * d.reshape([1, heads, 1, 1]));
        if let Some(dt) = self.dt.take() {
            self.v = self.v * dt.unsqueeze_dim(3);
        }
        (self, skipped)
    }
}

/// Runs the recurrence
///
/// ```text
/// S_t = a_t S_{t-1} + dt_t k_t v_tᵀ        o_t = S_tᵀ q_t + d v_t        a_t = exp(log_decay_t)
/// ```
///
/// and returns `o [batch, heads, seq, value_dim]` and the last state.
///
/// Chunked: within a chunk of `chunk_size` tokens as masked attention, between chunks through the state, so time
/// is `seq · (chunk_size + key_dim) · value_dim` and memory `seq · chunk_size` for each head. On GPUs it runs as a
/// [`vector_decay`](super::vector_decay()) whose decays are all alike.
///
/// # Panics
///
/// If the shapes do not agree, there is no row or no token, or `chunk_size` is 0.
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
    #[cfg(feature = "_gpu")]
    let on_gpu = implementation.is_fused_on_gpu(&inputs.q);
    #[cfg(not(feature = "_gpu"))]
    let _ = implementation;
    let (inputs, skipped) = inputs.plain();
    #[cfg(feature = "_gpu")]
    if on_gpu {
        let (o, state) = fused_on_gpu(inputs);
        return (add(o, skipped), state);
    }
    let (o, state) = portable(inputs);
    (add(o, skipped), state)
}

fn add(o: Tensor<4>, skipped: Option<Tensor<4>>) -> Tensor<4> {
    skipped.into_iter().fold(o, |o, skipped| o + skipped)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    use super::chunks::fused::{chunks, outputs, tokens_first};
    use crate::kernels::cpu::scalar_decay::ScalarDecay;
    use crate::kernels::host::{self, HostInput};
    let ScalarDecayInputs { q, k, v, log_decay, dt, d, state, segments, chunk_size } = inputs;
    let [batch, heads, seq, value_dim] = v.dims();
    let [_, _, _, key_dim] = q.dims();
    let log_decay = log_decay.unwrap_or_else(|| Tensor::zeros([batch, heads, seq], (&v.device(), v.dtype())));
    let op = ScalarDecay { chunks: chunks(chunk_size, segments), scaled: dt.is_some(), skips: d.is_some() };
    let mut arrays =
        vec![tokens_first(q), tokens_first(k), tokens_first(v), tokens_first(log_decay), state.into()];
    arrays.extend(dt.map(tokens_first));
    arrays.extend(d.map(HostInput::from));
    outputs(host::run(op, arrays), [batch, heads, seq, value_dim], key_dim)
}

/// With the same decay for all key elements, of inputs without padding and as [`ScalarDecayInputs::plain`] leaves them.
#[cfg(feature = "_gpu")]
fn fused_on_gpu(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    use super::vector_decay::{self, VectorDecayInputs, without_documents};
    let ScalarDecayInputs { q, k, v, log_decay, state, segments, chunk_size, .. } = inputs;
    let log_decay = match log_decay {
        Some(log_decay) => log_decay.unsqueeze_dim::<4>(3),
        None => Tensor::zeros([1, 1, 1, 1], (&k.device(), k.dtype())),
    };
    let log_decay = without_documents(log_decay.expand(k.dims()), segments.as_ref());
    vector_decay::fused_on_gpu(VectorDecayInputs { q, k, v, log_decay, state, segments, chunk_size })
}

fn portable(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    let ScalarDecayInputs { q, k, v, log_decay, mut state, segments, chunk_size, .. } = inputs;
    let [_, _, seq, _] = q.dims();
    let ids = documents(segments.as_ref(), &q.device());
    let mut outputs = Vec::with_capacity(seq.div_ceil(chunk_size));
    for start in (0..seq).step_by(chunk_size) {
        let len = chunk_size.min(seq - start);
        let piece = |x: &Tensor<4>| x.clone().narrow(2, start, len);
        let (q, k, v) = (piece(&q), piece(&k), piece(&v));
        let decays = ChunkDecays::new(log_decay.as_ref(), ids.as_ref(), [start, len], &q);
        let weights = decays.weigh(q.clone().matmul(k.clone().swap_dims(2, 3)));
        let inside = weights.matmul(v.clone());
        outputs.push(inside + scaled(q, decays.from_state).matmul(state.clone()));
        state = scaled(state, decays.through) + scaled(k, decays.to_end).swap_dims(2, 3).matmul(v);
    }
    (Tensor::cat(outputs, 2), state)
}

/// The recurrence as written, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn scalar_decay_reference(inputs: ScalarDecayInputs) -> (Tensor<4>, Tensor<4>) {
    inputs.check();
    let (inputs, skipped) = inputs.without_padding().plain();
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
    (add(Tensor::cat(outputs, 2), skipped), state)
}
