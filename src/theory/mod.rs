//! What can be said without training: a transformer that copies by construction, what a state of so many bits can copy
//! at best, and machines and states that have just so many.
//!
//! Source: *Repeat After Me: Transformers are Better than State Space Models at Copying*
//! ([arXiv 2402.01032](https://arxiv.org/abs/2402.01032)), section 2.

pub mod capacity;
mod hash_copier;
mod quantise;
mod repeats;
mod shift_register;

pub use hash_copier::HashCopier;
pub use quantise::{Quantised, Quantiser};
pub use repeats::{repeat_bound, repeats};
pub use shift_register::ShiftRegister;
