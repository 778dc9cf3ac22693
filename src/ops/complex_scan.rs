//! The recurrence of linear time-invariant state spaces: complex states that turn and decay at rates of their own.

use burn::tensor::{Int, Tensor, TensorData, assert_shape};

use super::Segments;
use super::complex::Complex;
use super::pieces::{Piece, pieces};
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// What a [`complex_scan`] runs on.
///
/// `channels`, each with `d_state` complex states of its own. A last axis of 2 holds real and imaginary parts.
#[derive(Clone, Debug)]
pub struct ComplexScanInputs {
    /// `[batch, seq, channels]`: what is written, to every state of its channel.
    pub u: Tensor<3>,
    /// `[channels, d_state, 2]`: λ, of modulus at most 1.
    pub decay: Tensor<3>,
    /// `[channels, d_state, 2]`: C, where every token reads.
    pub c: Tensor<3>,
    /// `[batch, channels, d_state, 2]`: the state before the first token.
    pub state: Tensor<4>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
}

impl ComplexScanInputs {
    fn dims(&self) -> [usize; 4] {
        let [batch, seq, channels] = self.u.dims();
        let [_, d_state, _] = self.decay.dims();
        [batch, seq, channels, d_state]
    }

    fn check(&self) {
        let Self { u: _, decay, c, state, segments } = self;
        let [batch, seq, channels, d_state] = self.dims();
        expect_tokens("complex_scan", [batch, seq]);
        assert_shape!(decay, [channels, d_state, 2]);
        assert_shape!(c, [channels, d_state, 2]);
        assert_shape!(state, [batch, channels, d_state, 2]);
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
    }
}

/// Runs the recurrence
///
/// ```text
/// h_t = λ ⊙ h_{t-1} + u_t        y_t = Re Σₙ c_n h_{t,n}
/// ```
///
/// for every channel, with complex λ, c and h and one u for all states of a channel, and returns `y [batch, seq,
/// channels]`, 0 at padding, and the state after the last token, `[batch, channels, d_state, 2]`.
///
/// Time is `seq · channels · d_state`. Nothing of size `seq × channels × d_state` is kept: states are, between chunks
/// of tokens. The portable form is a convolution within a chunk, as a matrix product.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
///
/// # Source
///
/// arXiv 2206.11893, equations 2 and 5.
pub fn complex_scan(inputs: ComplexScanInputs, implementation: Implementation) -> (Tensor<3>, Tensor<4>) {
    inputs.check();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.u) {
        return fused(inputs);
    }
    let _ = implementation;
    portable(inputs)
}

/// The recurrence as written, a token at a time: slow, and what the other forms are held to.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn complex_scan_reference(inputs: ComplexScanInputs) -> (Tensor<3>, Tensor<4>) {
    inputs.check();
    let [batch, seq, channels, _] = inputs.dims();
    let ComplexScanInputs { u, decay, c, state, segments } = inputs;
    let (device, dtype) = (u.device(), u.dtype());
    let [survival, mask] = match &segments {
        Some(segments) => [segments.survival(&device), segments.mask(&device)].map(|x| x.cast(dtype)),
        None => [(); 2].map(|()| Tensor::ones([batch, seq], (&device, dtype))),
    };
    let [decay, c] = [decay, c].map(|pairs| Complex::<2>::unpack(pairs).map(Tensor::unsqueeze::<3>));
    let mut h = Complex::<3>::unpack(state);
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        let of_row = |x: &Tensor<2>| x.clone().narrow(1, t, 1).unsqueeze_dim::<3>(2);
        let (survives, is_token) = (of_row(&survival), of_row(&mask));
        let before = h.map(|part| part * survives.clone());
        let mut after = decay.times(&before);
        after.re = after.re + u.clone().narrow(1, t, 1).reshape([batch, channels, 1]);
        h = before.clone().zip(after, |before, after| before.clone() + (after - before) * is_token.clone());
        let y = c.times(&h).re.sum_dim(2).swap_dims(1, 2);
        outputs.push(y * is_token);
    }
    (Tensor::cat(outputs, 1), h.pack())
}

/// Tokens of the longest piece of the portable form.
const PIECE: usize = 32;

/// Pieces of at most [`PIECE`] tokens, as a table: for every row as many pieces as the row with most has, and for
/// every piece [`PIECE`] places.
struct Table {
    /// Pieces of a row.
    count: usize,
    /// Which token stands at each place, when tokens begin at the left; where there is none, one after the last.
    left: Vec<i32>,
    /// The same, when they end at the right.
    right: Vec<i32>,
    /// For every token the place where it stands at the left; for padding, one after the last.
    places: Vec<i32>,
    /// Tokens of each piece.
    lengths: Vec<i32>,
    /// 0 where a piece begins a document other than a row's first, else 1.
    survival: Vec<f32>,
}

impl Table {
    fn new(segments: Option<&Segments>, batch: usize, seq: usize) -> Self {
        let rows: Vec<Vec<Piece>> = (0..batch).map(|row| pieces(segments, row, seq, PIECE)).collect();
        let count = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let (tokens, places) = (batch * seq, batch * count * PIECE);
        let mut table = Self {
            count,
            left: vec![tokens as i32; places],
            right: vec![tokens as i32; places],
            places: vec![places as i32; tokens],
            lengths: vec![0; batch * count],
            survival: vec![1.0; batch * count],
        };
        for (row, pieces) in rows.into_iter().enumerate() {
            for (index, Piece { tokens, resets }) in pieces.into_iter().enumerate() {
                let index = row * count + index;
                let shift = PIECE - tokens.len();
                table.lengths[index] = tokens.len() as i32;
                table.survival[index] = f32::from(u8::from(!resets));
                for (offset, t) in tokens.enumerate() {
                    let (token, place) = (row * seq + t, index * PIECE + offset);
                    table.left[place] = token as i32;
                    table.right[place + shift] = token as i32;
                    table.places[token] = place as i32;
                }
            }
        }
        table
    }
}

