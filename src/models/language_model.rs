//! Tokens to logits.

use burn::module::{Initializer, Module, ModuleVisitor, Param};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use super::backbone::{Backbone, BackboneConfig, BackboneState};
use crate::check::{check_positive, check_sizes, expect_valid};
use crate::kernels::among_workers;
use crate::layers::{BuildMixer, Mixer, MixerConfig, MixerState, SequenceMixer};
use crate::ops::{Implementation, Segments, WeightLayout, apply_linear, expect_tokens, linear, soft_cap};
use crate::{Error, Result};

/// The matrix that turns hidden vectors into logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One of its own.
    #[default]
    Untied,
    /// The embedding's, transposed.
    Tied,
}

/// Configuration of a [`LanguageModel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageModelConfig<C = MixerConfig> {
    /// Tokens are below this.
    pub vocab_size: usize,
    /// Everything between embedding and head.
    pub backbone: BackboneConfig<C>,
    /// The head.
    #[serde(default)]
    pub head: Head,
    /// Vectors of the embedding are multiplied by this (Gemma: √d_model).
    #[serde(default = "one")]
    pub embedding_scale: f64,
    /// c: logits l become `c tanh(l / c)` (arXiv 2408.00118, section 2); `None`: they stay as they are.
    #[serde(default)]
    pub logits_soft_cap: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// Embedding, backbone, head.
///
/// Embedding and head start from a normal distribution of deviation 0.02; everything else as its layer says.
#[derive(Module, Debug)]
pub struct LanguageModel<M: SequenceMixer = Mixer> {
    /// `[vocab_size, d_model]`.
    pub embedding: Embedding,
    /// The layers.
    pub backbone: Backbone<M>,
    /// `[d_model, vocab_size]`; `None`: the embedding's weights.
    pub head: Option<Linear>,
    #[module(skip)]
    embedding_scale: f64,
    #[module(skip)]
    logits_soft_cap: Option<f64>,
}

/// The state of a [`LanguageModel`] of mixers `M`.
pub type ModelState<M = Mixer> = BackboneState<<M as SequenceMixer>::State>;

impl<C: BuildMixer> LanguageModelConfig<C> {
    /// A model over this backbone.
    pub fn new(vocab_size: usize, backbone: BackboneConfig<C>) -> Self {
        Self { vocab_size, backbone, head: Head::default(), embedding_scale: 1.0, logits_soft_cap: None }
    }

    /// With this head.
    pub fn with_head(mut self, head: Head) -> Self {
        self.head = head;
        self
    }

    /// With vectors of the embedding multiplied by this.
    pub fn with_embedding_scale(mut self, scale: f64) -> Self {
        self.embedding_scale = scale;
        self
    }

    /// With logits between −c and c.
    pub fn with_logits_soft_cap(mut self, c: Option<f64>) -> Self {
        self.logits_soft_cap = c;
        self
    }

    /// Whether such a model can be built.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming what is wrong.
    pub fn check(&self) -> Result<()> {
        check_sizes(
            "language model",
            &[("vocab_size", self.vocab_size), ("d_model", self.backbone.d_model)],
        )?;
        check_positive("language model", "embedding_scale", self.embedding_scale)?;
        check_positive("language model", "logits_soft_cap", self.logits_soft_cap.unwrap_or(1.0))?;
        self.backbone.check()
    }

    /// Builds the model. Parameters are drawn at once, in a fixed order, so that `device.seed` decides them.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](Self::check).
    pub fn init(&self, device: &Device) -> LanguageModel<C::Mixer> {
        let model = self.blank(device);
        model.visit(&mut Draw);
        model
    }

    /// The number of parameters of such a model.
    ///
    /// Some of them are drawn for it: `device.seed` comes after, if it is to decide those of [`init`](Self::init).
    ///
    /// # Panics
    ///
    /// With the message of [`check`](Self::check).
    pub fn num_params(&self) -> usize {
        self.blank(&Device::default()).num_params()
    }

    /// The model, its parameters not drawn yet where they can wait for their first use.
    pub(crate) fn blank(&self, device: &Device) -> LanguageModel<C::Mixer> {
        expect_valid(self.check());
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let d_model = self.backbone.d_model;
        let head =
            LinearConfig::new(d_model, self.vocab_size).with_bias(false).with_initializer(normal.clone());
        LanguageModel {
            embedding: EmbeddingConfig::new(self.vocab_size, d_model).with_initializer(normal).init(device),
            backbone: self.backbone.init(device),
            head: (self.head == Head::Untied).then(|| head.init(device)),
            embedding_scale: self.embedding_scale,
            logits_soft_cap: self.logits_soft_cap,
        }
    }
}

