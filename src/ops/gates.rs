//! What a token keeps of a diagonal state and what it writes, as its gates say.

use burn::tensor::activation::relu;
use burn::tensor::{Bool, Tensor, TensorData, assert_shape};

use super::Segments;
use super::activation::{divided, sigmoid, softplus};

/// How much of the state a token keeps, and what it writes.
///
/// The gates of the recurrences that have a fused [`diagonal_scan`](super::diagonal_scan), and
/// [`Given`](Self::Given) for all others.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "made once a call, of tensors that are large in any case")]
pub enum Gates {
    /// Computed elsewhere. The decay is a logarithm, because that is what gates have: `ln σ(x) = −softplus(−x)`.
    Given {
        /// `[batch, seq, channels]`: the logarithm of the decay, not positive.
        log_decay: Tensor<3>,
        /// `[batch, seq, channels]`: what is written.
        write: Tensor<3>,
    },
    /// The RG-LRU's (arXiv 2402.19427, equations 1 to 4, with `rate = c · softplus(Λ)`):
    ///
    /// ```text
    /// log_decay = −rate ⊙ σ(recurrent)        write = √(1 − e^(2 log_decay)) ⊙ σ(input) ⊙ x
    /// ```
    ///
    /// A document's first token has nothing to add to, and writes `σ(input) ⊙ x`. As in RecurrentGemma's code the
    /// derivative of the square root is at most 1000.
    RgLru {
        /// `[batch, seq, channels]`.
        x: Tensor<3>,
        /// `[batch, seq, channels]`: of the gate on what is kept, before σ.
        recurrent: Tensor<3>,
        /// `[batch, seq, channels]`: of the gate on what is written, before σ.
        input: Tensor<3>,
        /// `[channels]`: not negative.
        rate: Tensor<1>,
        /// For every row, whether its first token is a document's first.
        begins: Vec<bool>,
    },
    /// minGRU's, in logarithms (arXiv 2410.01201, appendix B.2.1):
    ///
    /// ```text
    /// log_decay = −softplus(z)        write = σ(z) ⊙ g(h)        g(h) = h + ½ for h ≥ 0, else σ(h)
    /// ```
    MinGru {
        /// `[batch, seq, channels]`: of the update gate, before σ.
        z: Tensor<3>,
        /// `[batch, seq, channels]`: of the candidate, before g.
        h: Tensor<3>,
    },
}

impl Gates {
    /// What every other array of `[batch, seq, channels]` must be shaped like.
    pub(super) fn like(&self) -> &Tensor<3> {
        match self {
            Self::Given { write, .. } => write,
            Self::RgLru { x, .. } => x,
            Self::MinGru { h, .. } => h,
        }
    }

    pub(super) fn check(&self) {
        let [batch, seq, channels] = self.like().dims();
        match self {
            Self::Given { log_decay, .. } => assert_shape!(log_decay, [batch, seq, channels]),
            Self::RgLru { recurrent, input, rate, begins, .. } => {
                assert_shape!(recurrent, [batch, seq, channels]);
                assert_shape!(input, [batch, seq, channels]);
                assert_shape!(rate, [channels]);
                let rows = begins.len();
                assert_eq!(rows, batch, "rg_lru: begins is of {rows} rows, expected {batch}");
            }
            Self::MinGru { z, .. } => assert_shape!(z, [batch, seq, channels]),
        }
    }

    /// `log_decay` and `write`, in plain tensor operations.
    pub(super) fn open(self, segments: Option<&Segments>) -> [Tensor<3>; 2] {
        match self {
            Self::Given { log_decay, write } => [log_decay, write],
            Self::RgLru { x, recurrent, input, rate, begins } => {
                let log_decay = sigmoid(recurrent) * rate.unsqueeze::<3>().neg();
                let mut scale = sqrt_of_rest(log_decay.clone());
                if let Some(first) = first_tokens(&x, &begins, segments) {
                    scale = scale.mask_fill(first, 1.0);
                }
                [log_decay, scale * sigmoid(input) * x]
            }
            // g without a choice between branches: σ(0) = ½.
            Self::MinGru { z, h } => {
                let candidate = relu(h.clone()) + sigmoid(h.clamp_max(0.0));
                [softplus(z.clone()).neg(), sigmoid(z) * candidate]
            }
        }
    }
}

/// Where documents begin, as `x`; `None`: nowhere.
fn first_tokens(x: &Tensor<3>, begins: &[bool], segments: Option<&Segments>) -> Option<Tensor<3, Bool>> {
    let [batch, seq, _] = x.dims();
    let mut first = vec![false; batch * seq];
    for (row, (first, begins)) in first.chunks_exact_mut(seq).zip(begins).enumerate() {
        if let Some(segments) = segments {
            first.copy_from_slice(&segments.resets(row));
        }
        first[0] |= begins;
    }
    let any = first.contains(&true);
    any.then(|| {
        Tensor::<3, Bool>::from_data(TensorData::new(first, [batch, seq, 1]), &x.device()).expand(x.dims())
    })
}

/// `√(1 − e^(2x))` for x not above 0, with a derivative of the square root of at most 1000.
fn sqrt_of_rest(x: Tensor<3>) -> Tensor<3> {
    let rest = one_less_exp(x * 2.0);
    let slope = (rest.clone().detach() * 4.0).clamp_min(1e-6).sqrt().recip();
    let line = rest.clone() * slope;
    line.clone() + (rest.sqrt() - line).detach()
}

/// `1 − eˣ` for x not above 0, with all its digits near 0, where a difference loses them.
///
/// A series there: `tanh`, which would do on a CPU, is itself such a difference on GPUs.
fn one_less_exp(x: Tensor<3>) -> Tensor<3> {
    let far = x.clone().lower_scalar(-0.5);
    let near = x.clone().clamp_min(-0.5);
    // 1 + x/2 (1 + x/3 (1 + …)): what is left out is below 4e-14.
    let sum = (2..=14).rev().fold(near.ones_like(), |sum, n| divided(sum * near.clone(), f64::from(n)) + 1.0);
    (near.neg() * sum).mask_where(far, x.exp().neg() + 1.0)
}