/// λ⁰ … λ^`PIECE`, along axis 0: by squaring, so that they are the powers of λ as it is rounded.
fn powers(decay: &Complex<2>) -> Complex<3> {
    let mut top = decay.map(Tensor::unsqueeze::<3>);
    let mut table = Complex { re: top.re.ones_like(), im: top.re.zeros_like() };
    let join = |x: Tensor<3>, y: Tensor<3>| Tensor::cat(vec![x, y], 0);
    for _ in 0..PIECE.ilog2() {
        let higher = table.times(&top);
        table = table.zip(higher, join);
        top = top.times(&top);
    }
    table.zip(top, join)
}

fn portable(inputs: ComplexScanInputs) -> (Tensor<3>, Tensor<4>) {
    let [batch, seq, channels, d_state] = inputs.dims();
    let ComplexScanInputs { u, decay, c, state, segments } = inputs;
    let (device, dtype) = (u.device(), u.dtype());
    let table = Table::new(segments.as_ref(), batch, seq);
    let count = table.count;
    let nothing = || Tensor::<2>::zeros([1, channels], (&device, dtype));
    let index = |index: Vec<i32>| {
        let len = index.len();
        Tensor::<1, Int>::from_data(TensorData::new(index, [len]), &device)
    };
    let rows = Tensor::cat(vec![u.reshape([batch * seq, channels]), nothing()], 0);
    // `[channels, batch · count, PIECE]`.
    let laid = |order: Vec<i32>| {
        let rows = rows.clone().select(0, index(order));
        rows.reshape([batch * count, PIECE, channels]).permute([2, 0, 1])
    };
    let powers = powers(&Complex::unpack(decay));
    let c = Complex::<2>::unpack(c).map(Tensor::unsqueeze::<3>);

    // Within a piece, a convolution with Re Σₙ c λˡ: a triangle for each channel.
    let reads = powers.times(&c);
    let response = reads.re.clone().narrow(0, 0, PIECE).sum_dim(2).squeeze_dim(2);
    let lags = (0..PIECE).flat_map(|s| (0..PIECE).map(move |t| t.checked_sub(s).unwrap_or(PIECE) as i32));
    let triangle = Tensor::cat(vec![response, nothing()], 0).select(0, index(lags.collect()));
    let triangle = triangle.reshape([PIECE, PIECE, channels]).permute([2, 0, 1]);
    let y = laid(table.left).matmul(triangle);

    // What a piece writes, and what it leaves of the state before it.
    let to_end = powers.map(|part| part.narrow(0, 0, PIECE).flip([0]).permute([1, 0, 2]));
    let right = laid(table.right);
    let by_piece = |part: Tensor<3>| part.reshape([channels, batch, count, d_state]);
    let written = to_end.map(|part| by_piece(right.clone().matmul(part)));
    let lengths = index(table.lengths);
    let through = powers.map(|part| by_piece(part.select(0, lengths.clone()).permute([1, 0, 2])));
    let survival = Tensor::<4>::from_data(TensorData::new(table.survival, [1, batch, count, 1]), &device);
    let survival = survival.cast(dtype);
    let mut h = Complex::<3>::unpack(state).map(|part| part.permute([1, 0, 2]).unsqueeze_dim::<4>(2));
    let mut before = Vec::with_capacity(count);
    for piece in 0..count {
        let at = |x: &Tensor<4>| x.clone().narrow(2, piece, 1);
        h = h.map(|part| part * at(&survival));
        before.push(h.clone());
        h = through.map(|part| at(&part)).times(&h).zip(written.map(|part| at(&part)), |x, y| x + y);
    }
    let joined = |part: fn(&Complex<4>) -> &Tensor<4>| {
        let states = before.iter().map(|h| part(h).clone()).collect();
        Tensor::cat(states, 2).reshape([channels, batch * count, d_state])
    };
    let before = Complex { re: joined(|h| &h.re), im: joined(|h| &h.im) };

    let reads = reads.map(|part| part.narrow(0, 1, PIECE).permute([1, 2, 0]));
    let y = y + before.re.matmul(reads.re) - before.im.matmul(reads.im);
    let y = y.permute([1, 2, 0]).reshape([batch * count * PIECE, channels]);
    let y = Tensor::cat(vec![y, nothing()], 0).select(0, index(table.places));
    let state = h.map(|part| part.squeeze_dim::<3>(2).permute([1, 0, 2]));
    (y.reshape([batch, seq, channels]), state.pack())
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: ComplexScanInputs) -> (Tensor<3>, Tensor<4>) {
    use crate::kernels::{cpu::complex_scan::ComplexScan, host};
    let [batch, seq, channels, d_state] = inputs.dims();
    let ComplexScanInputs { u, decay, c, state, segments } = inputs;
    let inputs = vec![u.into(), decay.into(), c.into(), state.into()];
    let [y, state] = host::run(ComplexScan { segments }, inputs);
    (y.reshape([batch, seq, channels]), state.reshape([batch, channels, d_state, 2]))
}
