//! The matrix-valued recurrence with a decay for each key element.

use burn::tensor::{Bool, Tensor, TensorData, assert_shape};

use super::Segments;
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// What a [`vector_decay`] runs on.
///
/// One recurrence for gated linear attention and its relatives: HGRN2 (`k = 1 − α`), and what RWKV-6 does before its
/// bonus.
#[derive(Clone, Debug)]
pub struct VectorDecayInputs {
    /// `[batch, heads, seq, key_dim]`: where a token reads.
    pub q: Tensor<4>,
    /// `[batch, heads, seq, key_dim]`: where a token writes.
    pub k: Tensor<4>,
    /// `[batch, heads, seq, value_dim]`: what is written.
    pub v: Tensor<4>,
    /// `[batch, heads, seq, key_dim]`, or with 1 for `batch` and `seq`: the logarithm of the decay, not positive; −∞
    /// forgets.
    pub log_decay: Tensor<4>,
    /// `[batch, heads, key_dim, value_dim]`: the state before the first token.
    pub state: Tensor<4>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
    /// Tokens handled at once by the chunked form; on GPUs the kernel has chunks of its own.
    pub chunk_size: usize,
}

impl VectorDecayInputs {
    fn check(&self) {
        let [batch, heads, seq, key_dim] = self.q.dims();
        expect_tokens("vector_decay", [batch, seq]);
        let [_, _, _, value_dim] = self.v.dims();
        let Self { q: _, k, v, log_decay, state, segments, chunk_size } = self;
        assert_shape!(k, [batch, heads, seq, key_dim]);
        assert_shape!(v, [batch, heads, seq, value_dim]);
        assert_shape!(log_decay, [_, heads, _, key_dim]);
        assert_shape!(state, [batch, heads, key_dim, value_dim]);
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
        assert!(*chunk_size > 0, "vector_decay: chunk_size must be at least 1, got 0");
    }

    /// Keys and log-decays as if there were no padding: there a token writes nothing and decays nothing.
    fn without_padding(mut self) -> Self {
        self.log_decay = self.log_decay.expand(self.k.dims());
        if let Some(segments) = &self.segments {
            self.k = segments.silenced(self.k, 2);
            self.log_decay = segments.silenced(self.log_decay, 2);
        }
        self
    }
}

/// Log-decays `[batch, heads, seq, key_dim]` as if there were one document: where another begins, a token forgets everything.
pub(super) fn without_documents(log_decay: Tensor<4>, segments: Option<&Segments>) -> Tensor<4> {
    match segments.filter(|segments| segments.has_resets()) {
        Some(segments) => {
            let begins = per_key(segments.survival(&log_decay.device()).equal_elem(0.0), &log_decay);
            log_decay.mask_fill(begins, FORGETS)
        }
        None => log_decay,
    }
}

/// `[batch, seq]` for every head and key element.
fn per_key(mask: Tensor<2, Bool>, like: &Tensor<4>) -> Tensor<4, Bool> {
    mask.unsqueeze_dims::<4>(&[1, 3]).expand(like.dims())
}

/// e⁻¹⁰⁰⁰ is 0 in every float type, and sums of such logarithms stay finite.
const FORGETS: f64 = -1000.0;

/// Runs the recurrence
///
/// ```text
/// S_t = Diag(α_t) S_{t-1} + k_t v_tᵀ        o_t = S_tᵀ q_t        α_t = exp(log_decay_t)
/// ```
///
/// and returns `o [batch, heads, seq, value_dim]` and the last state.
///
/// In blocks of 16 tokens, the secondary chunks of the source: within a block token by token for each key element, around
/// it with matrix products, so time is `seq · (key_dim · value_dim + 16 · (key_dim + value_dim))` for each head. No
/// exponential of a positive number is taken, so decays may be as strong as they like: −∞ is exact, in gradients too.
/// The fused form keeps a state every `chunk_size` tokens and makes the others again; the portable form runs the blocks
/// of a chunk side by side. The form for GPUs goes token by token for each number of a state, chunks side by side.
///
/// # Panics
///
/// If the shapes do not agree, there is no row or no token, or `chunk_size` is 0.
///
/// # Source
///
/// arXiv 2312.06635, sections 4.1 to 4.3.
pub fn vector_decay(inputs: VectorDecayInputs, implementation: Implementation) -> (Tensor<4>, Tensor<4>) {
    inputs.check();
    let mut inputs = inputs.without_padding();
    inputs.log_decay = without_documents(inputs.log_decay, inputs.segments.as_ref());
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.q) {
        return fused(inputs);
    }
    #[cfg(feature = "_gpu")]
    if implementation.is_fused_on_gpu(&inputs.q) {
        return fused_on_gpu(inputs);
    }
    let _ = implementation;
    portable(inputs)
}

