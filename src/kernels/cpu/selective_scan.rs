//! Selective scan on the CPU: `h ← exp(Δ a) h + Δ u b`, `y = Σₙ c h`, for blocks of channels.
//!
//! A task owns a block of [`LANES`] channels of one row and keeps its states, `d_state × LANES`, in the first
//! level of cache; nothing of size `seq × d_inner × d_state` is ever written. The backward starts from states
//! saved every [`CHUNK`] tokens, recomputes those between, and walks back.

use rayon::prelude::*;

use super::lanes::{LANES, Lanes, load, sum, times};
use super::shared::SharedMut;
use super::total;
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;

/// Tokens between two saved states.
const CHUNK: usize = 32;

/// Inputs `u, delta [batch, seq, d_inner]`, `a [d_inner, d_state]`, `b, c [batch, seq, d_state]`, `state
/// [batch, d_inner, d_state]`; output `y` as `u`, then the final state.
#[derive(Clone, Debug)]
pub(crate) struct SelectiveScan {
    pub(crate) segments: Option<Segments>,
}

/// What a token does to the state besides its own update.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Plain,
    /// Begins a document: the state before it does not count.
    Reset,
    /// Padding: passes the state on.
    Padding,
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
    shape: Shape,
    row: usize,
    first: usize,
    width: usize,
    inputs: &'a [Array<'a, F>],
    tokens: &'a [Token],
}

impl<'a, F: Real> Block<'a, F> {
    fn new(shape: Shape, row: usize, block: usize, inputs: &'a [Array<'a, F>], tokens: &'a [Token]) -> Self {
        let first = block * LANES;
        Self { shape, row, first, width: LANES.min(shape.d_inner - first), inputs, tokens }
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

struct Forward<'a, F> {
    block: Block<'a, F>,
    index: usize,
    y: &'a SharedMut<'a, F>,
    last: &'a SharedMut<'a, F>,
    kept: Option<&'a SharedMut<'a, F>>,
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, index, y, last, kept } = self;
        let a = block.transposed(block.inputs[2].data);
        let mut h = block.initial();
        for t in 0..block.shape.seq {
            if let Some(kept) = kept.filter(|_| t % CHUNK == 0) {
                let place = block.shape.kept(block.row, t / CHUNK, index);
                // SAFETY: every (row, chunk, block) has its own place, and one task.
                unsafe { kept.at(place, h.len() * LANES) }.copy_from_slice(h.as_flattened());
            }
            if block.tokens[t] == Token::Reset {
                h.fill([F::zero(); LANES]);
            }
            let delta = block.delta(t);
            let write = times(&delta, &block.channels(0, t));
            let (b, c) = (block.vector(3, t), block.vector(4, t));
            let mut sum = [F::zero(); LANES];
            for n in 0..block.shape.d_state {
                advance::<F, FMA>(&mut h[n], &a[n], &delta, &write, b[n]);
                for l in 0..LANES {
                    sum[l] = F::fma::<FMA>(h[n][l], c[n], sum[l]);
                }
            }
            // SAFETY: the channels of a block belong to its task.
            unsafe { y.at(block.place(t), block.width) }.copy_from_slice(&sum[..block.width]);
        }
        let n = block.shape.d_state;
        let place = block.state_row() + block.first * n;
        // SAFETY: the states of a block belong to its task.
        block.untransposed(&h, unsafe { last.at(place, block.width * n) });
    }
}

/// The gradients that tasks fill: of `u`, `delta` and `state` in place, of `a`, `b` and `c` as partial sums.
struct Gradients<'a, F> {
    u: SharedMut<'a, F>,
    delta: SharedMut<'a, F>,
    state: SharedMut<'a, F>,
    /// `[batch, d_inner, d_state]`.
    a: SharedMut<'a, F>,
}

struct Backward<'a, F> {
    block: Block<'a, F>,
    index: usize,
    kept: &'a [F],
    grad_y: &'a [F],
    grad_last: &'a [F],
    grads: &'a Gradients<'a, F>,
    /// `[seq, d_state]`, of the group of blocks this one is in.
    grad_b: &'a mut [F],
    grad_c: &'a mut [F],
}

