//! Who can copy? Trains transformers, state-space models and a hybrid to copy short strings, then asks for long ones.
//!
//! ```text
//! cargo run --release --example copying                  # every model, then a table and two plots
//! cargo run --release --example copying -- --quick       # three models, minutes
//! cargo run --release --example copying -- --model "2*(mamba2, attention + swiglu)"
//! ```
//!
//! The experiment of arXiv 2402.01032, figures 2 and 3, at a laptop's size; see docs/experiments/copying.md.
#![recursion_limit = "256"]

mod common;

use burn_sequence::Result;
use burn_sequence::tasks::Copying;
use clap::Parser;
use common::records::{CurveRecord, Record, Records};
use common::{allocator, cli::Options, plots, progress, runs, table};

fn main() -> std::process::ExitCode {
    allocator::keep_large_buffers();
    progress::catch_interrupts();
    match copying(&Options::parse()) {
        Ok(()) if progress::interrupted() => {
            eprintln!("interrupted; the same command with --resume goes on");
            std::process::ExitCode::from(130)
        }
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn copying(options: &Options) -> Result<()> {
    let task = Copying::new(options.train_len.clone());
    let records = runs::train_and_test("copying", &task, options)?;
    if records.records.is_empty() {
        return Ok(());
    }
    println!(
        "\nString accuracy by length (trained on {}–{})\n",
        options.train_len.start(),
        options.train_len.end()
    );
    println!("{}", table::by_length(&records.records));
    draw(options, &records.records)
}

fn draw(options: &Options, records: &[Record]) -> Result<()> {
    let curves = Records::<CurveRecord>::open(&options.out.join("curves.jsonl"), true)?;
    let names = table::names(records);
    let line = |model: &String, points: Vec<(f64, f64)>| plots::Line { model: model.clone(), points };
    let lengths = names.iter().map(|name| {
        let own = records.iter().filter(|record| record.model == *name);
        line(name, own.map(|record| (record.test_len as f64, record.string_accuracy)).collect())
    });
    let learning = names.iter().map(|name| {
        let own = curves.records.iter().filter(|record| record.model == *name);
        line(name, own.map(|record| (record.examples as f64, record.string_accuracy)).collect())
    });
    let trained = options.train_len.end();
    let by_length = options.out.join("accuracy_by_length.svg");
    let title = format!("Copying, trained up to length {trained}");
    let axes = ["length of the string (characters, log scale)", "strings copied without a mistake"];
    plots::draw(&by_length, &title, axes, true, &lengths.collect::<Vec<_>>())?;
    let curve = options.out.join("learning_curve.svg");
    let axes = ["examples seen", "strings copied without a mistake"];
    let title = format!("Learning to copy strings of length {trained}");
    plots::draw(&curve, &title, axes, false, &learning.collect::<Vec<_>>())?;
    println!("\nrecords and plots are in {}", options.out.display());
    Ok(())
}
