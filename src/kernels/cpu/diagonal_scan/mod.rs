//! Diagonal scan on the CPU: `h ← exp(log_decay) h + write`, for blocks of channels, with the gates that say what
//! decays and what is written.
//!
//! A task owns a block of channels of one row, in whole cache lines, and keeps their states in the first level of
//! cache. The backward starts from states saved every [`CHUNK`] tokens, recomputes those between, and walks back.

mod backward;
mod forward;
mod gates;

use rayon::prelude::*;

use super::lanes::{LANES, Lanes, load};
use super::shared::SharedMut;
use super::tokens::{Token, tokens};
use super::total_of_rows;
use super::vectorised::vectorised;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;
use gates::{Gates, MOST};
pub(crate) use gates::{Given, MinGru, RgLru};

/// Tokens between two saved states.
const CHUNK: usize = 32;
/// Most vectors of channels in a block: where there are many channels, a task reads whole pieces of their rows.
const WIDEST: usize = 8;
/// Blocks are narrower where there would be fewer tasks than this.
const TASKS: usize = 64;

/// Inputs: the gates' arrays, `[batch, seq, channels]`; `state [batch, channels]`; where they have one, the rate
/// `[channels]`. Output: `h` as the arrays.
#[derive(Clone, Debug)]
pub(crate) struct DiagonalScan<G> {
    pub(crate) gates: G,
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
        let [batch, seq, channels] = inputs[0].dims.try_into().expect("arrays of gates have rank 3");
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
}

/// The inputs as a block of channels of one row sees them.
struct Block<'a, F> {
    shape: Shape,
    row: usize,
    first: usize,
    width: usize,
    inputs: &'a [Array<'a, F>],
    tokens: &'a [Token],
    /// Whether the row's first token is a document's first.
    begins: bool,
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

    /// Where a vector of token `t` lies in an array of the gates.
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

    /// A vector of the rate; 0 where the gates have none.
    fn rate<G: Gates>(&self, vector: usize) -> Lanes<F> {
        let rate = self.inputs.get(G::ARRAYS + 1);
        rate.map_or([F::zero(); LANES], |rate| self.load(rate.data, self.place(0, vector), vector))
    }

    #[inline(always)]
    fn is_first(&self, t: usize) -> bool {
        self.tokens[t] == Token::Reset || t == 0 && self.begins
    }

    /// A vector of token `t` of every array of the gates.
    #[inline(always)]
    fn arrays<G: Gates>(&self, t: usize, vector: usize) -> [Lanes<F>; MOST] {
        let mut arrays = [[F::zero(); LANES]; MOST];
        for (array, input) in arrays.iter_mut().zip(self.inputs).take(G::ARRAYS) {
            *array = self.load(input.data, self.at(t, vector), vector);
        }
        arrays
    }

    /// `h ← decay · h + write` for a vector of token `t`, and the decay.
    #[inline(always)]
    fn advance<G: Gates, const FMA: bool>(
        &self,
        t: usize,
        vector: usize,
        rate: &Lanes<F>,
        h: &mut Lanes<F>,
    ) -> Lanes<F> {
        let [a, b, c] = self.arrays::<G>(t, vector);
        let first = self.is_first(t);
        let mut decay = [F::zero(); LANES];
        for l in 0..LANES {
            let [log_decay, write] = G::open::<F, FMA>([a[l], b[l], c[l]], rate[l], first);
            decay[l] = F::fast_exp::<FMA>(log_decay);
            h[l] = F::fma::<FMA>(decay[l], h[l], write);
        }
        decay
    }
}

impl<G: Gates> DiagonalScan<G> {
    /// Runs `task` for every row and block of channels.
    fn for_each_block<F: Real>(&self, inputs: &[Array<'_, F>], task: impl Fn(Block<'_, F>) + Sync) {
        let shape = Shape::of(inputs);
        let tokens = tokens(self.segments.as_ref(), shape.batch, shape.seq);
        let blocks = shape.channels.div_ceil(shape.width());
        (0..shape.batch * blocks).into_par_iter().for_each(|index| {
            let (row, first) = (index / blocks, index % blocks * shape.width());
            let width = shape.width().min(shape.channels - first);
            let tokens = &tokens[row * shape.seq..(row + 1) * shape.seq];
            task(Block { shape, row, first, width, inputs, tokens, begins: self.gates.begins(row) });
        });
    }
}

impl<G: Gates> HostOp for DiagonalScan<G> {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let mut output = zeros(inputs[0].data.len());
        let states = shape.batch * shape.chunks() * shape.channels;
        let mut kept = zeros(if keep { states } else { 0 });
        let (out, kept_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut kept));
        self.for_each_block(inputs, |block| {
            vectorised(forward::Forward::<G, F>::new(block, &out, keep.then_some(&kept_shared)));
        });
        (vec![output], kept)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let mut arrays: Vec<Vec<F>> =
            inputs[..G::ARRAYS].iter().map(|input| zeros(input.data.len())).collect();
        let [mut state, mut rate] = [(); 2].map(|()| zeros(shape.batch * shape.channels));
        let grad = grads[0];
        let grads = backward::Gradients {
            arrays: arrays.iter_mut().map(|array| SharedMut::new(array)).collect(),
            state: SharedMut::new(&mut state),
            rate: SharedMut::new(&mut rate),
        };
        self.for_each_block(inputs, |block| {
            vectorised(backward::Backward::<G, F>::new(block, kept, grad, &grads));
        });
        arrays.push(state);
        if inputs.len() > arrays.len() {
            arrays.push(total_of_rows(shape.channels, &rate));
        }
        arrays
    }
}