impl<F: Real> Work for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, index, kept, grad_y, grad_last, grads, grad_b, grad_c } = self;
        let n_states = block.shape.d_state;
        let zero = [F::zero(); LANES];
        let a = block.transposed(block.inputs[2].data);
        let size = block.shape.d_inner * n_states;
        let mut dh = block.transposed(&grad_last[block.state_row()..block.state_row() + size]);
        let mut da = vec![zero; n_states];
        // Of one chunk: the state before each token, and each token's decay.
        let mut before = vec![zero; CHUNK * n_states];
        let mut decays = vec![zero; CHUNK * n_states];

        for chunk in (0..block.shape.chunks()).rev() {
            let start = chunk * CHUNK;
            let end = block.shape.seq.min(start + CHUNK);
            let place = block.shape.kept(block.row, chunk, index);
            let mut h: Vec<Lanes<F>> =
                kept[place..place + n_states * LANES].chunks_exact(LANES).map(load).collect();
            for t in start..end {
                let at = (t - start) * n_states;
                if block.tokens[t] == Token::Reset {
                    h.fill(zero);
                }
                before[at..at + n_states].copy_from_slice(&h);
                let delta = block.delta(t);
                let write = times(&delta, &block.channels(0, t));
                let b = block.vector(3, t);
                for n in 0..n_states {
                    decays[at + n] = advance::<F, FMA>(&mut h[n], &a[n], &delta, &write, b[n]);
                }
            }

            for t in (start..end).rev() {
                let at = (t - start) * n_states;
                let (delta, u) = (block.delta(t), block.channels(0, t));
                let write = times(&delta, &u);
                let (b, c) = (block.vector(3, t), block.vector(4, t));
                let place = block.place(t);
                let dy = load(&grad_y[place..place + block.width]);
                let (mut d_delta, mut d_write) = (zero, zero);
                for n in 0..n_states {
                    let (h_before, decay) = (&before[at + n], &decays[at + n]);
                    let (mut to_b, mut to_c) = (zero, zero);
                    for l in 0..LANES {
                        let h_after = F::fma::<FMA>(decay[l], h_before[l], write[l] * b[n]);
                        let d_h = F::fma::<FMA>(dy[l], c[n], dh[n][l]);
                        to_c[l] = dy[l] * h_after;
                        to_b[l] = d_h * write[l];
                        d_write[l] = F::fma::<FMA>(d_h, b[n], d_write[l]);
                        let d_exponent = d_h * h_before[l] * decay[l];
                        d_delta[l] = F::fma::<FMA>(d_exponent, a[n][l], d_delta[l]);
                        da[n][l] = F::fma::<FMA>(d_exponent, delta[l], da[n][l]);
                        dh[n][l] = d_h * decay[l];
                    }
                    grad_b[t * n_states + n] += sum(&to_b);
                    grad_c[t * n_states + n] += sum(&to_c);
                }
                if block.tokens[t] == Token::Reset {
                    dh.fill(zero);
                }
                for l in 0..LANES {
                    d_delta[l] = F::fma::<FMA>(d_write[l], u[l], d_delta[l]);
                    d_write[l] = d_write[l] * delta[l];
                }
                if block.tokens[t] == Token::Padding {
                    d_delta = zero;
                }
                // SAFETY: the channels of a block belong to its task.
                unsafe { grads.delta.at(place, block.width) }.copy_from_slice(&d_delta[..block.width]);
                // SAFETY: as above.
                unsafe { grads.u.at(place, block.width) }.copy_from_slice(&d_write[..block.width]);
            }
        }
        let place = block.state_row() + block.first * n_states;
        // SAFETY: the states of a block belong to its task, in both arrays.
        block.untransposed(&dh, unsafe { grads.state.at(place, block.width * n_states) });
        // SAFETY: as above.
        block.untransposed(&da, unsafe { grads.a.at(place, block.width * n_states) });
    }
}

