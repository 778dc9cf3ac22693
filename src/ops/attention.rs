//! Causal softmax attention.

use burn::tensor::{
    Bool, DType, ElementConversion, Int, Tensor, TensorData, activation::softmax, assert_shape,
};

use super::activation::soft_cap;
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// What a head adds to or hides from its scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum HeadBias {
    /// Nothing.
    #[default]
    None,
    /// ALiBi: `−slope · distance`, a slope for each head.
    Slopes(Vec<f64>),
    /// Hard-ALiBi: head `h` sees its last `windows[h]` keys; heads beyond the list see all.
    Windows(Vec<usize>),
}

/// How scores become weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttentionOptions {
    /// The factor on scores; `None`: `1/√head_dim`.
    pub scale: Option<f64>,
    /// Scores become `cap · tanh(score / cap)` (Gemma 2, arXiv 2408.00118, section 2).
    pub soft_cap: Option<f64>,
    /// A query sees this many keys at most, its own token included.
    pub window: Option<usize>,
    /// What differs from head to head.
    pub bias: HeadBias,
}

/// Queries, keys and values, and which of them belong together.
///
/// The queries are the last `seq` of the `keys` tokens.
#[derive(Clone, Debug)]
pub struct AttentionInputs {
    /// `[batch, n_heads, seq, head_dim]`.
    pub q: Tensor<4>,
    /// `[batch, n_kv_heads, keys, head_dim]`; `n_kv_heads` divides `n_heads`, and query head `h` reads key head
    /// `h · n_kv_heads / n_heads`.
    pub k: Tensor<4>,
    /// `[batch, n_kv_heads, keys, head_dim]`.
    pub v: Tensor<4>,
    /// The column of the oldest key: keys from a ring buffer go on at column 0 after the last column.
    pub oldest: usize,
    /// The document of every query `[batch, seq]` and of every key `[batch, keys]`: a query sees keys of its own
    /// document. `None`: all are of one document.
    pub documents: Option<(Tensor<2, Int>, Tensor<2, Int>)>,
}

impl AttentionInputs {
    /// Queries, keys and values of one document, in order.
    pub fn new(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Self {
        Self { q, k, v, oldest: 0, documents: None }
    }

    fn check(&self, options: &AttentionOptions) {
        let [batch, n_heads, seq, head_dim] = self.q.dims();
        let [_, n_kv_heads, keys, _] = self.k.dims();
        let Self { k, v, .. } = self;
        expect_tokens("attention", [batch, seq]);
        assert!(n_kv_heads > 0, "attention: expected at least one head of keys, got 0");
        assert_shape!(k, [batch, n_kv_heads, keys, head_dim]);
        assert_shape!(v, [batch, n_kv_heads, keys, _]);
        assert_eq!(
            n_heads % n_kv_heads,
            0,
            "attention: n_kv_heads ({n_kv_heads}) must divide n_heads ({n_heads})"
        );
        assert!(seq <= keys, "attention: {seq} queries are more than {keys} keys");
        if let Some((queries, keys_)) = &self.documents {
            assert_shape!(queries, [batch, seq]);
            assert_shape!(keys_, [batch, keys]);
        }
        assert_ne!(options.window, Some(0), "attention: window must be at least 1: a token sees itself");
        match &options.bias {
            HeadBias::Slopes(slopes) => {
                let found = slopes.len();
                assert_eq!(
                    found, n_heads,
                    "attention: expected a slope for each of {n_heads} heads, got {found}"
                );
            }
            HeadBias::Windows(windows) => {
                let fit = windows.len() <= n_heads && !windows.contains(&0);
                assert!(
                    fit,
                    "attention: expected windows of at least 1, at most {n_heads} for as many heads, got {windows:?}"
                );
            }
            HeadBias::None => {}
        }
    }

    /// Whether a single query sees all keys of its document, each as it sees any other: their order does not matter.
    fn sees_all(&self, options: &AttentionOptions) -> bool {
        let [_, _, seq, _] = self.q.dims();
        let [_, _, keys, _] = self.k.dims();
        seq == 1 && options.window.is_none_or(|window| window >= keys) && options.bias == HeadBias::None
    }

    /// The same with the oldest key in column 0.
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    fn in_order(self) -> Self {
        if self.oldest == 0 {
            return self;
        }
        let back = -(self.oldest as isize);
        let turn = |x: Tensor<4>| x.roll_dim(back, 2);
        let documents = self.documents.map(|(queries, keys)| (queries, keys.roll_dim(back, 1)));
        Self { q: self.q, k: turn(self.k), v: turn(self.v), oldest: 0, documents }
    }

    /// `[1, 1, seq, keys]`, the distance from key to query: negative where the key is in the future.
    fn distances(&self) -> Tensor<4, Int> {
        let [_, _, seq, _] = self.q.dims();
        let [_, _, keys, _] = self.k.dims();
        let device = self.q.device();
        let place = |column| ((column + keys - self.oldest % keys) % keys) as i32;
        let places: Vec<i32> = (0..keys).map(place).collect();
        let queries: Vec<i32> = ((keys - seq)..keys).map(|query| query as i32).collect();
        let queries = Tensor::<4, Int>::from_data(TensorData::new(queries, [1, 1, seq, 1]), &device);
        queries - Tensor::from_data(TensorData::new(places, [1, 1, 1, keys]), &device)
    }
}

/// Computes, for every query head,
///
/// ```text
/// o_i = Σ_j softmax_j(cap(scale · q_i·k_j) + bias_h(i − j)) v_j        over the keys j that i sees
/// ```
///
/// `[batch, n_heads, seq, head_dim]`. A query that sees no key gets 0.
///
/// Time is `seq × keys`; so is the memory of the portable form.
///
/// # Panics
///
/// If the shapes do not agree, there is no row, token or head of keys, a window is 0, or there are not as many slopes as heads.
///
/// # Source
///
/// arXiv 1706.03762, equation 1; grouped queries: arXiv 2305.13245.
pub fn attention(
    mut inputs: AttentionInputs,
    options: &AttentionOptions,
    implementation: Implementation,
) -> Tensor<4> {
    inputs.check(options);
    if inputs.sees_all(options) {
        inputs.oldest = 0;
    }
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&inputs.q) {
        return fused(inputs.in_order(), options);
    }
    let _ = implementation;
    portable(inputs, options)
}

