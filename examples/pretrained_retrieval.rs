//! What a published model finds in its context: phone books, and texts to copy, natural and shuffled.
//!
//! ```text
//! cargo run --release --features tokenizers --example pretrained_retrieval -- --model DIR
//! ```
//!
//! arXiv 2402.01032, section 4; see docs/experiments/pretrained_retrieval.md.
#![recursion_limit = "256"]

mod common;
#[path = "pretrained/questions.rs"]
mod questions;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn_sequence::checkpoint::{self, Checkpoint, Tokenizer};
use burn_sequence::generation::GenerateOptions;
use burn_sequence::{Error, Result};
use clap::Parser;
use common::origin::{self, Origin};
use common::plots::{Line, draw};
use common::records::Records;
use common::statistics::Estimate;
use common::{cli, device, folder, progress, table, text};
use fnv::FnvHasher;
use questions::{Kind, Question, Source};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Flags {
    /// A folder with config.json, safetensors and tokenizer.json, whose name is the model's; repeat for several.
    #[arg(long = "model")]
    models: Vec<PathBuf>,
    /// What to ask; repeat for several [default: all].
    #[arg(long = "ask", value_enum)]
    kinds: Vec<Kind>,
    /// Entries of phone books.
    #[arg(long, value_delimiter = ',', default_value = "5,10,20,40", value_parser = cli::positive)]
    entries: Vec<usize>,
    /// Tokens of texts to copy.
    #[arg(long, value_delimiter = ',', default_value = "10,25,50,100,200", value_parser = cli::positive)]
    tokens: Vec<usize>,
    /// Questions of a length.
    #[arg(long, default_value_t = 64, value_parser = cli::positive)]
    strings: usize,
    /// Natural text [default: this project's documentation].
    #[arg(long)]
    text: Option<PathBuf>,
    /// Draw tables and figures of the records in --out again; ask nothing.
    #[arg(long)]
    plot: bool,
    /// Where records and figures go; what is there is not asked again.
    #[arg(long, default_value = "runs/pretrained_retrieval")]
    out: PathBuf,
    /// flex, ndarray, wgpu, … as far as compiled in [default: BURN_DEVICE, or the default backend].
    #[arg(long)]
    device: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    model: String,
    /// A number of its configuration and its files' sizes: another model of the same name is told apart, other weights of one model
    /// are not.
    #[serde(default)]
    files: String,
    family: String,
    ask: String,
    length: usize,
    strings: usize,
    right: usize,
    /// Bytes of the model's state when the answer is due, of the longest question.
    state_bytes: usize,
    seconds: f64,
    version: String,
    #[serde(flatten)]
    origin: Origin,
}

fn main() -> std::process::ExitCode {
    common::run(pretrained_retrieval)
}

fn pretrained_retrieval(flags: &Flags) -> Result<()> {
    let path = flags.out.join("results.jsonl");
    if flags.plot {
        return show(&Records::read(&path)?, &flags.out);
    }
    if flags.models.is_empty() {
        return Err(Error::Config("--model: name a folder with a published model".into()));
    }
    let names: Vec<String> = flags.models.iter().map(|folder| name(folder)).collect();
    if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        return Err(Error::Config(format!("--model: two folders are called {:?}: rename one", twice.1)));
    }
    let text = flags.text.as_deref().map_or_else(text::documentation, text::read)?;
    let _ours = folder::lock(&flags.out)?;
    text::only(&flags.out, &text)?;
    let mut records: Records<Record> = Records::open(&path)?;
    for folder in &flags.models {
        if progress::interrupted() {
            return Ok(());
        }
        ask(folder, flags, &text, &mut records)?;
    }
    if progress::interrupted() {
        return Ok(());
    }
    show(&records.records, &flags.out)
}

/// What a model is called in the records, as its folder; and a file.
fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

/// A number of a model's configuration and of the sizes of its weights.
fn fingerprint(folder: &Path) -> Result<String> {
    let io = |source| Error::Io { path: folder.into(), source };
    let mut weights = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|kind| kind == "safetensors") {
            weights.push(format!("{} {}", name(&path), path.metadata().map_err(io)?.len()));
        }
    }
    weights.sort();
    let mut hasher = FnvHasher::default();
    hasher.write(text::read(&folder.join("config.json"))?.as_bytes());
    hasher.write(weights.join("\n").as_bytes());
    Ok(format!("{:016x}", hasher.finish()))
}

