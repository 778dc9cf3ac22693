//! Multi-head, grouped-query and multi-query softmax attention.

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, assert_shape};
use serde::{Deserialize, Serialize};

use super::heads::{from_heads, to_heads};
use super::kv_cache::KvCache;
use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use super::positions::{positions, seen_after};
use crate::check::{check_part, check_positive, check_sizes, expect_valid};
use crate::ops::{
    AttentionInputs, AttentionOptions, HardAlibi, HeadBias, Implementation, Position, Rope, Segments,
    alibi_slopes, apply_linear, attention, output_dtype, rms_norm, rotate_rows,
};
use crate::{Error, Result};

/// What queries and keys are normalised over (arXiv 2302.05442, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// Every head on its own, with one scale for all (Qwen3).
    Head,
    /// All heads together (OLMo 2, arXiv 2501.00656).
    Whole,
}

/// Configuration of [`Attention`].
#[derive(Config, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Width of the model.
    pub d_model: usize,
    /// Query heads.
    #[config(default = 8)]
    pub n_heads: usize,
    /// Key and value heads, a divisor of `n_heads`; `None`: as many. 1 is multi-query attention.
    pub n_kv_heads: Option<usize>,
    /// Dimensions of a head; `None`: `d_model / n_heads`.
    pub head_dim: Option<usize>,
    /// How attention knows positions.
    #[config(default = "Position::Rope(Rope::default())")]
    pub position: Position,
    /// A token sees this many tokens, itself included; `None`: all.
    pub window: Option<usize>,
    /// RMS normalisation of queries and keys; `None`: none.
    pub qk_norm: Option<QkNorm>,
    /// Scores become `cap · tanh(score / cap)`.
    pub soft_cap: Option<f64>,
    /// Whether the projections have biases.
    #[config(default = false)]
    pub bias: bool,
    /// Whether the last projection has one; `None`: as the others. Qwen2's has none.
    pub out_bias: Option<bool>,
    /// Of `qk_norm`.
    #[config(default = 1e-6)]
    pub norm_epsilon: f64,
}

/// Causal softmax attention.
///
/// ```text
/// q, k, v = x W_q, x W_k, x W_v        y = concat_h(attention(q_h, k_h, v_h)) W_o
/// ```
///
/// with the options of [`AttentionConfig`]; see [`attention`]. The state is a [`KvCache`]: it grows with the
/// sequence, or up to the window.
///
/// Parameters start as GPT-NeoX's: weights from a normal distribution of deviation 0.02, biases 0.
///
/// # Source
///
/// arXiv 1706.03762, section 3.2; grouped queries: arXiv 2305.13245.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[d_model, n_heads · head_dim]`.
    pub q_proj: Linear,
    /// `[d_model, n_kv_heads · head_dim]`.
    pub k_proj: Linear,
    /// `[d_model, n_kv_heads · head_dim]`.
    pub v_proj: Linear,
    /// `[n_heads · head_dim, d_model]`.
    pub o_proj: Linear,
    /// Of queries, with `qk_norm`: `[head_dim]`, or `[n_heads · head_dim]`.
    pub q_norm: Option<RmsNorm>,
    /// Of keys, with `qk_norm`: `[head_dim]`, or `[n_kv_heads · head_dim]`.
    pub k_norm: Option<RmsNorm>,
    #[module(skip)]
    config: AttentionConfig,
}

impl AttentionConfig {
    /// Dimensions of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.d_model / self.n_heads.max(1))
    }

    /// Key and value heads.
    pub fn n_kv_heads(&self) -> usize {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> Attention {
        expect_valid(self.check());
        let head_dim = self.head_dim();
        let project = |from: usize, to: usize, bias: bool| {
            let mut linear = LinearConfig::new(from, to)
                .with_bias(bias)
                .with_initializer(Initializer::Normal { mean: 0.0, std: 0.02 })
                .init(device);
            linear.bias = linear.bias.map(|_| Initializer::Zeros.init([to], device));
            linear
        };
        let norm = |heads: usize| {
            let width = self.qk_norm.map(|over| match over {
                QkNorm::Head => head_dim,
                QkNorm::Whole => heads * head_dim,
            });
            width.map(|width| RmsNormConfig::new(width).with_epsilon(self.norm_epsilon).init(device))
        };
        Attention {
            q_proj: project(self.d_model, self.n_heads * head_dim, self.bias),
            k_proj: project(self.d_model, self.n_kv_heads() * head_dim, self.bias),
            v_proj: project(self.d_model, self.n_kv_heads() * head_dim, self.bias),
            o_proj: project(self.n_heads * head_dim, self.d_model, self.out_bias.unwrap_or(self.bias)),
            q_norm: norm(self.n_heads),
            k_norm: norm(self.n_kv_heads()),
            config: self.clone(),
        }
    }
}

