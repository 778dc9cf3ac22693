//! Complex scan on the CPU: `h ← λ h + u`, `y = Re Σₙ c h`, for blocks of channels.
//!
//! A task owns a block of [`LANES`] channels of one row. It takes the row in pieces, and within a piece the states
//! one after another, so that a state and its λ and c stay in registers while the piece's tokens pass. The
//! backward starts from states saved before every piece, recomputes those within, and walks back.

mod backward;
mod forward;

use rayon::prelude::*;

use super::lanes::{LANES, Lanes, fma, fnma, load, times};
use super::shared::SharedMut;
use super::total_of_rows;
use super::vectorised::vectorised;
use crate::kernels::cpu::shared::zeros;
use crate::kernels::host::{Array, HostOp};
use crate::kernels::real::Real;
use crate::ops::Segments;
use crate::ops::pieces::{Piece, pieces};

/// Most tokens of a piece.
const PIECE: usize = 64;

/// Inputs `u [batch, seq, channels]`, `decay, c [channels, d_state, 2]`, `state [batch, channels, d_state, 2]`;
/// output `y` as `u`, then the final state.
#[derive(Clone, Debug)]
pub(crate) struct ComplexScan {
    pub(crate) segments: Option<Segments>,
}

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    channels: usize,
    d_state: usize,
}

impl Shape {
    fn of<F>(inputs: &[Array<'_, F>]) -> Self {
        let [batch, seq, channels] = inputs[0].dims.try_into().expect("u has rank 3");
        Self { batch, seq, channels, d_state: inputs[1].dims[1] }
    }

    fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Numbers of a `[channels, d_state, 2]` array.
    fn states(&self) -> usize {
        self.channels * self.d_state * 2
    }

    /// States that are kept of a row, at most: a piece that does not begin a document is a row's first, or follows
    /// [`PIECE`] tokens.
    fn slots(&self) -> usize {
        1 + self.seq / PIECE
    }

    /// Where the states of a block before a piece are kept.
    fn kept(&self, row: usize, slot: usize, block: usize) -> usize {
        ((row * self.slots() + slot) * self.blocks() + block) * self.d_state * 2 * LANES
    }
}

/// A complex number for each channel: real parts, then imaginary ones.
type Complex<F> = [Lanes<F>; 2];

/// A piece, and where the state before it is kept; `None`: the piece begins a document, that state is 0.
struct Stretch {
    piece: Piece,
    slot: Option<usize>,
}

/// The inputs as a block of channels of one row sees them.
struct Block<'a, F> {
    shape: Shape,
    row: usize,
    index: usize,
    first: usize,
    width: usize,
    inputs: &'a [Array<'a, F>],
    stretches: &'a [Stretch],
}

impl<'a, F: Real> Block<'a, F> {
    /// Where this block's channels of token `t` lie in an array shaped like `u`.
    #[inline(always)]
    fn place(&self, t: usize) -> usize {
        (self.row * self.shape.seq + t) * self.shape.channels + self.first
    }

    /// A piece's tokens of an array shaped like `u`.
    #[inline(always)]
    fn tokens(&self, data: &[F], piece: &Piece, to: &mut [Lanes<F>; PIECE]) {
        for (lanes, t) in to.iter_mut().zip(piece.tokens.clone()) {
            let place = self.place(t);
            *lanes = load(&data[place..place + self.width]);
        }
    }

    /// The block's part of a `[channels, d_state, 2]` array, as complex numbers of all channels for each state.
    fn transposed(&self, data: &[F]) -> Vec<Complex<F>> {
        let n = self.shape.d_state;
        let mut lanes = vec![[[F::zero(); LANES]; 2]; n];
        for channel in 0..self.width {
            for (state, lanes) in lanes.iter_mut().enumerate() {
                let place = ((self.first + channel) * n + state) * 2;
                lanes[0][channel] = data[place];
                lanes[1][channel] = data[place + 1];
            }
        }
        lanes
    }

