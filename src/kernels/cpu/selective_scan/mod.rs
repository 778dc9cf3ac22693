//! Selective scan on the CPU: `h ← exp(Δ a) h + Δ u b`, `y = Σₙ c h`, for blocks of channels.
//!
//! A task owns a block of [`LANES`] channels of one row and keeps its states, `d_state × LANES`, in the first
//! level of cache; nothing of size `seq × d_inner × d_state` is ever written. The backward starts from states
//! saved every [`CHUNK`] tokens, recomputes those between, and walks back. Skip and gate are part of it: apart, they
//! would be as many passes over memory again.

mod backward;
mod forward;

use super::lanes::{LANES, Lanes, load, sum, times};
use super::shared::SharedMut;
use super::tokens::{Token, tokens};
use super::vectorised::{Work, vectorised};
use crate::kernels::elementwise::Elementwise;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;

/// Tokens between two saved states.
const CHUNK: usize = 32;

/// Inputs `u, delta [batch, seq, d_inner]`, `a [d_inner, d_state]`, `b, c [batch, seq, d_state]`, `state
/// [batch, d_inner, d_state]`, with `skips` then `d [d_inner]`, with `gated` last `z` as `u`; output
/// `(y + d u) silu(z)` as `u`, then the final state.
#[derive(Clone, Debug)]
pub(crate) struct SelectiveScan {
    pub(crate) segments: Option<Segments>,
    pub(crate) skips: bool,
    pub(crate) gated: bool,
}

impl SelectiveScan {
    fn d(&self) -> Option<usize> {
        self.skips.then_some(6)
    }

    fn z(&self) -> Option<usize> {
        self.gated.then_some(6 + usize::from(self.skips))
    }
}

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    d_inner: usize,
    d_state: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>]) -> Self {
        let [batch, seq, d_inner] = inputs[0].dims.try_into().expect("u has rank 3");
        Self { batch, seq, d_inner, d_state: inputs[2].dims[1] }
    }

    fn blocks(&self) -> usize {
        self.d_inner.div_ceil(LANES)
    }

    fn chunks(&self) -> usize {
        self.seq.div_ceil(CHUNK)
    }

    /// Where the states of a block before a chunk are kept.
    fn kept(&self, row: usize, chunk: usize, block: usize) -> usize {
        ((row * self.chunks() + chunk) * self.blocks() + block) * self.d_state * LANES
    }
}

/// The inputs as a block of channels of one row sees them.
struct Block<'a, F> {
    op: &'a SelectiveScan,
    shape: Shape,
    row: usize,
    first: usize,
    width: usize,
    inputs: &'a [Array<'a, F>],
    tokens: &'a [Token],
}

impl<'a, F: Real> Block<'a, F> {
    fn new(
        op: &'a SelectiveScan,
        shape: Shape,
        row: usize,
        block: usize,
        inputs: &'a [Array<'a, F>],
        tokens: &'a [Token],
    ) -> Self {
        let first = block * LANES;
        Self { op, shape, row, first, width: LANES.min(shape.d_inner - first), inputs, tokens }
    }

    /// Where this block's channels of token `t` lie in an array shaped like `u`.
    #[inline(always)]
    fn place(&self, t: usize) -> usize {
        (self.row * self.shape.seq + t) * self.shape.d_inner + self.first
    }

    #[inline(always)]
    fn channels(&self, input: usize, t: usize) -> Lanes<F> {
        let start = self.place(t);
        load(&self.inputs[input].data[start..start + self.width])
    }

    #[inline(always)]
    fn delta(&self, t: usize) -> Lanes<F> {
        if self.tokens[t] == Token::Padding { [F::zero(); LANES] } else { self.channels(1, t) }
    }

    /// `b` (input 3) or `c` (input 4) of token `t`.
    #[inline(always)]
    fn vector(&self, input: usize, t: usize) -> &'a [F] {
        let start = (self.row * self.shape.seq + t) * self.shape.d_state;
        &self.inputs[input].data[start..start + self.shape.d_state]
    }

    /// A `[d_inner, d_state]` array (`a`, or one row of `state`) as one vector of channels for each state.
    fn transposed(&self, data: &[F]) -> Vec<Lanes<F>> {
        let n = self.shape.d_state;
        let mut lanes = vec![[F::zero(); LANES]; n];
        for channel in 0..self.width {
            for (state, lanes) in lanes.iter_mut().enumerate() {
                lanes[channel] = data[(self.first + channel) * n + state];
            }
        }
        lanes
    }

    /// The reverse of [`transposed`](Self::transposed).
    fn untransposed(&self, lanes: &[Lanes<F>], out: &mut [F]) {
        for channel in 0..self.width {
            for (state, lanes) in lanes.iter().enumerate() {
                out[channel * self.shape.d_state + state] = lanes[channel];
            }
        }
    }

    /// `d` of the block's channels, or 0.
    fn skip(&self) -> Lanes<F> {
        let d = self.op.d().map(|input| load(&self.inputs[input].data[self.first..self.first + self.width]));
        d.unwrap_or([F::zero(); LANES])
    }

    /// The gate of token `t` and its derivative, if there is one.
    #[inline(always)]
    fn gate<const FMA: bool>(&self, t: usize) -> Option<(Lanes<F>, Lanes<F>)> {
        let z = self.channels(self.op.z()?, t);
        let (mut gate, mut slope) = ([F::zero(); LANES], [F::zero(); LANES]);
        for l in 0..LANES {
            (gate[l], slope[l]) = Elementwise::Silu.apply::<F, FMA>(z[l]);
        }
        Some((gate, slope))
    }

    fn state_row(&self) -> usize {
        self.row * self.shape.d_inner * self.shape.d_state
    }

    fn initial(&self) -> Vec<Lanes<F>> {
        let size = self.shape.d_inner * self.shape.d_state;
        self.transposed(&self.inputs[5].data[self.state_row()..self.state_row() + size])
    }
}

/// `h ← decay · h + write`, and the decay.
#[inline(always)]
fn advance<F: Real, const FMA: bool>(
    h: &mut Lanes<F>,
    a: &Lanes<F>,
    delta: &Lanes<F>,
    write: &Lanes<F>,
    b: F,
) -> Lanes<F> {
    let mut decay = [F::zero(); LANES];
    for l in 0..LANES {
        decay[l] = F::fast_exp::<FMA>(delta[l] * a[l]);
        h[l] = F::fma::<FMA>(decay[l], h[l], write[l] * b);
    }
    decay
}

impl HostOp for SelectiveScan {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        forward::forward(self, inputs, keep)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        backward::backward(self, inputs, kept, grads)
    }
}
