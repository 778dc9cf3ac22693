//! Diagonal scan on the CPU: `h ← exp(log_decay) h + write`, for blocks of channels.
//!
//! A task owns a block of channels of one row, in whole cache lines, and keeps their states in the first level of
//! cache. The backward starts from states saved every [`CHUNK`] tokens, recomputes those between, and walks back.

use rayon::prelude::*;

use super::lanes::{LANES, Lanes, load, store};
use super::shared::SharedMut;
use super::tokens::{Token, tokens};
use super::vectorised::{Work, vectorised};
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;

/// Tokens between two saved states.
const CHUNK: usize = 32;
/// Most vectors of channels in a block: where there are many channels, a task reads whole pieces of their rows.
const WIDEST: usize = 8;
/// Blocks are narrower where there would be fewer tasks than this.
const TASKS: usize = 64;

/// Inputs `log_decay, write [batch, seq, channels]`, `state [batch, channels]`; output `h` as `write`.
#[derive(Clone, Debug)]
pub(crate) struct DiagonalScan {
    pub(crate) segments: Option<Segments>,
}

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    channels: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>]) -> Self {
        let [batch, seq, channels] = inputs[0].dims.try_into().expect("log_decay has rank 3");
        Self { batch, seq, channels }
    }

    /// Channels of a block.
    fn width(&self) -> usize {
        let vectors = self.channels.div_ceil(LANES);
        (vectors * self.batch / TASKS).clamp(1, WIDEST) * LANES
    }

    fn chunks(&self) -> usize {
        self.seq.div_ceil(CHUNK)
    }

    /// Runs `task` for every row and block of channels.
    fn for_each_block<'a, F: Real>(
        self,
        inputs: &'a [Array<'a, F>],
        tokens: &'a [Token],
        task: impl Fn(Block<'a, F>) + Sync,
    ) {
        let blocks = self.channels.div_ceil(self.width());
        (0..self.batch * blocks).into_par_iter().for_each(|index| {
            let (row, first) = (index / blocks, index % blocks * self.width());
            let width = self.width().min(self.channels - first);
            let tokens = &tokens[row * self.seq..(row + 1) * self.seq];
            task(Block { shape: self, row, first, width, inputs, tokens });
        });
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

impl<F: Real> Block<'_, F> {
    fn vectors(&self) -> usize {
        self.width.div_ceil(LANES)
    }

    /// Channels of a vector: all but the last are full.
    #[inline(always)]
    fn lanes(&self, vector: usize) -> usize {
        LANES.min(self.width - vector * LANES)
    }

    /// Where a vector of the block lies in a row of all channels.
    #[inline(always)]
    fn place(&self, row: usize, vector: usize) -> usize {
        row * self.shape.channels + self.first + vector * LANES
    }

    /// Where a vector of token `t` lies in an array shaped like `write`.
    #[inline(always)]
    fn at(&self, t: usize, vector: usize) -> usize {
        self.place(self.row * self.shape.seq + t, vector)
    }

    /// Where the states before a chunk are kept.
    #[inline(always)]
    fn kept(&self, chunk: usize, vector: usize) -> usize {
        self.place(self.row * self.shape.chunks() + chunk, vector)
    }

    #[inline(always)]
    fn load(&self, data: &[F], place: usize, vector: usize) -> Lanes<F> {
        load(&data[place..place + self.lanes(vector)])
    }

    /// `h ← decay · h + write` for a vector of token `t`, and the decay.
    #[inline(always)]
    fn advance<const FMA: bool>(&self, t: usize, vector: usize, h: &mut Lanes<F>) -> Lanes<F> {
        let place = self.at(t, vector);
        let log_decay = self.load(self.inputs[0].data, place, vector);
        let write = self.load(self.inputs[1].data, place, vector);
        let mut decay = [F::zero(); LANES];
        for l in 0..LANES {
            decay[l] = F::fast_exp::<FMA>(log_decay[l]);
            h[l] = F::fma::<FMA>(decay[l], h[l], write[l]);
        }
        decay
    }
}

struct Forward<'a, F> {
    block: Block<'a, F>,
    out: &'a SharedMut<'a, F>,
    kept: Option<&'a SharedMut<'a, F>>,
}