/// Draws every parameter that waits for its first use.
pub(crate) struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let _ = param.val();
    }
}

impl<M: SequenceMixer> LanguageModel<M> {
    /// Tokens are below this.
    pub fn vocab_size(&self) -> usize {
        let [vocab_size, _] = self.embedding.weight.lazy_shape().dims();
        vocab_size
    }

    /// Width of the model.
    pub fn d_model(&self) -> usize {
        let [_, d_model] = self.embedding.weight.lazy_shape().dims();
        d_model
    }

    /// The device the model is on.
    pub fn device(&self) -> Device {
        self.embedding.weight.lazy_device()
    }

    /// The state before the first token.
    pub fn init_state(&self, batch: usize, device: &Device) -> ModelState<M> {
        self.backbone.init_state(batch, device)
    }

    /// Bytes that the state of one row holds after `len` tokens: measured, on a run over that many.
    pub fn state_bytes(&self, len: usize) -> usize {
        let model = self.valid();
        let device = model.device();
        match len {
            0 => model.init_state(1, &device).bytes(),
            _ => model.hidden(Tensor::zeros([1, len], &device), None, None).1.bytes(),
        }
    }

    /// `tokens [batch, seq]` to the hidden vectors before the head, `[batch, seq, d_model]`.
    ///
    /// # Panics
    ///
    /// If `tokens`, `segments` and `state` do not agree.
    pub fn hidden(
        &self,
        tokens: Tensor<2, Int>,
        segments: Option<&Segments>,
        state: Option<ModelState<M>>,
    ) -> (Tensor<3>, ModelState<M>) {
        among_workers(&self.device(), || self.backbone.forward(self.embed(tokens), segments, state))
    }

    /// `tokens [batch, seq]` to the vectors that the first layer reads, `[batch, seq, d_model]`.
    ///
    /// # Panics
    ///
    /// If there is no row or no token.
    pub fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        expect_tokens("tokens", tokens.dims());
        let x = self.embedding.forward(tokens);
        if self.embedding_scale == 1.0 { x } else { x * self.embedding_scale }
    }

    /// Hidden vectors `[…, d_model]` to logits `[…, vocab_size]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        let logits = match &self.head {
            Some(head) => apply_linear(head, hidden),
            None => {
                let weight = self.embedding.weight.val();
                linear(hidden, weight, None, WeightLayout::OutputFirst, Implementation::Auto)
            }
        };
        match self.logits_soft_cap {
            Some(cap) => soft_cap(logits, cap),
            None => logits,
        }
    }

    /// `tokens [batch, seq]` to logits `[batch, seq, vocab_size]`, continuing from `state`.
    ///
    /// # Panics
    ///
    /// If `tokens`, `segments` and `state` do not agree, or a token is not below `vocab_size`.
    pub fn forward(
        &self,
        tokens: Tensor<2, Int>,
        segments: Option<&Segments>,
        state: Option<ModelState<M>>,
    ) -> (Tensor<3>, ModelState<M>) {
        among_workers(&self.device(), || {
            let (hidden, state) = self.hidden(tokens, segments, state);
            (self.logits(hidden), state)
        })
    }

    /// One token of every row, `[batch]`, to logits `[batch, vocab_size]`.
    ///
    /// # Panics
    ///
    /// If `tokens` and `state` do not agree, or a token is not below `vocab_size`.
    pub fn step(&self, tokens: Tensor<1, Int>, state: ModelState<M>) -> (Tensor<2>, ModelState<M>) {
        among_workers(&self.device(), || {
            let [batch] = tokens.dims();
            let x = self.embed(tokens.unsqueeze_dim(1)).squeeze_dim::<2>(1);
            assert_shape!(x, [batch, _]);
            let (hidden, state) = self.backbone.step(x, state);
            (self.logits(hidden), state)
        })
    }

    /// Whether every token is in the vocabulary.
    ///
    /// # Errors
    ///
    /// [`Error::Tokens`], naming the first that is not, and where.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let vocab_size = self.vocab_size();
        match tokens.iter().position(|&token| token as usize >= vocab_size) {
            Some(place) => Err(Error::Tokens(format!(
                "token {} at position {place} is out of range: vocab_size is {vocab_size}",
                tokens[place]
            ))),
            None => Ok(()),
        }
    }
}
