//! What a number of a token keeps and writes, and the derivatives: the formulas of [`Gates`](crate::ops::Gates).

use crate::kernels::real::Real;

/// Most arrays that gates read.
pub(crate) const MOST: usize = 3;

/// Gates over arrays with a number for each token and channel, and perhaps a rate for each channel.
pub(crate) trait Gates: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// How many arrays.
    const ARRAYS: usize;

    /// The logarithm of the decay, and what is written; `first`: at a document's first token.
    fn open<F: Real, const FMA: bool>(x: [F; MOST], rate: F, first: bool) -> [F; 2];

    /// The gradients of what [`open`](Self::open) takes, from those of what it gives.
    fn back<F: Real, const FMA: bool>(x: [F; MOST], rate: F, first: bool, d: [F; 2]) -> ([F; MOST], F);

    /// Whether a row's first token is a document's first.
    fn begins(&self, row: usize) -> bool {
        let _ = row;
        false
    }
}

/// `log_decay`, `write`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given;

impl Gates for Given {
    const ARRAYS: usize = 2;

    #[inline(always)]
    fn open<F: Real, const FMA: bool>([log_decay, write, _]: [F; MOST], _: F, _: bool) -> [F; 2] {
        [log_decay, write]
    }

    #[inline(always)]
    fn back<F: Real, const FMA: bool>(
        _: [F; MOST],
        _: F,
        _: bool,
        [d_log, d_write]: [F; 2],
    ) -> ([F; MOST], F) {
        ([d_log, d_write, F::zero()], F::zero())
    }
}

/// `x`, `recurrent`, `input`, with a rate.
#[derive(Clone, Debug)]
pub(crate) struct RgLru {
    pub(crate) begins: Vec<bool>,
}

impl Gates for RgLru {
    const ARRAYS: usize = 3;

    #[inline(always)]
    fn open<F: Real, const FMA: bool>([x, recurrent, input]: [F; MOST], rate: F, first: bool) -> [F; 2] {
        let log_decay = -rate * F::sigmoid::<FMA>(recurrent);
        let rest = -F::expm1::<FMA>(log_decay + log_decay);
        let scale = if first { F::one() } else { rest.sqrt() };
        [log_decay, scale * F::sigmoid::<FMA>(input) * x]
    }

    #[inline(always)]
    fn back<F: Real, const FMA: bool>(
        [x, recurrent, input]: [F; MOST],
        rate: F,
        first: bool,
        [d_log, d_write]: [F; 2],
    ) -> ([F; MOST], F) {
        let (kept, written) = (F::sigmoid::<FMA>(recurrent), F::sigmoid::<FMA>(input));
        let log_decay = -rate * kept;
        let rest = -F::expm1::<FMA>(log_decay + log_decay);
        // d√(1 − a²) / d ln a = −a² / √(1 − a²), where the square root counts as at least 1/2000.
        let root = rest.sqrt();
        let least = F::from_f64(5e-4).expect("a constant");
        let slope = (rest - F::one()) / if root > least { root } else { least };
        let (scale, slope) = if first { (F::one(), F::zero()) } else { (root, slope) };
        let d_log = F::fma::<FMA>(d_write * written * x, slope, d_log);
        let d_kept = -rate * d_log;
        let d_written = d_write * scale * x;
        let through = |d: F, gate: F| d * gate * (F::one() - gate);
        let d = [d_write * scale * written, through(d_kept, kept), through(d_written, written)];
        (d, -kept * d_log)
    }

    fn begins(&self, row: usize) -> bool {
        self.begins[row]
    }
}

/// `z`, `h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinGru;

impl MinGru {
    /// `h + ½` above 0, else σ(h), and the derivative.
    #[inline(always)]
    fn candidate<F: Real, const FMA: bool>(h: F) -> [F; 2] {
        let sigmoid = F::sigmoid::<FMA>(h);
        if h > F::zero() {
            [h + F::from_f64(0.5).expect("a constant"), F::one()]
        } else {
            [sigmoid, sigmoid * (F::one() - sigmoid)]
        }
    }
}

impl Gates for MinGru {
    const ARRAYS: usize = 2;

    #[inline(always)]
    fn open<F: Real, const FMA: bool>([z, h, _]: [F; MOST], _: F, _: bool) -> [F; 2] {
        let [candidate, _] = Self::candidate::<F, FMA>(h);
        [-F::softplus::<FMA>(z), F::sigmoid::<FMA>(z) * candidate]
    }

    #[inline(always)]
    fn back<F: Real, const FMA: bool>(
        [z, h, _]: [F; MOST],
        _: F,
        _: bool,
        [d_log, d_write]: [F; 2],
    ) -> ([F; MOST], F) {
        let gate = F::sigmoid::<FMA>(z);
        let [candidate, slope] = Self::candidate::<F, FMA>(h);
        let d_z = gate * (d_write * candidate * (F::one() - gate) - d_log);
        ([d_z, d_write * gate * slope, F::zero()], F::zero())
    }
}