/// Layout `[batch, seq, heads, dim]`, as projections leave it: where the caller swapped axes, nothing is copied.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: VectorDecayInputs) -> (Tensor<4>, Tensor<4>) {
    use crate::kernels::{cpu, host};
    let VectorDecayInputs { q, k, v, log_decay, state, chunk_size, segments: _ } = inputs;
    let ([batch, heads, seq, value_dim], state_dims) = (v.dims(), state.dims());
    let tokens_first = |x: Tensor<4>| x.swap_dims(1, 2).into();
    let arrays =
        vec![tokens_first(q), tokens_first(k), tokens_first(v), tokens_first(log_decay), state.into()];
    let [o, state] = host::run(cpu::vector_decay::VectorDecay { chunk_size }, arrays);
    (o.reshape([batch, seq, heads, value_dim]).swap_dims(1, 2), state.reshape(state_dims))
}

/// Of inputs without padding and documents. Layout `[batch, seq, heads, dim]`, as of [`fused`].
#[cfg(feature = "_gpu")]
pub(super) fn fused_on_gpu(inputs: VectorDecayInputs) -> (Tensor<4>, Tensor<4>) {
    use crate::kernels::gpu::{op, vector_decay::VectorDecay};
    let VectorDecayInputs { q, k, v, log_decay, state, segments: _, chunk_size: _ } = inputs;
    let [q, k, v, log_decay] = [q, k, v, log_decay].map(|x| x.swap_dims(1, 2).into_dispatch());
    let [o, state] = op::run(VectorDecay, vec![q, k, v, log_decay, state.into_dispatch()]);
    (Tensor::from_dispatch(o).swap_dims(1, 2), Tensor::from_dispatch(state))
}

/// Tokens of a block of the portable form.
const BLOCK: usize = 16;

