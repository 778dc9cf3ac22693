//! The recurrence of gated vectors: every channel decays by itself, by as much as the token says.

use burn::tensor::{Tensor, assert_shape};

use super::Segments;
use super::doubling::doubling;
use super::gates::Gates;
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// What a [`diagonal_scan`] runs on.
#[derive(Clone, Debug)]
pub struct DiagonalScanInputs {
    /// What every token keeps and writes: `[batch, seq, channels]`.
    pub gates: Gates,
    /// `[batch, channels]`: the state before the first token.
    pub state: Tensor<2>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
}

impl DiagonalScanInputs {
    fn check(&self) {
        let Self { gates, state, segments } = self;
        let [batch, seq, channels] = gates.like().dims();
        expect_tokens("diagonal_scan", [batch, seq]);
        gates.check();
        assert_shape!(state, [batch, channels]);
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
    }

    /// Decays, writes and the state, with documents and padding in them: a document's first token keeps nothing,
    /// padding everything.
    fn open(self) -> ([Tensor<3>; 2], Tensor<2>) {
        let Self { gates, state, segments } = self;
        let [mut log_decay, mut write] = gates.open(segments.as_ref());
        if let Some(segments) = &segments {
            [log_decay, write] = [log_decay, write].map(|x| segments.silenced(x, 1));
        }
        let mut decay = log_decay.exp();
        if let Some(segments) = segments.filter(Segments::has_resets) {
            let survival = segments.survival(&write.device()).cast(decay.dtype());
            decay = decay * survival.unsqueeze_dim(2);
        }
        ([decay, write], state)
    }
}

/// Runs the recurrence
///
/// ```text
/// h_t = a_t ⊙ h_{t-1} + write_t        a_t = exp(log_decay_t)
/// ```
///
/// and returns every `h [batch, seq, channels]` and the last, `[batch, channels]`. The fused kernel opens the
/// [`Gates`] as it goes: decays and writes are never stored.
///
/// Time is linear in `seq`. The portable form takes a number of passes that grows with the logarithm of `seq`.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
///
/// # Source
///
/// arXiv 2402.19427, equation 4; arXiv 2410.01201, section 3.1.
pub fn diagonal_scan(inputs: DiagonalScanInputs, implementation: Implementation) -> (Tensor<3>, Tensor<2>) {
    inputs.check();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(inputs.gates.like()) {
        return with_last(fused(inputs));
    }
    let _ = implementation;
    with_last(portable(inputs))
}

/// The recurrence as written, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn diagonal_scan_reference(inputs: DiagonalScanInputs) -> (Tensor<3>, Tensor<2>) {
    inputs.check();
    let ([decay, write], mut state) = inputs.open();
    let [_, seq, _] = write.dims();
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        let at = |x: &Tensor<3>| x.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
        state = at(&decay) * state + at(&write);
        outputs.push(state.clone().unsqueeze_dim(1));
    }
    (Tensor::cat(outputs, 1), state)
}

fn with_last(h: Tensor<3>) -> (Tensor<3>, Tensor<2>) {
    let [_, seq, _] = h.dims();
    let last = h.clone().narrow(1, seq - 1, 1).squeeze_dim(1);
    (h, last)
}

/// The state before the first token is what a token before it wrote.
fn portable(inputs: DiagonalScanInputs) -> Tensor<3> {
    let ([decay, write], state) = inputs.open();
    let [_, seq, _] = write.dims();
    let state: Tensor<3> = state.unsqueeze_dim(1);
    let decay = Tensor::cat(vec![state.zeros_like(), decay], 1);
    from_nothing(decay, Tensor::cat(vec![state, write], 1)).narrow(1, 1, seq)
}

/// Tokens that are joined by doubling before their chunks are.
const CHUNK: usize = 16;

/// The scan from a state of 0: within all chunks at once, then over their last tokens, in the same way.
///
/// Doubling over the whole sequence would pass over all of it once for every doubling.
fn from_nothing(decay: Tensor<3>, write: Tensor<3>) -> Tensor<3> {
    let [batch, seq, channels] = write.dims();
    if seq <= CHUNK {
        return doubling(decay, write).1;
    }
    let chunks = seq.div_ceil(CHUNK);
    let chunked = |x: Tensor<3>| {
        let rest = Tensor::zeros([batch, chunks * CHUNK - seq, channels], (&x.device(), x.dtype()));
        Tensor::cat(vec![x, rest], 1).reshape([batch * chunks, CHUNK, channels])
    };
    let (decay, h) = doubling(chunked(decay), chunked(write));
    let ends = |x: &Tensor<3>| x.clone().narrow(1, CHUNK - 1, 1).reshape([batch, chunks, channels]);
    let ends = from_nothing(ends(&decay), ends(&h));
    let nothing = Tensor::zeros([batch, 1, channels], (&h.device(), h.dtype()));
    let before = Tensor::cat(vec![nothing, ends.narrow(1, 0, chunks - 1)], 1);
    let h = h + decay * before.reshape([batch * chunks, 1, channels]);
    h.reshape([batch, chunks * CHUNK, channels]).narrow(1, 0, seq)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: DiagonalScanInputs) -> Tensor<3> {
    use crate::kernels::{cpu::diagonal_scan as kernel, host};
    let dims = inputs.gates.like().dims();
    let DiagonalScanInputs { gates, state, segments } = inputs;
    let state = state.into();
    let [h] = match gates {
        Gates::Given { log_decay, write } => {
            let arrays = vec![log_decay.into(), write.into(), state];
            host::run(kernel::DiagonalScan { gates: kernel::Given, segments }, arrays)
        }
        Gates::RgLru { x, recurrent, input, rate, begins } => {
            let arrays = vec![x.into(), recurrent.into(), input.into(), state, rate.into()];
            host::run(kernel::DiagonalScan { gates: kernel::RgLru { begins }, segments }, arrays)
        }
        Gates::MinGru { z, h } => {
            let arrays = vec![z.into(), h.into(), state];
            host::run(kernel::DiagonalScan { gates: kernel::MinGru, segments }, arrays)
        }
    };
    h.reshape(dims)
}