/// Asks a model what is not recorded yet.
fn ask(folder: &Path, flags: &Flags, text: &str, records: &mut Records<Record>) -> Result<()> {
    let name = name(folder);
    let tokenizer = Tokenizer::load(folder)?;
    let device = device::named(flags.device.as_deref())?;
    let origin = Origin::here(origin::called(&device));
    let published = checkpoint::load(folder, &device)?;
    let source = Source::new(&tokenizer, text)?;
    let files = fingerprint(folder)?;
    let is_another =
        |record: &&Record| record.model == name && !record.files.is_empty() && record.files != files;
    if records.records.iter().any(|record| is_another(&record)) {
        return Err(Error::Config(format!(
            "{}: another model called {name:?} was asked before; rename the folder, or name another by --out",
            folder.display()
        )));
    }
    let all = [Kind::PhoneBook, Kind::Copy, Kind::ShuffledCopy];
    for kind in if flags.kinds.is_empty() { &all[..] } else { &flags.kinds } {
        for &length in if *kind == Kind::PhoneBook { &flags.entries } else { &flags.tokens } {
            let known = |record: &Record| {
                (&record.model, record.ask.as_str(), record.length) == (&name, kind.name(), length)
                    && record.strings == flags.strings
            };
            if records.records.iter().any(known) {
                println!("{name}, {}, {length}: recorded earlier", kind.name());
                continue;
            }
            let began = Instant::now();
            let mut right = 0;
            let mut longest = 0;
            for number in 0..flags.strings as u64 {
                if progress::interrupted() {
                    return Ok(());
                }
                let question = source.question(*kind, length, number)?;
                let prompt = tokenizer.encode(&question.prompt)?;
                longest = longest.max(prompt.len());
                right += usize::from(says(&published, &tokenizer, prompt, &question, kind.stop())?);
            }
            let seconds = began.elapsed().as_secs_f64();
            println!("{name}, {}, {length}: {right} of {} in {seconds:.0} s", kind.name(), flags.strings);
            records.extend([Record {
                model: name.clone(),
                files: files.clone(),
                family: published.family().into(),
                ask: kind.name().into(),
                length,
                strings: flags.strings,
                right,
                state_bytes: published.model.state_bytes(longest),
                seconds,
                version: env!("CARGO_PKG_VERSION").into(),
                origin: origin.clone(),
            }])?;
        }
    }
    Ok(())
}

/// Whether the model, greedily, says the answer and then ends it.
fn says(
    published: &Checkpoint,
    tokenizer: &Tokenizer,
    prompt: Vec<u32>,
    question: &Question,
    stop: &str,
) -> Result<bool> {
    let room = tokenizer.encode(&question.answer)?.len() + 8;
    let options = GenerateOptions::default()
        .with_max_tokens(room)
        .with_stop_tokens(published.stop_tokens.clone())
        .with_speculate(8);
    let mut stream = tokenizer.stream();
    let mut said = String::new();
    let mut problem = Ok(());
    published.model.generate_with(&[prompt], &options, |_, token| {
        match stream.push(token) {
            Ok(new) => said += &new,
            Err(error) => problem = Err(error),
        }
        // What is wrong already cannot become right.
        let wrong =
            !said.trim_start().starts_with(&question.answer) && !question.answer.starts_with(said.trim());
        let end = said.trim_start().contains(stop);
        if end || wrong || problem.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    problem?;
    said += &stream.finish()?;
    let answer = said.trim_start().split(stop).next().unwrap_or_default();
    Ok(answer.trim_end() == question.answer)
}

/// A table and a figure for every kind of question.
fn show(records: &[Record], out: &Path) -> Result<()> {
    if records.is_empty() {
        return Err(Error::Config(format!("{}: no records to draw", out.display())));
    }
    // Of the same question the answers about most strings.
    let alike = |a: &Record, b: &Record| (&a.model, &a.ask, a.length) == (&b.model, &b.ask, b.length);
    let is_best = |record: &&Record| {
        !records.iter().any(|other| alike(record, other) && other.strings > record.strings)
    };
    let records: Vec<&Record> = records.iter().filter(is_best).collect();
    for kind in [Kind::PhoneBook, Kind::Copy, Kind::ShuffledCopy] {
        let mut lines: BTreeMap<&str, Vec<(f64, Estimate)>> = BTreeMap::new();
        let head = ["model", kind.unit(), "right", "95 %", "state"].map(String::from);
        let mut found = table::table(head.into_iter());
        for record in records.iter().filter(|record| record.ask == kind.name()) {
            let share = record.right as f64 / record.strings as f64;
            let estimate = Estimate { values: 0, ..Estimate::of(&[share], record.strings) };
            lines.entry(&record.model).or_default().push((record.length as f64, estimate));
            found.add_row([
                record.model.clone(),
                record.length.to_string(),
                format!("{:.3}", estimate.mean),
                format!("{:.3} – {:.3}", estimate.low, estimate.high),
                table::bytes(record.state_bytes),
            ]);
        }
        if lines.is_empty() {
            continue;
        }
        println!("\n{}\n\n{}", kind.name(), table::to_the_right(found));
        let lines = lines.into_iter().map(|(model, mut points)| {
            points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            Line { model: model.into(), points }
        });
        let title = format!("{} in the context of a pretrained model", kind.name().replace('_', " "));
        let labels = [kind.unit(), "answers without a mistake"];
        draw(&out.join(format!("{}.svg", kind.name())), &title, labels, true, &lines.collect::<Vec<_>>())?;
    }
    println!("\nrecords and figures are in {}", out.display());
    Ok(())
}
