//! Text out of a language model, a token at a time.
//!
//! [`LanguageModel::generate`](crate::models::LanguageModel::generate) reads prompts of any lengths in one pass
//! and goes on with all of them together; [`GenerateOptions`] says how long, and how a token is chosen. The parts
//! are there for loops of your own: a [`Decoder`] holds the state and gives logits, a [`Sampler`] chooses.
//!
//! A token costs one [`step`](crate::models::LanguageModel::step), whose time and memory do not grow with the
//! text where every mixer is recurrent or has a window, and grow linearly where one attends to everything.

mod decoder;
mod generate;
mod options;
mod sampler;
mod speculation;

pub use decoder::Decoder;
pub use generate::{Finish, Generated};
pub use options::GenerateOptions;
pub use sampler::Sampler;
