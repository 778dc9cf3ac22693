//! Composable sequence-model layers for [Burn](https://burn.dev).
#![warn(missing_docs)]
#![recursion_limit = "256"]

mod error;
pub mod evaluation;
mod files;
pub mod generation;
mod kernels;
pub mod layers;
pub mod models;
pub mod ops;
pub mod tasks;
#[cfg(feature = "autodiff")]
pub mod testing;
#[cfg(feature = "autodiff")]
pub mod training;

pub use error::{Error, Result};