impl BuildMixer for AttentionConfig {
    type Mixer = Attention;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        let Self { d_model, n_heads, .. } = self;
        let n_kv_heads = self.n_kv_heads();
        let sizes = [
            ("d_model", *d_model),
            ("n_heads", *n_heads),
            ("n_kv_heads", n_kv_heads),
            ("head_dim", self.head_dim.unwrap_or(1)),
        ];
        check_sizes("attention", &sizes)?;
        check_positive("attention", "soft_cap", self.soft_cap.unwrap_or(1.0))?;
        check_positive("attention", "norm_epsilon", self.norm_epsilon)?;
        let problem = if self.head_dim.is_none() && d_model % n_heads != 0 {
            format!("n_heads ({n_heads}) must divide d_model ({d_model})")
        } else if n_heads % n_kv_heads != 0 {
            format!("n_kv_heads ({n_kv_heads}) must divide n_heads ({n_heads})")
        } else if self.window == Some(0) {
            "window must be at least 1, got 0: a token sees itself".into()
        } else {
            return check_part("attention", self.position.check(*n_heads, self.head_dim()));
        };
        Err(Error::Config(format!("attention: {problem}")))
    }

    fn build(&self, device: &Device) -> Attention {
        self.init(device)
    }
}

impl Attention {
    /// What this layer was built from.
    pub fn config(&self) -> &AttentionConfig {
        &self.config
    }

    fn options(&self) -> AttentionOptions {
        let n_heads = self.config.n_heads;
        let bias = match &self.config.position {
            Position::Alibi => HeadBias::Slopes(alibi_slopes(n_heads)),
            Position::HardAlibi(hard) => HeadBias::Windows(HardAlibi::windows(hard, n_heads)),
            Position::Rope(_) | Position::Nope => HeadBias::None,
        };
        AttentionOptions { scale: None, soft_cap: self.config.soft_cap, window: self.config.window, bias }
    }

    fn cache_dims(&self, batch: usize) -> [usize; 3] {
        [batch, self.config.n_kv_heads(), self.config.head_dim()]
    }

    /// Queries, keys and values of tokens at `positions`, of one row for all or of every row.
    fn project(&self, x: Tensor<3>, positions: &[usize]) -> [Tensor<4>; 3] {
        let head_dim = self.config.head_dim();
        let heads = |x: Tensor<3>| {
            let [_, _, width] = x.dims();
            to_heads(x, width / head_dim)
        };
        let normed = |x: Tensor<3>, norm: &Option<RmsNorm>| match (self.config.qk_norm, norm) {
            (Some(QkNorm::Head), Some(norm)) => {
                let [batch, seq, width] = x.dims();
                let x = x.reshape([batch, seq, width / head_dim, head_dim]);
                rms_norm(x, norm.gamma.val(), norm.epsilon).swap_dims(1, 2)
            }
            (Some(QkNorm::Whole), Some(norm)) => heads(rms_norm(x, norm.gamma.val(), norm.epsilon)),
            _ => heads(x),
        };
        let q = normed(apply_linear(&self.q_proj, x.clone()), &self.q_norm);
        let k = normed(apply_linear(&self.k_proj, x.clone()), &self.k_norm);
        let [q, k] = match &self.config.position {
            Position::Rope(rope) => rope.rotate_all([q, k], positions),
            _ => [q, k],
        };
        [q, k, heads(apply_linear(&self.v_proj, x))]
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, cache: Option<KvCache>) -> (Tensor<3>, KvCache) {
        let [batch, seq, _] = x.dims();
        let device = x.device();
        let earlier = cache.as_ref().map_or(vec![0; batch], |cache| cache.seen().to_vec());
        let [q, new_k, new_v] = self.project(x, &positions(segments, &earlier, seq));
        let past = cache.as_ref().and_then(KvCache::in_order);
        let past_len = cache.as_ref().map_or(0, KvCache::len);
        let (k, v) = match past {
            Some((k, v)) => (Tensor::cat(vec![k, new_k], 2), Tensor::cat(vec![v, new_v], 2)),
            None => (new_k, new_v),
        };
        let hidden_past = earlier.iter().any(|&seen| seen < past_len);
        let documents = (segments.is_some() || hidden_past)
            .then(|| documents(segments, &earlier, past_len, [batch, seq], &device));
        let inputs = AttentionInputs { q, k: k.clone(), v: v.clone(), oldest: 0, documents };
        let y =
            apply_linear(&self.o_proj, from_heads(attention(inputs, &self.options(), Implementation::Auto)));

        let window = self.config.window;
        let seen = seen_after(segments, &earlier, seq);
        let cache = match segments {
            None => KvCache::of(k, v, window, seen),
            Some(segments) => {
                let padding: Vec<usize> = segments.tokens().iter().map(|tokens| seq - tokens).collect();
                KvCache::of(newest_last(k, &padding), newest_last(v, &padding), window, seen)
            }
        };
        (y, cache)
    }
}