impl SelectiveScan {
    fn tokens(&self, shape: Shape) -> Vec<Token> {
        let Some(segments) = &self.segments else { return vec![Token::Plain; shape.batch * shape.seq] };
        (0..shape.batch)
            .flat_map(|row| {
                let inside = segments.columns(row);
                segments.resets(row).into_iter().enumerate().map(move |(t, reset)| {
                    match (reset, inside.contains(&t)) {
                        (true, _) => Token::Reset,
                        (false, true) => Token::Plain,
                        (false, false) => Token::Padding,
                    }
                })
            })
            .collect()
    }
}

impl HostOp for SelectiveScan {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<F>, Vec<F>) {
        let shape = Shape::of(inputs);
        let tokens = self.tokens(shape);
        let y_len = shape.batch * shape.seq * shape.d_inner;
        let mut output = vec![F::zero(); y_len + shape.batch * shape.d_inner * shape.d_state];
        let mut kept = vec![F::zero(); if keep { shape.kept(shape.batch, 0, 0) } else { 0 }];
        let (y, last) = output.split_at_mut(y_len);
        let (y, last) = (SharedMut::new(y), SharedMut::new(last));
        let kept_shared = SharedMut::new(&mut kept);
        (0..shape.batch * shape.blocks()).into_par_iter().for_each(|task| {
            let (row, index) = (task / shape.blocks(), task % shape.blocks());
            let block =
                Block::new(shape, row, index, inputs, &tokens[row * shape.seq..(row + 1) * shape.seq]);
            vectorised(Forward { block, index, y: &y, last: &last, kept: keep.then_some(&kept_shared) });
        });
        (output, kept)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grad: &[F]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let tokens = self.tokens(shape);
        let (grad_y, grad_last) = grad.split_at(shape.batch * shape.seq * shape.d_inner);
        let states = shape.batch * shape.d_inner * shape.d_state;
        let [mut u, mut delta] = [(); 2].map(|()| vec![F::zero(); grad_y.len()]);
        let [mut state, mut a_rows] = [(); 2].map(|()| vec![F::zero(); states]);
        let grads = Gradients {
            u: SharedMut::new(&mut u),
            delta: SharedMut::new(&mut delta),
            state: SharedMut::new(&mut state),
            a: SharedMut::new(&mut a_rows),
        };
        // Blocks of a row go in groups, each with its own sums for b and c: enough groups to fill a machine,
        // few enough that the sums stay small.
        let groups = (64 / shape.batch).clamp(1, shape.blocks());
        let partial: Vec<(Vec<F>, Vec<F>)> = (0..shape.batch * groups)
            .into_par_iter()
            .map(|task| {
                let (row, group) = (task / groups, task % groups);
                let [mut grad_b, mut grad_c] = [(); 2].map(|()| vec![F::zero(); shape.seq * shape.d_state]);
                for index in (group..shape.blocks()).step_by(groups) {
                    let tokens = &tokens[row * shape.seq..(row + 1) * shape.seq];
                    vectorised(Backward {
                        block: Block::new(shape, row, index, inputs, tokens),
                        index,
                        kept,
                        grad_y,
                        grad_last,
                        grads: &grads,
                        grad_b: &mut grad_b,
                        grad_c: &mut grad_c,
                    });
                }
                (grad_b, grad_c)
            })
            .collect();
        let [mut b, mut c] = [(); 2].map(|()| Vec::with_capacity(shape.batch * shape.seq * shape.d_state));
        for row in partial.chunks_exact(groups) {
            b.extend(total(row.iter().map(|sums| &sums.0)));
            c.extend(total(row.iter().map(|sums| &sums.1)));
        }
        let rows: Vec<Vec<F>> =
            a_rows.chunks_exact(shape.d_inner * shape.d_state).map(<[F]>::to_vec).collect();
        vec![u, delta, total(rows.iter()), b, c, state]
    }
}
