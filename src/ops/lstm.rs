//! The recurrence of the LSTM: the one here that is not linear in its state.

use burn::tensor::{Tensor, assert_shape};

use super::segments::expect_tokens;
use super::{Segments, sigmoid};
use crate::kernels::Implementation;

/// What an [`lstm`] runs on.
#[derive(Clone, Debug)]
pub struct LstmInputs {
    /// `[batch, seq, 4 · d]`: what the input says to the gates i, f and o and to the candidate g, one after the other.
    pub gates: Tensor<3>,
    /// `[d, 4 · d]`: what the hidden state says to them.
    pub recurrent: Tensor<2>,
    /// `[batch, d]`: the hidden state before the first token.
    pub hidden: Tensor<2>,
    /// `[batch, d]`: the cell before the first token.
    pub cell: Tensor<2>,
    /// Documents and padding; padding on the right only.
    pub segments: Option<Segments>,
}

impl LstmInputs {
    fn check(&self) {
        let [batch, seq, _] = self.gates.dims();
        expect_tokens("lstm", [batch, seq]);
        let [d, _] = self.recurrent.dims();
        let Self { gates, recurrent, hidden, cell, segments } = self;
        assert_shape!(gates, [batch, seq, 4 * d]);
        assert_shape!(recurrent, [d, 4 * d]);
        assert_shape!(hidden, [batch, d]);
        assert_shape!(cell, [batch, d]);
        if let Some(segments) = segments {
            segments.check(batch, seq);
        }
    }
}

/// Runs the recurrence
///
/// ```text
/// i, f, o = σ(gates + h_{t-1} U)        g = tanh(gates_g + h_{t-1} U_g)
/// c_t = f ⊙ c_{t-1} + i ⊙ g             h_t = o ⊙ tanh(c_t)
/// ```
///
/// and returns `h [batch, seq, d]`, the last hidden state and the last cell.
///
/// The fused form is linear in `seq` in time and memory. The portable one runs the same loop in tensor operations; its
/// gradient is quadratic in time, since every token's slice of `gates` has a gradient as long as all of them.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
///
/// # Source
///
/// Hochreiter and Schmidhuber, 1997, with the forget gates of Gers et al., 2000.
pub fn lstm(inputs: LstmInputs, implementation: Implementation) -> (Tensor<3>, [Tensor<2>; 2]) {
    inputs.check();
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.gates) {
        return fused(inputs);
    }
    let _ = implementation;
    lstm_reference(inputs)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: LstmInputs) -> (Tensor<3>, [Tensor<2>; 2]) {
    use crate::kernels::{cpu::lstm::Lstm, host};
    let LstmInputs { gates, recurrent, hidden, cell, segments } = inputs;
    let ([_, seq, _], [batch, d]) = (gates.dims(), cell.dims());
    let arrays = vec![gates.into(), recurrent.into(), hidden.into(), cell.into()];
    let [h, hidden, cell] = host::run(Lstm { segments }, arrays);
    (h.reshape([batch, seq, d]), [hidden, cell].map(|state| state.reshape([batch, d])))
}

/// The recurrence as written, a token at a time; also the portable form.
///
/// # Panics
///
/// If the shapes do not agree, or there is no row or no token.
pub fn lstm_reference(inputs: LstmInputs) -> (Tensor<3>, [Tensor<2>; 2]) {
    inputs.check();
    let LstmInputs { gates, recurrent, mut hidden, mut cell, segments } = inputs;
    let [_, seq, _] = gates.dims();
    let [d, _] = recurrent.dims();
    // Column t of row b: 1 where the earlier state counts, and 1 where there is a token.
    let tables = segments.map(|segments| {
        let device = gates.device();
        [segments.survival(&device), segments.mask(&device)].map(|table| table.cast(gates.dtype()))
    });
    let mut outputs = Vec::with_capacity(seq);
    for t in 0..seq {
        if let Some([survival, _]) = &tables {
            let survives = survival.clone().narrow(1, t, 1);
            (hidden, cell) = (hidden * survives.clone(), cell * survives);
        }
        let said =
            gates.clone().narrow(1, t, 1).squeeze_dim::<2>(1) + hidden.clone().matmul(recurrent.clone());
        let gate = |index: usize| said.clone().narrow(1, index * d, d);
        let next_cell = sigmoid(gate(1)) * cell.clone() + sigmoid(gate(0)) * gate(3).tanh();
        let next_hidden = sigmoid(gate(2)) * next_cell.clone().tanh();
        (hidden, cell) = match &tables {
            None => (next_hidden, next_cell),
            Some([_, mask]) => {
                let token = mask.clone().narrow(1, t, 1);
                let choose =
                    |after: Tensor<2>, before: Tensor<2>| before.clone() + (after - before) * token.clone();
                (choose(next_hidden, hidden), choose(next_cell, cell))
            }
        };
        outputs.push(hidden.clone().unsqueeze_dim(1));
    }
    (Tensor::cat(outputs, 1), [hidden, cell])
}