/// Columns moved to the right by each row's padding, so that its newest token comes last.
fn newest_last(x: Tensor<4>, padding: &[usize]) -> Tensor<4> {
    if padding.iter().all(|&padding| padding == 0) {
        return x;
    }
    let [batch, heads, columns, head_dim] = x.dims();
    let by: Vec<usize> = padding.iter().flat_map(|&padding| vec![columns - padding; heads]).collect();
    rotate_rows(x.reshape([batch * heads, columns, head_dim]), &by).reshape([batch, heads, columns, head_dim])
}

/// The documents of queries and keys: the cache's visible columns belong to each row's first document.
fn documents(
    segments: Option<&Segments>,
    earlier: &[usize],
    past: usize,
    [batch, seq]: [usize; 2],
    device: &Device,
) -> (Tensor<2, Int>, Tensor<2, Int>) {
    let ids = segments.map_or_else(|| vec![0; batch * seq], Segments::id_table);
    let mut keys = Vec::with_capacity(batch * (past + seq));
    for row in 0..batch {
        let visible = earlier[row].min(past);
        keys.extend((0..past).map(|column| if column + visible < past { HIDDEN } else { 0 }));
        let tokens = segments.map_or(0..seq, |segments| segments.columns(row));
        keys.extend((0..seq).map(|t| if tokens.contains(&t) { ids[row * seq + t] } else { HIDDEN }));
    }
    (
        Tensor::from_data(TensorData::new(ids, [batch, seq]), device),
        Tensor::from_data(TensorData::new(keys, [batch, past + seq]), device),
    )
}

/// The document of keys that no query sees.
const HIDDEN: i32 = -1;

impl SequenceMixer for Attention {
    type State = KvCache;

    fn init_state(&self, batch: usize, device: &Device) -> KvCache {
        let dtype = output_dtype(&self.k_proj);
        KvCache::new(self.cache_dims(batch), self.config.window, (device, dtype))
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<KvCache>,
    ) -> (Tensor<3>, KvCache) {
        let [batch, _, _] = x.dims();
        assert_shape!(x, [_, _, self.config.d_model]);
        if let Some(state) = &state {
            state.check(self.cache_dims(batch), self.config.window);
        }
        Segments::aligned(x, segments, |x, segments| self.mix(x, segments, state))
    }

    fn step(&self, x: Tensor<2>, state: KvCache) -> (Tensor<2>, KvCache) {
        let [batch, _] = x.dims();
        assert_shape!(x, [_, self.config.d_model]);
        state.check(self.cache_dims(batch), self.config.window);
        let seen = state.seen().to_vec();
        let [q, k, v] = self.project(x.unsqueeze_dim(1), &positions(None, &seen, 1));
        let device = q.device();
        let state = state.push(k, v);
        let (k, v, oldest) = state.columns();
        let columns = state.len();
        let documents = seen.iter().any(|&seen| seen + 1 < columns).then(|| {
            let visible: Vec<i32> = seen
                .iter()
                .flat_map(|&seen| {
                    (0..columns).map(move |column| {
                        let age = (column + columns - oldest) % columns;
                        if age + seen + 1 < columns { HIDDEN } else { 0 }
                    })
                })
                .collect();
            let queries = Tensor::zeros([batch, 1], &device);
            (queries, Tensor::from_data(TensorData::new(visible, [batch, columns]), &device))
        });
        let inputs = AttentionInputs { q, k, v, oldest, documents };
        let y = attention(inputs, &self.options(), Implementation::Auto);
        (apply_linear(&self.o_proj, from_heads(y)).squeeze_dim(1), state)
    }

    fn state_growth(&self) -> StateGrowth {
        self.config.window.map_or(StateGrowth::Linear, StateGrowth::Window)
    }
}