    /// The reverse of [`transposed`](Self::transposed), into the row of a `[batch, channels, d_state, 2]` array.
    fn untransposed(&self, lanes: &[Complex<F>], to: &SharedMut<'_, F>) {
        let n = self.shape.d_state;
        let start = self.row * self.shape.states() + self.first * n * 2;
        // SAFETY: the states of a block belong to its task.
        let out = unsafe { to.at(start, self.width * n * 2) };
        for (channel, out) in out.chunks_exact_mut(n * 2).enumerate() {
            for (state, out) in out.chunks_exact_mut(2).enumerate() {
                out.copy_from_slice(&[lanes[state][0][channel], lanes[state][1][channel]]);
            }
        }
    }

    /// This row of a `[batch, channels, d_state, 2]` array, as [`transposed`](Self::transposed).
    fn of_row(&self, data: &[F]) -> Vec<Complex<F>> {
        let start = self.row * self.shape.states();
        self.transposed(&data[start..start + self.shape.states()])
    }
}

/// `λ h + u`.
#[inline(always)]
fn advance<F: Real, const FMA: bool>(h: &Complex<F>, decay: &Complex<F>, u: &Lanes<F>) -> Complex<F> {
    let real = fma::<F, FMA>(&decay[0], &h[0], &fnma::<F, FMA>(&decay[1], &h[1], u));
    [real, fma::<F, FMA>(&decay[0], &h[1], &times(&decay[1], &h[0]))]
}

impl ComplexScan {
    fn stretches(&self, shape: Shape) -> Vec<Vec<Stretch>> {
        let row = |row| {
            let mut slots = 0..;
            let pieces = pieces(self.segments.as_ref(), row, shape.seq, PIECE).into_iter();
            let stretch =
                |piece: Piece| Stretch { slot: if piece.resets { None } else { slots.next() }, piece };
            pieces.map(stretch).collect()
        };
        (0..shape.batch).map(row).collect()
    }

    /// Runs `task` for every row and block of channels.
    fn for_each_block<F: Real>(&self, inputs: &[Array<'_, F>], task: impl Fn(Block<'_, F>) + Sync) {
        let shape = Shape::of(inputs);
        let stretches = self.stretches(shape);
        (0..shape.batch * shape.blocks()).into_par_iter().for_each(|at| {
            let (row, index) = (at / shape.blocks(), at % shape.blocks());
            let first = index * LANES;
            let width = LANES.min(shape.channels - first);
            task(Block { shape, row, index, first, width, inputs, stretches: &stretches[row] });
        });
    }
}

impl HostOp for ComplexScan {
    fn forward<F: Real>(&self, inputs: &[Array<'_, F>], keep: bool) -> (Vec<Vec<F>>, Vec<F>) {
        let shape = Shape::of(inputs);
        let mut output = zeros(inputs[0].data.len());
        let mut last = zeros(shape.batch * shape.states());
        let mut kept = zeros(if keep { shape.kept(shape.batch, 0, 0) } else { 0 });
        let kept_shared = SharedMut::new(&mut kept);
        let (y, last_shared) = (SharedMut::new(&mut output), SharedMut::new(&mut last));
        self.for_each_block(inputs, |block| {
            let kept = keep.then_some(&kept_shared);
            vectorised(forward::Forward { block, y: &y, last: &last_shared, kept });
        });
        (vec![output, last], kept)
    }

    fn backward<F: Real>(&self, inputs: &[Array<'_, F>], kept: &[F], grads: &[&[F]]) -> Vec<Vec<F>> {
        let shape = Shape::of(inputs);
        let (grad_y, grad_last) = (grads[0], grads[1]);
        let mut u = zeros(grad_y.len());
        let [mut decay, mut c, mut state] = [(); 3].map(|()| zeros(grad_last.len()));
        let grads = backward::Gradients {
            u: SharedMut::new(&mut u),
            decay: SharedMut::new(&mut decay),
            c: SharedMut::new(&mut c),
            state: SharedMut::new(&mut state),
        };
        self.for_each_block(inputs, |block| {
            vectorised(backward::Backward { block, kept, grad_y, grad_last, grads: &grads });
        });
        let over_rows = |rows: Vec<F>| total_of_rows(shape.states(), &rows);
        vec![u, over_rows(decay), over_rows(c), state]
    }
}