/// Two levels of the same: from token to token within a block, from block to block within a chunk.
fn portable(inputs: VectorDecayInputs) -> (Tensor<4>, Tensor<4>) {
    let VectorDecayInputs { q, k, v, log_decay, mut state, chunk_size, segments: _ } = inputs;
    let ([batch, heads, seq, value_dim], [_, _, key_dim, _]) = (v.dims(), state.dims());
    let log_decay = log_decay.clamp_min(FORGETS);
    let mut outputs = Vec::with_capacity(seq.div_ceil(chunk_size));
    for start in (0..seq).step_by(chunk_size) {
        let len = chunk_size.min(seq - start);
        let block = BLOCK.min(len);
        let n_blocks = len.div_ceil(block);
        let (rows, all) = (batch * heads, batch * heads * n_blocks);
        // `[all, block, dim]`; zeros after the last token write nothing and decay nothing.
        let pieces = |x: &Tensor<4>| {
            let [_, _, _, dim] = x.dims();
            let (piece, missing) = (x.clone().narrow(2, start, len), n_blocks * block - len);
            let zeros = Tensor::zeros([batch, heads, missing, dim], (&x.device(), x.dtype()));
            let piece = if missing > 0 { Tensor::cat(vec![piece, zeros], 2) } else { piece };
            piece.reshape([all, block, dim])
        };
        let (q, k, v, log_decay) = (pieces(&q), pieces(&k), pieces(&v), pieces(&log_decay));

        let decays = decays(log_decay.clone());
        let part = |to: [usize; 2], from: [usize; 2]| {
            decays.clone().narrow(1, to[0], to[1]).narrow(2, from[0], from[1])
        };
        let (from_start, to_end) = (part([1, block], [0, 1]), part([block, 1], [1, block]));
        let within = part([1, block], [1, block]);
        let weights = q.clone().unsqueeze_dim::<4>(2) * within * k.clone().unsqueeze_dim::<4>(1);
        let inside = weights.sum_dim(3).squeeze_dim::<3>(3).matmul(v.clone());

        // The state before the chunk, what each block writes, and so the state before each block and after the last.
        let written = (k * to_end.squeeze_dim(1)).swap_dims(1, 2).matmul(v);
        let first = state.reshape([rows, 1, key_dim, value_dim]);
        let written = Tensor::cat(vec![first, written.reshape([rows, n_blocks, key_dim, value_dim])], 1);
        let through = self::decays(log_decay.sum_dim(1).reshape([rows, n_blocks, key_dim]));
        let states = through.permute([0, 3, 1, 2]).matmul(written.swap_dims(1, 2)).swap_dims(1, 2);
        let before = states.clone().narrow(1, 0, n_blocks).reshape([all, key_dim, value_dim]);
        let o = inside + (q * from_start.squeeze_dim(2)).matmul(before);
        outputs.push(o.reshape([batch, heads, n_blocks * block, value_dim]).narrow(2, 0, len));
        state = states.narrow(1, n_blocks, 1).reshape([batch, heads, key_dim, value_dim]);
    }
    (Tensor::cat(outputs, 2), state)
}

/// `[rows, len, dim]` to `[rows, len + 1, len + 1, dim]`: at `[i, j]` the decay of what stood before token `j` when it
/// stands before token `i`, `exp(log_decay_j + … + log_decay_{i−1})`; 0 where `j > i`.
///
/// Each sum is had on its own, as a product with zeros and ones, and never as the difference of two: it loses no digits to
/// strong decays beside it.
fn decays(log_decay: Tensor<3>) -> Tensor<4> {
    let [rows, len, dim] = log_decay.dims();
    let (device, dtype, side) = (log_decay.device(), log_decay.dtype(), len + 1);
    let pairs = || (0..side * side).map(|pair| (pair / side, pair % side));
    let between: Vec<f32> = pairs()
        .flat_map(|(i, j)| (0..len).map(move |t| if (j..i).contains(&t) { 1.0 } else { 0.0 }))
        .collect();
    let between = Tensor::<2>::from_data(TensorData::new(between, [side * side, len]), (&device, dtype));
    let backwards: Vec<bool> = pairs().map(|(i, j)| j > i).collect();
    let backwards = Tensor::<4, Bool>::from_data(TensorData::new(backwards, [1, side, side, 1]), &device);
    let sums = between.unsqueeze::<3>().matmul(log_decay).reshape([rows, side, side, dim]);
    sums.exp().mask_fill(backwards.expand([rows, side, side, dim]), 0.0)
}

/// The recurrence as written, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn vector_decay_reference(inputs: VectorDecayInputs) -> (Tensor<4>, Tensor<4>) {
    inputs.check();
    let inputs = inputs.without_padding();
    let [_, _, seq, _] = inputs.q.dims();
    let survival =
        inputs.segments.as_ref().map(|segments| segments.survival(&inputs.q.device()).cast(inputs.q.dtype()));
    let mut state = inputs.state;
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        let at = |x: &Tensor<4>| x.clone().narrow(2, t, 1);
        state = state * at(&inputs.log_decay).exp().swap_dims(2, 3);
        if let Some(survival) = &survival {
            state = state * survival.clone().narrow(1, t, 1).unsqueeze_dims::<4>(&[2, 3]);
        }
        state = state + at(&inputs.k).swap_dims(2, 3).matmul(at(&inputs.v));
        outputs.push(at(&inputs.q).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}
