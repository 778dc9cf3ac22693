//! Composable sequence-model layers for [Burn](https://burn.dev).
#![warn(missing_docs)]
#![recursion_limit = "256"]

mod error;
mod files;
mod kernels;
pub mod layers;
pub mod models;
pub mod ops;
pub mod tasks;

pub use error::{Error, Result};
