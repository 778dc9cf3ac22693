//! Ways to tell attention where a token stands: rotary embeddings, ALiBi, Hard-ALiBi, or not at all.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::rope_scaling::RopeScaling;
use super::segments::expect_tokens;
use crate::check::expect_valid;
use crate::{Error, Result};

/// How attention knows positions.
///
/// In the hybrid notation: `rope`, `rope(base=500000, fraction=0.25, pairs=interleaved)`, `nope`, `alibi`,
/// `hard_alibi`, `hard_alibi(windows=[1, 2, 3])`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "PositionNotation", into = "PositionNotation")]
pub enum Position {
    /// Rotary embeddings: queries and keys turn by an angle proportional to their position.
    Rope(Rope),
    /// None: order is only in the causal mask (arXiv 2305.19466).
    Nope,
    /// A penalty on scores, linear in the distance, with slope `2^(−8h/n_heads)` for head `h = 1 …`
    /// (arXiv 2108.12409, section 3).
    Alibi,
    /// The first heads see only their last few tokens, the other heads see everything (arXiv 2402.01032).
    HardAlibi(HardAlibi),
}

/// Rotary position embeddings.
///
/// Pair `i` of the rotated part, `r` dimensions wide, turns by `position · base^(−2i/r)`, or as `scaling` says.
///
/// # Source
///
/// arXiv 2104.09864, equation 34.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rope {
    /// The base of the wavelengths.
    #[serde(skip_serializing_if = "is_default_base")]
    pub base: f64,
    /// The part of the head's dimensions that turns; GPT-NeoX: 0.25.
    #[serde(skip_serializing_if = "is_whole")]
    pub fraction: f64,
    /// Which dimensions form a pair.
    #[serde(skip_serializing_if = "is_half")]
    pub pairs: RopePairs,
    /// For contexts longer than those of the first training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<RopeScaling>,
}

impl Default for Rope {
    fn default() -> Self {
        Self { base: 10_000.0, fraction: 1.0, pairs: RopePairs::Half, scaling: None }
    }
}

fn is_default_base(base: &f64) -> bool {
    *base == Rope::default().base
}

fn is_whole(fraction: &f64) -> bool {
    *fraction == 1.0
}

fn is_half(pairs: &RopePairs) -> bool {
    *pairs == RopePairs::Half
}

/// Which dimensions of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopePairs {
    /// `i` with `i + r/2`: GPT-NeoX, Llama and all of Hugging Face ("rotate half").
    Half,
    /// `2i` with `2i + 1`: the paper, GPT-J, and `burn-nn`.
    Interleaved,
}

/// Hard-ALiBi: a window of its own for each of the first heads, none for the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HardAlibi {
    /// Head `h` sees the last `windows[h]` tokens, itself included. Empty: 1, 2, … for the first half of the
    /// heads, as in the paper.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<usize>,
}

impl HardAlibi {
    /// The window of each of the first heads.
    pub fn windows(&self, n_heads: usize) -> Vec<usize> {
        if self.windows.is_empty() { (1..=n_heads / 2).collect() } else { self.windows.clone() }
    }
}

