//! What the experiments share: flags, models, runs, records, tables and figures.
#![allow(dead_code, reason = "an experiment uses a part of it")]

pub mod allocator;
pub mod chart;
pub mod cli;
pub mod device;
pub mod experiment;
pub mod files;
pub mod folder;
pub mod models;
pub mod origin;
pub mod people;
pub mod plots;
pub mod progress;
pub mod questions;
pub mod records;
pub mod report;
pub mod runs;
pub mod statistics;
pub mod table;
pub mod text;
pub mod trainer;

use std::process::ExitCode;

use burn_sequence::Result;
use clap::Parser;

/// The `main` of an experiment that takes such flags.
pub fn run<Flags: Parser>(experiment: impl Fn(&Flags) -> Result<()>) -> ExitCode {
    allocator::keep_large_buffers();
    progress::catch_interrupts();
    match experiment(&Flags::parse()) {
        Ok(()) if progress::interrupted() => {
            if Flags::command().get_arguments().any(|flag| flag.get_id() == "resume") {
                eprintln!("interrupted; the same command with --resume goes on");
            }
            ExitCode::from(130)
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
