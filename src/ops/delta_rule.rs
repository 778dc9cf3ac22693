//! The delta rule: a matrix state whose keys are overwritten, not added to.

use burn::tensor::{Tensor, assert_shape};

use super::Segments;
use super::chunks::{ChunkDecays, documents, for_every_head, scaled};
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// What a [`delta_rule`] runs on.
///
/// One recurrence for DeltaNet (no decay) and Gated DeltaNet.
#[derive(Clone, Debug)]
pub struct DeltaRuleInputs {
    /// `[batch, groups, seq, key_dim]`: where a token reads; `groups` divides `heads`, and head `h` reads group
    /// `h · groups / heads`.
    pub q: Tensor<4>,
    /// `[batch, groups, seq, key_dim]`: where a token writes. With `beta` in \[0, 2\] the state stays bounded if keys
    /// are no longer than 1.
    pub k: Tensor<4>,
    /// `[batch, heads, seq, value_dim]`: what is written.
    pub v: Tensor<4>,
    /// `[batch, heads, seq]`: β, how far what is stored under a key moves towards the token's value. 0 changes nothing;
    /// 1 replaces it, where the key's length is 1.
    pub beta: Tensor<3>,
    /// `[batch, heads, seq]`, or with 1 for `batch` and `seq`: the logarithm of the decay, not positive; `None`:
    /// nothing decays.
    pub log_decay: Option<Tensor<3>>,
    /// `[batch, heads, key_dim, value_dim]`: the state before the first token.
    pub state: Tensor<4>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
    /// Tokens handled at once by the chunked form; on GPUs the kernel has chunks of its own.
    pub chunk_size: usize,
}

impl DeltaRuleInputs {
    fn check(&self) {
        let [batch, groups, seq, key_dim] = self.q.dims();
        expect_tokens("delta_rule", [batch, seq]);
        let [_, heads, _, value_dim] = self.v.dims();
        let Self { q: _, k, v, beta, log_decay, state, segments, chunk_size } = self;
        assert_shape!(k, [batch, groups, seq, key_dim]);
        assert_eq!(heads % groups, 0, "delta_rule: {groups} groups must divide {heads} heads");
        assert_shape!(v, [batch, heads, seq, value_dim]);
        assert_shape!(beta, [batch, heads, seq]);
        assert_shape!(state, [batch, heads, key_dim, value_dim]);
        if let Some(log_decay) = log_decay {
            assert_shape!(log_decay, [_, heads, _]);
        }
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
        assert!(*chunk_size > 0, "delta_rule: chunk_size must be at least 1, got 0");
    }

    /// β and log-decays as if there were no padding: there a token writes nothing and decays nothing.
    fn without_padding(mut self) -> Self {
        let dims = self.beta.dims();
        self.log_decay = self.log_decay.map(|decay| decay.expand(dims));
        if let Some(segments) = &self.segments {
            self.beta = segments.silenced(self.beta, 2);
            self.log_decay = self.log_decay.map(|decay| segments.silenced(decay, 2));
        }
        self
    }

    /// Queries and keys repeated for every head.
    fn with_a_key_head_each(mut self) -> Self {
        let [_, heads, _, _] = self.v.dims();
        self.q = for_every_head(self.q, heads);
        self.k = for_every_head(self.k, heads);
        self
    }
}

/// Runs the recurrence
///
/// ```text
/// S ← a_t S_{t-1}        S_t = S + β_t k_t (v_t − Sᵀ k_t)ᵀ        o_t = S_tᵀ q_t        a_t = exp(log_decay_t)
/// ```
///
/// that is, `S_t = a_t (I − β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ`, and returns `o [batch, heads, seq, value_dim]` and
/// the last state.
///
/// Chunked: what the tokens of a chunk write, `u_t = β_t (v_t − Sᵀ k_t)`, solves a unit lower-triangular system; the
/// rest is masked attention with `u` for values. Time is `seq · (chunk_size + key_dim) · value_dim` and memory
/// `seq · chunk_size` for each head. The fused kernel solves the system by substitution; the portable form inverts its
/// matrix. On GPUs nothing is solved: each value's column of the state goes through all tokens, beside the others.
///
/// # Panics
///
/// If the shapes do not agree, there is no row or no token, or `chunk_size` is 0.
///
/// # Source
///
/// arXiv 2406.06484, section 3 (the chunks); with decay arXiv 2412.06464, equation 10.
pub fn delta_rule(inputs: DeltaRuleInputs, implementation: Implementation) -> (Tensor<4>, Tensor<4>) {
    inputs.check();
    let inputs = inputs.without_padding();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.q) {
        return fused(inputs);
    }
    #[cfg(feature = "_gpu")]
    if implementation.is_fused_on_gpu(&inputs.q) {
        return fused_on_gpu(inputs.with_a_key_head_each());
    }
    let _ = implementation;
    portable(inputs.with_a_key_head_each())
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: DeltaRuleInputs) -> (Tensor<4>, Tensor<4>) {
    use super::chunks::fused::{chunks, outputs, tokens_first};
    use crate::kernels::{cpu::delta_rule::DeltaRule, host};
    let DeltaRuleInputs { q, k, v, beta, log_decay, state, segments, chunk_size } = inputs;
    let (values, [_, _, _, key_dim]) = (v.dims(), q.dims());
    let log_decay = log_decay.unwrap_or_else(|| beta.zeros_like());
    let arrays = vec![
        tokens_first(q),
        tokens_first(k),
        tokens_first(v),
        tokens_first(beta),
        tokens_first(log_decay),
        state.into(),
    ];
    outputs(host::run(DeltaRule(chunks(chunk_size, segments)), arrays), values, key_dim)
}

