//! What the experiments share: flags, models, progress, records, tables and plots.

pub mod allocator;
pub mod chart;
pub mod cli;
pub mod models;
pub mod plots;
pub mod progress;
pub mod records;
pub mod runs;
pub mod table;
