//! Text from a published model: `cargo run --release --features tokenizers --example generate -- --model DIR --prompt TEXT`
#![recursion_limit = "256"]

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use burn_sequence::Result;
use burn_sequence::checkpoint::{self, Tokenizer};
use burn_sequence::generation::{GenerateOptions, Generated};
use burn_sequence::models::LanguageModel;
use clap::{Parser, ValueEnum};

#[path = "common/allocator.rs"]
mod allocator;
#[path = "common/device.rs"]
mod device;

#[derive(Parser, Debug)]
struct Flags {
    /// A folder with config.json, safetensors and tokenizer.json.
    #[arg(long)]
    model: PathBuf,
    /// What to continue; repeat for several at once.
    #[arg(long = "prompt", required = true)]
    prompts: Vec<String>,
    /// Tokens at most.
    #[arg(long, default_value_t = 128)]
    max_tokens: usize,
    /// 0: the most probable token; higher: more chance.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Only the most probable tokens, so many.
    #[arg(long)]
    top_k: Option<usize>,
    /// Only the most probable tokens that together reach this probability.
    #[arg(long)]
    top_p: Option<f64>,
    /// The same seed gives the same text.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A text ends before this; repeat for several.
    #[arg(long = "stop")]
    stops: Vec<String>,
    /// Tokens guessed ahead by copying what followed earlier.
    #[arg(long, default_value_t = 0)]
    speculate: usize,
    /// Weights in 32 bits, in the upper 16 of them, or in 8 with a scale for 8 by 8 weights.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: WeightType,
    /// flex, ndarray, wgpu, … as far as compiled in [default: BURN_DEVICE, or the default backend].
    #[arg(long)]
    device: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum WeightType {
    F32,
    Bf16,
    Int8,
}

fn main() {
    allocator::keep_large_buffers();
    if let Err(error) = generate(&Flags::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn generate(flags: &Flags) -> Result<()> {
    let device = device::named(flags.device.as_deref())?;
    let began = Instant::now();
    let tokenizer = Tokenizer::load(&flags.model)?;
    let published = checkpoint::load(&flags.model, &device)?;
    let stop_tokens = published.stop_tokens.clone();
    let model = match flags.dtype {
        WeightType::F32 => published.model,
        WeightType::Bf16 => published.model.to_bf16(),
        WeightType::Int8 => published.model.quantize(),
    };
    eprintln!("{:?} loaded in {:.2} s", flags.model, began.elapsed().as_secs_f64());

    let prompts = flags.prompts.iter().map(|prompt| tokenizer.encode(prompt)).collect::<Result<Vec<_>>>()?;
    let mut options = GenerateOptions::default()
        .with_max_tokens(flags.max_tokens)
        .with_temperature(flags.temperature)
        .with_seed(flags.seed)
        .with_speculate(flags.speculate)
        .with_stop_tokens(stop_tokens);
    (options.top_k, options.top_p) = (flags.top_k, flags.top_p);

    let mut rows =
        prompts.iter().map(|prompt| Text::after(prompt, &tokenizer)).collect::<Result<Vec<_>>>()?;
    // One text is told as it comes; several would be told in turns, and wait for the end.
    let alone = rows.len() == 1;
    let began = Instant::now();
    let mut first = None;
    let mut problem = None;
    let generated = model.generate_with(&prompts, &options, |row, token| {
        first.get_or_insert_with(|| began.elapsed());
        match rows[row].push(token, &flags.stops) {
            Ok((new, flow)) => {
                if alone {
                    print!("{new}");
                    let _ = std::io::stdout().flush();
                }
                flow
            }
            Err(error) => {
                problem = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    let took = began.elapsed();
    problem.map_or(Ok(()), Err)?;
    for row in &mut rows {
        let held_back = row.finish()?;
        if alone {
            println!("{held_back}");
        }
    }
    if !alone {
        flags.prompts.iter().zip(&rows).for_each(|(prompt, row)| println!("{prompt}\n{}\n", row.text.trim()));
    }
    // Guessing ahead, one text waits for another before it is read.
    let first = first.filter(|_| alone || flags.speculate == 0);
    report(&model, &prompts, &generated, first, took);
    Ok(())
}

/// How fast, and how much is remembered.
fn report(
    model: &LanguageModel,
    prompts: &[Vec<u32>],
    generated: &[Generated],
    first: Option<Duration>,
    took: Duration,
) {
    let read: usize = prompts.iter().map(Vec::len).sum();
    let written: usize = generated.iter().map(|row| row.tokens.len()).sum();
    let longest = prompts.iter().zip(generated).map(|(prompt, row)| prompt.len() + row.tokens.len()).max();
    let peak =
        peak_memory().map_or(String::new(), |bytes| format!("; {:.0} MiB at most", bytes / 1_048_576.0));
    let speed = match first {
        Some(first) => format!(
            "{read} tokens read, {:.1} a second; {written} written, {:.1} a second",
            read as f64 / first.as_secs_f64(),
            written.saturating_sub(generated.len()) as f64 / (took - first).as_secs_f64().max(1e-9),
        ),
        None => format!("{read} tokens read and {written} written in {:.2} s", took.as_secs_f64()),
    };
    eprintln!(
        "{speed}; a state of {} tokens has {} bytes{peak}",
        longest.unwrap_or(0),
        longest.map_or(0, |len| model.state_bytes(len)),
    );
}

/// The most memory that the process has had, where Linux tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024.0 * line.trim().strip_suffix(" kB")?.parse::<f64>().ok()?)
}

/// A text as it comes.
struct Text<'a> {
    stream: checkpoint::TextStream<'a>,
    text: String,
    /// Bytes that were told.
    told: usize,
    /// At a stop.
    ended: bool,
}

impl<'a> Text<'a> {
    fn after(prompt: &[u32], tokenizer: &'a Tokenizer) -> Result<Self> {
        Ok(Self { stream: tokenizer.stream_after(prompt)?, text: String::new(), told: 0, ended: false })
    }

    /// What was held back, in case more came.
    fn finish(&mut self) -> Result<String> {
        if !self.ended {
            self.text += &self.stream.clone().finish()?;
        }
        Ok(self.text[self.told.min(self.text.len())..].to_string())
    }

    /// What can be told after this token: not yet what may be the beginning of a stop, and nothing from a stop on.
    fn push(&mut self, token: u32, stops: &[String]) -> Result<(String, ControlFlow<()>)> {
        self.text += &self.stream.push(token)?;
        let stop = stops.iter().filter_map(|stop| self.text.find(stop.as_str())).min();
        let end = stop.unwrap_or_else(|| {
            let begins = |at: &usize| stops.iter().any(|stop| stop.starts_with(&self.text[*at..]));
            let places = self.text.char_indices().map(|(at, _)| at);
            places.filter(|at| *at >= self.told).find(begins).unwrap_or(self.text.len())
        });
        if stop.is_some() {
            self.text.truncate(end);
            self.ended = true;
        }
        let new = self.text.get(self.told..end).unwrap_or_default().to_string();
        self.told = self.told.max(end);
        Ok((new, if stop.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }))
    }
}