impl<F: Real> Work for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, out, kept } = self;
        let initial = block.inputs[2].data;
        let mut states = [[F::zero(); LANES]; WIDEST];
        for (vector, h) in states.iter_mut().enumerate().take(block.vectors()) {
            *h = block.load(initial, block.place(block.row, vector), vector);
        }
        for t in 0..block.shape.seq {
            for (vector, h) in states.iter_mut().enumerate().take(block.vectors()) {
                if let Some(kept) = kept.filter(|_| t % CHUNK == 0) {
                    let place = block.kept(t / CHUNK, vector);
                    // SAFETY: the states of a block belong to its task.
                    store(h, unsafe { kept.at(place, block.lanes(vector)) });
                }
                if block.tokens[t] == Token::Reset {
                    *h = [F::zero(); LANES];
                }
                if block.tokens[t] != Token::Padding {
                    block.advance::<FMA>(t, vector, h);
                }
                // SAFETY: the channels of a block belong to its task.
                store(h, unsafe { out.at(block.at(t, vector), block.lanes(vector)) });
            }
        }
    }
}

struct Backward<'a, F> {
    block: Block<'a, F>,
    kept: &'a [F],
    grad: &'a [F],
    d_log: &'a SharedMut<'a, F>,
    d_write: &'a SharedMut<'a, F>,
    d_state: &'a SharedMut<'a, F>,
}

impl<F: Real> Work for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { block, kept, grad, d_log, d_write, d_state } = self;
        let zero = [F::zero(); LANES];
        let mut d_states = [zero; WIDEST];
        // Of one chunk and vector: each token's decay, and what it leaves of the state before it.
        let (mut decays, mut decayed) = ([zero; CHUNK], [zero; CHUNK]);
        for chunk in (0..block.shape.chunks()).rev() {
            let start = chunk * CHUNK;
            let end = block.shape.seq.min(start + CHUNK);
            for (vector, dh) in d_states.iter_mut().enumerate().take(block.vectors()) {
                let mut h = block.load(kept, block.kept(chunk, vector), vector);
                for t in start..end {
                    if block.tokens[t] == Token::Reset {
                        h = zero;
                    }
                    if block.tokens[t] != Token::Padding {
                        let before = h;
                        let decay = block.advance::<FMA>(t, vector, &mut h);
                        decays[t - start] = decay;
                        for l in 0..LANES {
                            decayed[t - start][l] = decay[l] * before[l];
                        }
                    }
                }
                for t in (start..end).rev() {
                    let place = block.at(t, vector);
                    let dy = block.load(grad, place, vector);
                    let (decay, mut to_log) = (&decays[t - start], zero);
                    for l in 0..LANES {
                        dh[l] += dy[l];
                    }
                    if block.tokens[t] == Token::Padding {
                        continue;
                    }
                    // SAFETY: the channels of a block belong to its task.
                    store(dh, unsafe { d_write.at(place, block.lanes(vector)) });
                    for l in 0..LANES {
                        to_log[l] = dh[l] * decayed[t - start][l];
                        dh[l] = dh[l] * decay[l];
                    }
                    // SAFETY: as above.
                    store(&to_log, unsafe { d_log.at(place, block.lanes(vector)) });
                    if block.tokens[t] == Token::Reset {
                        *dh = zero;
                    }
                }
            }
        }
        for (vector, dh) in d_states.iter().enumerate().take(block.vectors()) {
            // SAFETY: the states of a block belong to its task.
            store(dh, unsafe { d_state.at(block.place(block.row, vector), block.lanes(vector)) });
        }
    }
}

impl HostOp for DiagonalScan {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<F>, Vec<F>) {
        let shape = Shape::of(inputs);
        let tokens = tokens(self.segments.as_ref(), shape.batch, shape.seq);
        let mut output = vec![F::zero(); inputs[1].data.len()];
        let states = shape.batch * shape.chunks() * shape.channels;
        let mut kept = vec![F::zero(); if keep { states } else { 0 }];
        let (out, kept_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut kept));
        shape.for_each_block(inputs, &tokens, |block| {
            vectorised(Forward { block, out: &out, kept: keep.then_some(&kept_shared) });
        });
        (output, kept)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grad: &[F]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let tokens = tokens(self.segments.as_ref(), shape.batch, shape.seq);
        let mut grads = [0, 1, 2].map(|input| vec![F::zero(); inputs[input].data.len()]);
        let [d_log, d_write, d_state] = grads.each_mut().map(|grad| SharedMut::new(grad));
        shape.for_each_block(inputs, &tokens, |block| {
            vectorised(Backward {
                block,
                kept,
                grad,
                d_log: &d_log,
                d_write: &d_write,
                d_state: &d_state,
            });
        });
        grads.into()
    }
}
