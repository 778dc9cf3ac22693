//! What can be said without training: bounds on what a state of so many bits can copy.
//!
//! Source: *Repeat After Me: Transformers are Better than State Space Models at Copying*
//! ([arXiv 2402.01032](https://arxiv.org/abs/2402.01032)), section 2.

pub mod capacity;