/// A bare name stands for the kind with its defaults.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected rope, rope(base=…, fraction=…, pairs=…, scaling=…), nope, alibi, hard_alibi or hard_alibi(windows=[…])"
)]
enum PositionNotation {
    Name(PositionName),
    Full(PositionFull),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PositionName {
    Rope,
    Nope,
    Alibi,
    HardAlibi,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PositionFull {
    Rope(Rope),
    HardAlibi(HardAlibi),
}

impl From<PositionNotation> for Position {
    fn from(notation: PositionNotation) -> Self {
        match notation {
            PositionNotation::Name(PositionName::Rope) => Self::Rope(Rope::default()),
            PositionNotation::Name(PositionName::Nope) => Self::Nope,
            PositionNotation::Name(PositionName::Alibi) => Self::Alibi,
            PositionNotation::Name(PositionName::HardAlibi) => Self::HardAlibi(HardAlibi::default()),
            PositionNotation::Full(PositionFull::Rope(rope)) => Self::Rope(rope),
            PositionNotation::Full(PositionFull::HardAlibi(windows)) => Self::HardAlibi(windows),
        }
    }
}

impl From<Position> for PositionNotation {
    fn from(position: Position) -> Self {
        match position {
            Position::Rope(rope) if rope == Rope::default() => Self::Name(PositionName::Rope),
            Position::HardAlibi(windows) if windows == HardAlibi::default() => {
                Self::Name(PositionName::HardAlibi)
            }
            Position::Rope(rope) => Self::Full(PositionFull::Rope(rope)),
            Position::HardAlibi(windows) => Self::Full(PositionFull::HardAlibi(windows)),
            Position::Nope => Self::Name(PositionName::Nope),
            Position::Alibi => Self::Name(PositionName::Alibi),
        }
    }
}

impl Position {
    /// Whether `n_heads` heads of `head_dim` dimensions can have it.
    pub(crate) fn check(&self, n_heads: usize, head_dim: usize) -> Result<()> {
        match self {
            Self::Rope(rope) => {
                rope.turned(head_dim)?;
                if !(rope.base > 1.0 && rope.base.is_finite()) {
                    let problem = format!("rope: base must exceed 1 and be finite, got {}", rope.base);
                    return Err(Error::Config(problem));
                }
                rope.scaling.as_ref().map_or(Ok(()), RopeScaling::check)?;
            }
            Self::HardAlibi(hard) => {
                let windows = hard.windows(n_heads);
                if windows.len() > n_heads {
                    return Err(Error::Config(format!(
                        "hard_alibi: {} windows for n_heads ({n_heads}); at most one a head",
                        windows.len()
                    )));
                }
                if windows.contains(&0) {
                    return Err(Error::Config(
                        "hard_alibi: a window of 0 sees nothing; the least is 1".into(),
                    ));
                }
            }
            Self::Nope | Self::Alibi => {}
        }
        Ok(())
    }
}

impl Rope {
    /// How many dimensions turn, or what is wrong with so many.
    fn turned(&self, head_dim: usize) -> Result<usize> {
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(Error::Config(format!("rope: fraction must be in (0, 1], got {}", self.fraction)));
        }
        let turned = (self.fraction * head_dim as f64) as usize;
        if turned == 0 || !turned.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "rope: an even number of dimensions must turn, got {turned} of head_dim ({head_dim})"
            )));
        }
        Ok(turned)
    }

    /// Turns `x [batch, heads, seq, head_dim]`, whose tokens stand at `positions`: of one row for all rows, or
    /// of every row.
    ///
    /// # Panics
    ///
    /// If there is no row or no token, `positions` is neither `seq` nor `batch × seq` long, `fraction` is not in (0, 1], or so
    /// much of the dimensions is not an even number above 0.
    pub fn rotate(&self, x: Tensor<4>, positions: &[usize]) -> Tensor<4> {
        let [x] = self.rotate_all([x], positions);
        x
    }

    /// [`rotate`](Self::rotate) of queries and keys alike: they may differ in the number of heads.
    pub(crate) fn rotate_all<const N: usize>(
        &self,
        all: [Tensor<4>; N],
        positions: &[usize],
    ) -> [Tensor<4>; N] {
        let [batch, _, seq, head_dim] = all[0].dims();
        expect_tokens("rope", [batch, seq]);
        let like = (&all[0].device(), all[0].dtype());
        let rows = if positions.len() == seq { 1 } else { batch };
        assert_eq!(positions.len(), rows * seq, "rope: expected {seq} or {batch} × {seq} positions");
        let turned = expect_valid(self.turned(head_dim));
        let turns = self.turns(turned, positions);
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        if crate::kernels::Implementation::Auto.is_fused(&all[0]) {
            use crate::kernels::{cpu::rotate::Rotate, host};
            let op = Rotate { pairs: self.pairs, turned, turns: turns.into() };
            return all.map(|x| {
                let x = x.swap_dims(1, 2);
                let dims = x.dims();
                let [y] = host::run(op.clone(), vec![x.into()]);
                y.reshape(dims).swap_dims(1, 2)
            });
        }
        let mut cos = vec![1.0; rows * seq * head_dim];
        let mut sin = vec![0.0; rows * seq * head_dim];
        for (token, turns) in turns.chunks_exact(turned / 2).enumerate() {
            for (pair, &(c, s)) in turns.iter().enumerate() {
                for dimension in self.pair(pair, turned) {
                    cos[token * head_dim + dimension] = c;
                    sin[token * head_dim + dimension] = s;
                }
            }
        }
        let table = |values: Vec<f64>| {
            let data = TensorData::new(values, [rows, 1, seq, head_dim]);
            Tensor::<4>::from_data(data, like)
        };
        let (cos, sin) = (table(cos), table(sin));
        let quarter_turn = self.quarter_turn(turned, head_dim, like);
        all.map(|x| x.clone() * cos.clone() + x.matmul(quarter_turn.clone()) * sin.clone())
    }

    /// Cosine and sine of the angle of every pair, at every position, times the length that turned vectors get.
    fn turns(&self, turned: usize, positions: &[usize]) -> Vec<(f64, f64)> {
        let frequency = |pair| self.base.powf(-2.0 * pair as f64 / turned as f64);
        let mut frequencies: Vec<f64> = (0..turned / 2).map(frequency).collect();
        let mut length = 1.0;
        if let Some(scaling) = &self.scaling {
            scaling.apply(&mut frequencies, self.base);
            length = scaling.length();
        }
        let at = |position: usize| {
            frequencies.iter().map(move |frequency| {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                (length * cos, length * sin)
            })
        };
        let (Some(&first), Some(&last)) = (positions.iter().min(), positions.iter().max()) else {
            return Vec::new();
        };
        if last - first >= positions.len() {
            return positions.iter().copied().flat_map(at).collect();
        }
        // Rows, and documents within one, share most positions.
        let known: Vec<(f64, f64)> = (first..=last).flat_map(at).collect();
        let pairs = frequencies.len();
        positions.iter().flat_map(|position| &known[(position - first) * pairs..][..pairs]).copied().collect()
    }

    fn pair(&self, pair: usize, turned: usize) -> [usize; 2] {
        match self.pairs {
            RopePairs::Half => [pair, pair + turned / 2],
            RopePairs::Interleaved => [2 * pair, 2 * pair + 1],
        }
    }

    /// The matrix that turns every pair by 90°: (x₁, x₂) to (−x₂, x₁). A product with it is exact, and its
    /// gradient is cheaper than that of slices.
    fn quarter_turn(&self, turned: usize, head_dim: usize, like: (&Device, DType)) -> Tensor<4> {
        let mut matrix = vec![0.0_f32; head_dim * head_dim];
        for pair in 0..turned / 2 {
            let [first, second] = self.pair(pair, turned);
            matrix[second * head_dim + first] = -1.0;
            matrix[first * head_dim + second] = 1.0;
        }
        let data = TensorData::new(matrix, [1, 1, head_dim, head_dim]);
        Tensor::from_data(data, like)
    }
}

/// The slopes of ALiBi, `2^(−8h / n_heads)` for the heads h = 1 … `n_heads` (arXiv 2108.12409, section 3).
pub fn alibi_slopes(n_heads: usize) -> Vec<f64> {
    (1..=n_heads).map(|head| (-8.0 * head as f64 / n_heads as f64).exp2()).collect()
}