/// Layout `[batch, seq, heads, dim]`, as projections leave it: where the caller swapped axes, nothing is copied.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused(inputs: AttentionInputs, options: &AttentionOptions) -> Tensor<4> {
    use crate::kernels::{cpu, host};
    let [batch, n_heads, seq, _] = inputs.q.dims();
    let [_, _, _, value_dim] = inputs.v.dims();
    let read = |ids: Tensor<2, Int>| ids.into_data().iter::<i32>().collect();
    let op = cpu::attention::Attention {
        scale: scale(&inputs, options),
        soft_cap: options.soft_cap,
        window: options.window,
        bias: options.bias.clone(),
        documents: inputs.documents.map(|(queries, keys)| (read(queries), read(keys))),
    };
    let arrays = [inputs.q, inputs.k, inputs.v].map(|x| x.swap_dims(1, 2).into()).into();
    let [o] = host::run(op, arrays);
    o.reshape([batch, seq, n_heads, value_dim]).swap_dims(1, 2)
}

fn scale(inputs: &AttentionInputs, options: &AttentionOptions) -> f64 {
    options.scale.unwrap_or_else(|| 1.0 / (inputs.q.dims()[3] as f64).sqrt())
}

/// Scores against every key at once.
fn portable(inputs: AttentionInputs, options: &AttentionOptions) -> Tensor<4> {
    let [batch, n_heads, seq, head_dim] = inputs.q.dims();
    let [_, n_kv_heads, keys, value_dim] = inputs.v.dims();
    let hidden = hidden(&inputs, options);
    let bias = bias(&inputs, options);
    let group = n_heads / n_kv_heads;
    let scale = scale(&inputs, options);
    let q = (inputs.q * scale).reshape([batch, n_kv_heads, group * seq, head_dim]);
    let mut scores = q.matmul(inputs.k.swap_dims(2, 3)).reshape([batch, n_heads, seq, keys]);
    if let Some(cap) = options.soft_cap {
        scores = soft_cap(scores, cap);
    }
    if let Some(bias) = bias {
        scores = scores + bias;
    }
    // A finite stand-in for −∞: a row without keys must not become NaN.
    let least: f32 = scores.dtype().finfo().map_or(-1e4, |info| (info.min / 2.0).max(-1e30) as f32);
    if let Some(hidden) = &hidden {
        scores = scores.mask_fill(hidden.clone(), least.elem::<f32>());
    }
    let mut weights = softmax(scores, 3);
    if let Some(hidden) = hidden.filter(|_| inputs.documents.is_some()) {
        weights = weights.mask_fill(hidden, 0.0);
    }
    let weights = weights.reshape([batch, n_kv_heads, group * seq, keys]);
    weights.matmul(inputs.v).reshape([batch, n_heads, seq, value_dim])
}