#[cfg(feature = "_gpu")]
fn fused_on_gpu(inputs: DeltaRuleInputs) -> (Tensor<4>, Tensor<4>) {
    use super::vector_decay::without_documents;
    use crate::kernels::gpu::{delta_rule::DeltaRule, op};
    let DeltaRuleInputs { q, k, v, beta, log_decay, state, segments, chunk_size: _ } = inputs;
    let log_decay = log_decay.unwrap_or_else(|| beta.zeros_like()).unsqueeze_dim::<4>(3).expand(k.dims());
    let log_decay = without_documents(log_decay, segments.as_ref());
    let arrays = [q, k, v, log_decay].map(|x| x.swap_dims(1, 2).into_dispatch());
    let beta = beta.swap_dims(1, 2).unsqueeze_dim::<4>(3);
    let arrays = arrays.into_iter().chain([state, beta].map(Tensor::into_dispatch)).collect();
    let [o, state] = op::run(DeltaRule, arrays);
    (Tensor::from_dispatch(o).swap_dims(1, 2), Tensor::from_dispatch(state))
}

fn portable(inputs: DeltaRuleInputs) -> (Tensor<4>, Tensor<4>) {
    let DeltaRuleInputs { q, k, v, beta, log_decay, mut state, segments, chunk_size } = inputs;
    let [_, _, seq, _] = q.dims();
    let beta = beta.unsqueeze_dim::<4>(3);
    let ids = documents(segments.as_ref(), &q.device());
    let mut outputs = Vec::with_capacity(seq.div_ceil(chunk_size));
    for start in (0..seq).step_by(chunk_size) {
        let len = chunk_size.min(seq - start);
        let piece = |x: &Tensor<4>| x.clone().narrow(2, start, len);
        let (q, k, v, beta) = (piece(&q), piece(&k), piece(&v), piece(&beta));
        let decays = ChunkDecays::new(log_decay.as_ref(), ids.as_ref(), [start, len], &q);
        let keys = k.clone().swap_dims(2, 3);

        // u_t + β_t Σ_{j<t} (k_t·k_j) u_j = β_t (v_t − what the state before answers to k_t).
        let overlaps = decays.weigh(k.clone().matmul(keys.clone())) * beta.clone();
        let known = scaled(k.clone(), decays.from_state.clone()).matmul(state.clone());
        let u = inverse_of_one_plus(overlaps).matmul((v - known) * beta);

        let inside = decays.weigh(q.clone().matmul(keys)).matmul(u.clone());
        outputs.push(inside + scaled(q, decays.from_state).matmul(state.clone()));
        state = scaled(state, decays.through) + scaled(k, decays.to_end).swap_dims(2, 3).matmul(u);
    }
    (Tensor::cat(outputs, 2), state)
}

/// `(I + L)⁻¹`, with L what is below the diagonal of `lower [.., len, len]`.
///
/// From the inverses P and R of two neighbouring blocks on the diagonal, that of both is `[[P, 0], [−R B P, R]]`, where
/// B is what L has below P and beside R; blocks double until one is left. A sum of powers of L would need as few
/// products, but where keys repeat, its terms grow like binomial coefficients and cancel.
fn inverse_of_one_plus(lower: Tensor<4>) -> Tensor<4> {
    let [_, _, len, _] = lower.dims();
    let device = lower.device();
    let row = Tensor::arange(0..len as i64, &device).unsqueeze_dims::<4>(&[0, 1, 3]);
    let mut inverse = Tensor::<2>::eye(len, &device).cast(lower.dtype()).unsqueeze::<4>();
    let mut block = 1;
    while block < len {
        let (of, half) = (row.clone().div_scalar(2 * block as i64), row.clone().div_scalar(block as i64));
        let pairs = of.clone().equal(of.swap_dims(2, 3));
        let beside = pairs.bool_and(half.clone().greater(half.swap_dims(2, 3)));
        let between = lower.clone().mask_fill(beside.bool_not(), 0.0);
        inverse = inverse.clone() - inverse.clone().matmul(between).matmul(inverse);
        block *= 2;
    }
    inverse
}

/// The recurrence as written, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn delta_rule_reference(inputs: DeltaRuleInputs) -> (Tensor<4>, Tensor<4>) {
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
        let k = at(&inputs.k);
        let error = at(&inputs.v) - k.clone().matmul(state.clone());
        let beta = inputs.beta.clone().narrow(2, t, 1).unsqueeze_dim(3);
        state = state + k.swap_dims(2, 3).matmul(error * beta);
        outputs.push(at(&inputs.q).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}
