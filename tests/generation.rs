//! Generation through the public API: greedy is what repeated whole passes say, rows do not see each other, and so on.
#![recursion_limit = "256"]

#[path = "ops/on_host.rs"]
mod on_host;

#[path = "generation/models.rs"]
mod models;

#[path = "generation/decoder.rs"]
mod decoder;
#[path = "generation/ends.rs"]
mod ends;
#[path = "generation/narrow.rs"]
mod narrow;
#[path = "generation/tokens.rs"]
mod tokens;
