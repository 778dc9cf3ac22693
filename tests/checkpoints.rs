//! Published models through the public API: what they say, what is written back, and what is wrong with damaged ones.
#![recursion_limit = "256"]

#[path = "checkpoints/damaged.rs"]
mod damaged;
#[path = "checkpoints/families.rs"]
mod families;
#[path = "checkpoints/folder.rs"]
mod folder;
#[path = "checkpoints/hostile.rs"]
mod hostile;
#[cfg(feature = "tokenizers")]
#[path = "checkpoints/tokenizer.rs"]
mod tokenizer;
