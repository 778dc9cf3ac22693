//! The selective scan of Mamba: a diagonal recurrence whose step size, input and output depend on the token.

use burn::tensor::{Tensor, assert_shape};

use super::doubling::doubling;
use super::segments::expect_tokens;
use super::{Segments, silu};
use crate::kernels::Implementation;

/// What a [`selective_scan`] runs on.
///
/// `d_inner` channels, each with `d_state` states of its own.
#[derive(Clone, Debug)]
pub struct SelectiveScanInputs {
    /// `[batch, seq, d_inner]`: what is written.
    pub u: Tensor<3>,
    /// `[batch, seq, d_inner]`: step sizes Δ, not negative.
    pub delta: Tensor<3>,
    /// `[d_inner, d_state]`: A, negative.
    pub a: Tensor<2>,
    /// `[batch, seq, d_state]`: B, where a token writes.
    pub b: Tensor<3>,
    /// `[batch, seq, d_state]`: C, where a token reads.
    pub c: Tensor<3>,
    /// `[d_inner]`: D, how much of `u` is said at once, past the state; `None`: nothing.
    pub d: Option<Tensor<1>>,
    /// `[batch, seq, d_inner]`: the output is multiplied by `silu(z)`; `None`: by nothing.
    pub z: Option<Tensor<3>>,
    /// `[batch, d_inner, d_state]`: the state before the first token.
    pub state: Tensor<3>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
}

impl SelectiveScanInputs {
    fn dims(&self) -> [usize; 4] {
        let [batch, seq, d_inner] = self.u.dims();
        let [_, d_state] = self.a.dims();
        [batch, seq, d_inner, d_state]
    }

    fn check(&self) {
        let Self { u: _, delta, a, b, c, d, z, state, segments } = self;
        let [batch, seq, d_inner, d_state] = self.dims();
        expect_tokens("selective_scan", [batch, seq]);
        assert_shape!(delta, [batch, seq, d_inner]);
        assert_shape!(a, [d_inner, d_state]);
        assert_shape!(b, [batch, seq, d_state]);
        assert_shape!(c, [batch, seq, d_state]);
        if let Some(d) = d {
            assert_shape!(d, [d_inner]);
        }
        if let Some(z) = z {
            assert_shape!(z, [batch, seq, d_inner]);
        }
        assert_shape!(state, [batch, d_inner, d_state]);
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
    }

    /// Δ with 0 at padding: such a token neither writes nor decays.
    fn masked_delta(&self) -> Tensor<3> {
        match &self.segments {
            Some(segments) => segments.silenced(self.delta.clone(), 1),
            None => self.delta.clone(),
        }
    }

    /// `[batch, seq, 1, 1]`, 0 where a document begins and 1 elsewhere; `None` where none does.
    fn survival(&self) -> Option<Tensor<4>> {
        let segments = self.segments.as_ref().filter(|segments| segments.has_resets())?;
        Some(segments.survival(&self.u.device()).cast(self.u.dtype()).unsqueeze_dims(&[2, 3]))
    }
}

/// Runs the recurrence
///
/// ```text
/// h_t = exp(Δ_t A) ⊙ h_{t-1} + (Δ_t u_t) B_tᵀ        y_t = (h_t C_t + D ⊙ u_t) ⊙ silu(z_t)
/// ```
///
/// and returns `y [batch, seq, d_inner]` and the state after the last token, `[batch, d_inner, d_state]`.
///
/// Time is linear in `seq`. The fused kernel keeps nothing of size `seq × d_inner × d_state`; the portable
/// form materialises it a chunk of 16 tokens at a time.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
///
/// # Source
///
/// arXiv 2312.00752, algorithm 2 and equation 2; A is discretised by zero-order hold, B by Euler's rule, as in
/// the authors' code.
pub fn selective_scan(inputs: SelectiveScanInputs, implementation: Implementation) -> (Tensor<3>, Tensor<3>) {
    inputs.check();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.u) {
        return fused(inputs);
    }
    #[cfg(feature = "_gpu")]
    if implementation.is_fused_on_gpu(&inputs.u) {
        return fused_on_gpu(inputs);
    }
    let _ = implementation;
    let around = Around::of(&inputs);
    let (y, state) = portable(inputs);
    (around.apply(y), state)
}

/// What is done to the output of the recurrence.
struct Around {
    /// `D ⊙ u`.
    skipped: Option<Tensor<3>>,
    z: Option<Tensor<3>>,
}

impl Around {
    fn of(inputs: &SelectiveScanInputs) -> Self {
        let skipped = inputs.d.clone().map(|d| inputs.u.clone() * d.unsqueeze());
        Self { skipped, z: inputs.z.clone() }
    }

    fn apply(self, y: Tensor<3>) -> Tensor<3> {
        let y = self.skipped.into_iter().fold(y, |y, skipped| y + skipped);
        self.z.into_iter().fold(y, |y, z| y * silu(z))
    }
}