/// `[batch or 1, n_heads or 1, seq, keys]`, true where a query does not see a key; `None`: it sees all.
fn hidden(inputs: &AttentionInputs, options: &AttentionOptions) -> Option<Tensor<4, Bool>> {
    if inputs.sees_all(options) && inputs.documents.is_none() {
        return None;
    }
    let [_, n_heads, _, _] = inputs.q.dims();
    let [_, _, keys, _] = inputs.k.dims();
    let distances = inputs.distances();
    let window = options.window.unwrap_or(keys).min(keys);
    let future = distances.clone().lower_scalar(0);
    let hidden = match &options.bias {
        HeadBias::Windows(windows) => {
            let of_head = |head| windows.get(head).copied().unwrap_or(keys).min(window) as i32;
            let windows = TensorData::new((0..n_heads).map(of_head).collect(), [1, n_heads, 1, 1]);
            let windows = Tensor::<4, Int>::from_data(windows, &inputs.q.device());
            future.bool_or(distances.greater_equal(windows))
        }
        _ if window < keys => future.bool_or(distances.greater_equal_scalar(window as i64)),
        _ => future,
    };
    Some(match &inputs.documents {
        None => hidden,
        Some((queries, keys)) => {
            let queries = queries.clone().unsqueeze_dims::<4>(&[1, 3]);
            let others = queries.not_equal(keys.clone().unsqueeze_dims::<4>(&[1, 2]));
            hidden.bool_or(others)
        }
    })
}

/// `[1, n_heads, seq, keys]`, what ALiBi adds.
fn bias(inputs: &AttentionInputs, options: &AttentionOptions) -> Option<Tensor<4>> {
    let HeadBias::Slopes(slopes) = &options.bias else { return None };
    let dtype = inputs.q.dtype();
    // Half of the bits would not hold a distance of some thousands.
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let slopes = TensorData::new(slopes.iter().map(|slope| -slope).collect(), [1, slopes.len(), 1, 1]);
    let slopes = Tensor::<4>::from_data(slopes, (&inputs.q.device(), wide));
    Some((inputs.distances().clamp_min(0).float().cast(wide) * slopes).cast(dtype))
}

/// The definition, a query at a time over the keys it sees: slow, and what the other forms are held to.
///
/// # Panics
///
/// As [`attention`].
pub fn attention_reference(inputs: AttentionInputs, options: &AttentionOptions) -> Tensor<4> {
    inputs.check(options);
    let [batch, n_heads, seq, head_dim] = inputs.q.dims();
    let [_, n_kv_heads, keys, value_dim] = inputs.v.dims();
    let distances: Vec<i32> = inputs.distances().into_data().iter().collect();
    let scale = scale(&inputs, options);
    let documents = inputs.documents.clone().map(|(queries, keys)| {
        let read = |ids: Tensor<2, Int>| ids.into_data().iter::<i64>().collect::<Vec<_>>();
        (read(queries), read(keys))
    });
    let device = inputs.q.device();
    let mut outputs = Vec::with_capacity(batch * n_heads * seq);
    for (row, head) in (0..batch).flat_map(|row| (0..n_heads).map(move |head| (row, head))) {
        let group = head * n_kv_heads / n_heads;
        let of = |x: &Tensor<4>, head: usize| x.clone().slice([row..row + 1, head..head + 1]);
        let (k, v) = (of(&inputs.k, group), of(&inputs.v, group));
        for query in 0..seq {
            let window = match &options.bias {
                HeadBias::Windows(windows) => windows.get(head).copied(),
                _ => None,
            };
            let window = window.unwrap_or(usize::MAX).min(options.window.unwrap_or(usize::MAX));
            let seen: Vec<i32> = (0..keys)
                .filter(|&key| {
                    let distance = distances[query * keys + key];
                    let together =
                        documents.as_ref().is_none_or(|(q, k)| q[row * seq + query] == k[row * keys + key]);
                    distance >= 0 && (distance as usize) < window && together
                })
                .map(|key| key as i32)
                .collect();
            if seen.is_empty() {
                outputs.push(Tensor::zeros([1, value_dim], (&device, inputs.v.dtype())));
                continue;
            }
            let columns = Tensor::<1, Int>::from_data(TensorData::new(seen.clone(), [seen.len()]), &device);
            let q = of(&inputs.q, head).narrow(2, query, 1).reshape([1, head_dim]);
            let k = k.clone().select(2, columns.clone()).reshape([seen.len(), head_dim]);
            let v = v.clone().select(2, columns).reshape([seen.len(), value_dim]);
            let mut scores = q.matmul(k.transpose()) * scale;
            if let Some(cap) = options.soft_cap {
                scores = soft_cap(scores, cap);
            }
            if let HeadBias::Slopes(slopes) = &options.bias {
                let far: Vec<f64> =
                    seen.iter().map(|&key| f64::from(distances[query * keys + key as usize])).collect();
                let far =
                    Tensor::<2>::from_data(TensorData::new(far, [1, seen.len()]), (&device, scores.dtype()));
                scores = scores - far * slopes[head];
            }
            outputs.push(softmax(scores, 1).matmul(v));
        }
    }
    Tensor::cat(outputs, 0).reshape([batch, n_heads, seq, value_dim])
}
