//! Sequence-model layers for [Burn](https://burn.dev) that can be combined: softmax attention, Mamba, Mamba-2,
//! linear attention, retention, gated linear attention, DeltaNet, Gated DeltaNet, the RG-LRU, minGRU, S4D and the LSTM,
//! hybrids of them, and mixers of your own, behind one contract.
//!
//! A [mixer](layers::SequenceMixer) is a causal map over a sequence that runs in three ways: over everything at
//! once, in pieces, and one token at a time from a [state](layers::MixerState) that is a plain value. The three
//! agree in values and gradients.
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use burn_sequence::generation::GenerateOptions;
//! use burn_sequence::layers::MixerState;
//! use burn_sequence::models::LanguageModelConfig;
//!
//! let device = Device::default();
//! let pattern = "2*(mamba2, attention(n_heads=4, window=64) + swiglu)";
//! let config: LanguageModelConfig = LanguageModelConfig::parse(pattern, 64, 256)?;
//! let model = config.init(&device);
//!
//! // A prompt at once, then one token more.
//! let prompt = Tensor::<2, Int>::from_data([[72, 101, 108, 108, 111]], &device);
//! let (logits, state) = model.forward(prompt, None, None);
//! assert_eq!(logits.dims(), [1, 5, 256]);
//! println!("{} bytes remember the prompt", state.bytes());
//! let (logits, _) = model.step(Tensor::<1, Int>::from_data([44], &device), state);
//! assert_eq!(logits.dims(), [1, 256]);
//!
//! // Prompts of different lengths, together.
//! let options = GenerateOptions::default().with_max_tokens(8);
//! let generated = model.generate(&[vec![72, 105], vec![72, 101, 121]], &options)?;
//! assert_eq!(generated[1].tokens.len(), 8);
//! # Ok::<(), burn_sequence::Error>(())
//! ```
//!
//! # Map
//!
//! Each module knows only those below it; tasks know no model, and models no task.
//!
//! | module | what is there |
//! |---|---|
//! | [`scorecard`] | what an architecture can do, at a glance |
//! | `learner` | the same models under burn-train (feature `learner`) |
//! | [`training`] | [`fit`](training::fit): fresh examples at every step, AdamW, runs that resume |
//! | [`evaluation`] | strings and characters right, by length; perplexity |
//! | [`theory`] | a transformer that copies by construction; what a state of so many bits can copy at best |
//! | [`tasks`] | seeded synthetic tasks: copying, n-gram lookup, duplicated n-grams, associative recall, selective copying, induction, flip-flop, the phone book, real text; packing; batches |
//! | [`checkpoint`] | published models: Hugging Face's folders, loaded and saved |
//! | [`generation`] | [`generate`](models::LanguageModel::generate), [`Decoder`](generation::Decoder), [`Sampler`](generation::Sampler) |
//! | [`testing`] | the laws of a mixer as a suite, for mixers of your own |
//! | [`models`] | [`LanguageModel`](models::LanguageModel), backbones, blocks, and the [hybrid notation](models::pattern) |
//! | [`layers`] | the mixers, one a paper; the contract; [`mixers!`], which makes one mixer out of many |
//! | [`ops`] | the recurrences, without parameters; [`Segments`](ops::Segments): packed documents and padding, as data |
//!
//! Under the ops lie fused CPU kernels, each with a backward of its own, and under most of the recurrences kernels for GPUs. Where
//! the backend has none, ops run in plain tensor operations.
//!
//! # Features
//!
//! `flex` and `autodiff` are on by default. `ndarray`, `wgpu`, `vulkan`, `webgpu`, `metal`, `cuda` and `rocm` add
//! Burn's other backends; the environment variable `BURN_DEVICE` names the one that `Device::default()` is. `tokenizers` reads
//! the tokenizers of published models, `learner` trains by burn-train. `fusion` is for GPUs: turn it on where `burn` has its
//! default features.
//! Without `autodiff` there are no gradients, and no `training`, `scorecard` and `testing`.
#![warn(missing_docs)]
#![recursion_limit = "256"]

mod check;
pub mod checkpoint;
#[cfg(doctest)]
mod doctests;
mod error;
pub mod evaluation;
mod files;
pub mod generation;
#[cfg_attr(not(feature = "autodiff"), allow(dead_code, reason = "backwards"))]
mod kernels;
pub mod layers;
#[cfg(feature = "learner")]
pub mod learner;
pub mod models;
pub mod ops;
#[cfg(feature = "autodiff")]
pub mod scorecard;
pub mod tasks;
#[cfg(feature = "autodiff")]
pub mod testing;
pub mod theory;
#[cfg(feature = "autodiff")]
pub mod training;

pub use error::{Error, Result};