/// The recurrence as the paper writes it, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn selective_scan_reference(inputs: SelectiveScanInputs) -> (Tensor<3>, Tensor<3>) {
    inputs.check();
    let around = Around::of(&inputs);
    let [_, seq, ..] = inputs.dims();
    let delta = inputs.masked_delta().unsqueeze_dim::<4>(3);
    let decay = (delta.clone() * inputs.a.clone().unsqueeze()).exp();
    let decay = inputs.survival().into_iter().fold(decay, |decay, survival| decay * survival);
    let write = delta * inputs.u.unsqueeze_dim(3) * inputs.b.unsqueeze_dim(2);
    let mut state = inputs.state;
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        let at = |x: &Tensor<4>| x.clone().narrow(1, t, 1).squeeze_dim::<3>(1);
        state = at(&decay) * state + at(&write);
        outputs.push(read(state.clone().unsqueeze_dim(1), inputs.c.clone().narrow(1, t, 1)));
    }
    (around.apply(Tensor::cat(outputs, 1)), state)
}

/// `[batch, seq, d_inner]`: every channel's states `[batch, seq, d_inner, d_state]`, weighed by `c [batch, seq, d_state]`.
///
/// Not a matrix product, which has one column: GPUs' refuse it when `d_inner` and `d_state` are 1.
fn read(h: Tensor<4>, c: Tensor<3>) -> Tensor<3> {
    (h * c.unsqueeze_dim(2)).sum_dim(3).squeeze_dim(3)
}

/// Tokens that the portable form handles at once.
const CHUNK: usize = 16;

/// Within a chunk, an inclusive scan by doubling over pairs (decay, write); between chunks, the state.
fn portable(inputs: SelectiveScanInputs) -> (Tensor<3>, Tensor<3>) {
    let [_, seq, ..] = inputs.dims();
    let delta = inputs.masked_delta();
    let survival = inputs.survival();
    let SelectiveScanInputs { u, a, b, c, mut state, .. } = inputs;
    let write = delta.clone() * u;
    let mut outputs = Vec::with_capacity(seq.div_ceil(CHUNK));
    for start in (0..seq).step_by(CHUNK) {
        let len = CHUNK.min(seq - start);
        let piece = |x: &Tensor<3>| x.clone().narrow(1, start, len);
        let mut decay = (piece(&delta).unsqueeze_dim::<4>(3) * a.clone().unsqueeze()).exp();
        if let Some(survival) = &survival {
            decay = decay * survival.clone().narrow(1, start, len);
        }
        let (decay, h) = doubling(decay, piece(&write).unsqueeze_dim::<4>(3) * piece(&b).unsqueeze_dim(2));
        let h = h + decay * state.unsqueeze_dim(1);
        outputs.push(read(h.clone(), piece(&c)));
        state = h.narrow(1, len - 1, 1).squeeze_dim(1);
    }
    (Tensor::cat(outputs, 1), state)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: SelectiveScanInputs) -> (Tensor<3>, Tensor<3>) {
    use crate::kernels::cpu::selective_scan::SelectiveScan;
    use crate::kernels::host::{self, HostInput};
    let [batch, seq, d_inner, d_state] = inputs.dims();
    let SelectiveScanInputs { u, delta, a, b, c, d, z, state, segments } = inputs;
    let op = SelectiveScan { segments, skips: d.is_some(), gated: z.is_some() };
    let mut arrays = vec![u.into(), delta.into(), a.into(), b.into(), c.into(), state.into()];
    arrays.extend(d.map(HostInput::from));
    arrays.extend(z.map(HostInput::from));
    let [y, state] = host::run(op, arrays);
    (y.reshape([batch, seq, d_inner]), state.reshape([batch, d_inner, d_state]))
}

#[cfg(feature = "_gpu")]
fn fused_on_gpu(inputs: SelectiveScanInputs) -> (Tensor<3>, Tensor<3>) {
    use crate::kernels::gpu::{op, selective_scan::SelectiveScan};
    let around = Around::of(&inputs);
    let [batch, seq, ..] = inputs.dims();
    let survival = match inputs.survival() {
        Some(survival) => survival.reshape([batch, seq]),
        None => Tensor::<2>::ones([1, 1], (&inputs.u.device(), inputs.u.dtype())).expand([batch, seq]),
    };
    let delta = inputs.masked_delta().into_dispatch();
    let SelectiveScanInputs { u, a, b, c, state, .. } = inputs;
    let [u, b, c, state] = [u, b, c, state].map(Tensor::into_dispatch);
    let inputs = vec![u, delta, a.into_dispatch(), b, c, state, survival.into_dispatch()];
    let [y, state] = op::run(SelectiveScan, inputs);
    (around.apply(Tensor::from_dispatch(y)), Tensor::from_dispatch(state))
}
