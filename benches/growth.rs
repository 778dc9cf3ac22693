//! Time and memory of a step of training, by the length of the sequence, for every mixer of the list: two tables, and
//! two charts.
//!
//! ```text
//! cargo bench --bench growth                           # tables
//! cargo bench --bench growth -- --out docs/performance # and charts
//! ```
#![recursion_limit = "256"]

#[path = "../examples/common/allocator.rs"]
mod allocator;
#[path = "common/cases.rs"]
mod cases;
#[allow(dead_code, reason = "other charts have linear axes")]
#[path = "../examples/common/chart.rs"]
mod chart;
#[path = "common/drain.rs"]
mod drain;
#[path = "../examples/common/files.rs"]
mod files;

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use burn_sequence::layers::{BuildMixer, MixerConfig, SequenceMixer};
use cases::{D_MODEL, mixers};
use chart::{Chart, Look, Scale, Series};
use clap::Parser;
use drain::drain;
use plotters::style::Color as _;
use plotters::style::{HSLColor, RGBColor};

/// Time and memory of a step of training, by the length of the sequence.
#[derive(Parser)]
struct Flags {
    /// Where charts go; none are drawn without.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Mixers whose names contain this.
    #[arg(default_value = "")]
    filter: String,
    /// Lengths from 2⁸ to two to this power.
    #[arg(long, default_value_t = 14)]
    longest: u32,
    /// Each once on 256 tokens: does it run?
    #[arg(long)]
    test: bool,
    /// The step of one mixer on so many tokens, and the peak of memory; what the process runs in others of itself.
    #[arg(long, hide = true)]
    peak: Option<usize>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A mixer's value at every length.
struct Row {
    name: String,
    values: Vec<(usize, f64)>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let flags = Flags::parse();
    if let Some(seq) = flags.peak {
        let (_, config) = mixers().find(|(name, _)| *name == flags.filter).ok_or("no such mixer")?;
        Step::new(&config, seq).run();
        println!("{}", peak_bytes()?);
        return Ok(());
    }
    let longest = if flags.test { 8 } else { flags.longest };
    let lengths: Vec<usize> = (8..=longest).map(|power| 1 << power).collect();
    let chosen: Vec<_> = mixers().filter(|(name, _)| name.contains(&flags.filter)).collect();
    let memory = rows(&chosen, &lengths, |name, _, seq| peak_of_another(name, seq))?;
    allocator::keep_large_buffers();
    let time =
        rows(&chosen, &lengths, |_, config, seq| Ok(seconds(config, seq, flags.test) / seq as f64 * 1e6))?;
    show("microseconds a token", &time, &lengths);
    show("MiB resident at most", &memory, &lengths);
    if let Some(out) = &flags.out {
        std::fs::create_dir_all(out)?;
        draw(&out.join("time.svg"), "Time of a step of training", "microseconds a token", time)?;
        draw(&out.join("memory.svg"), "Memory of a step of training", "MiB resident at most", memory)?;
    }
    Ok(())
}

fn rows(
    mixers: &[(String, MixerConfig)],
    lengths: &[usize],
    value: impl Fn(&str, &MixerConfig, usize) -> Outcome<f64>,
) -> Outcome<Vec<Row>> {
    let row = |(name, config): &(String, MixerConfig)| {
        let values = lengths.iter().map(|&seq| Ok((seq, value(name, config, seq)?)));
        Ok(Row { name: name.clone(), values: values.collect::<Outcome<_>>()? })
    };
    mixers.iter().map(row).collect()
}

/// A mixer in one row of so many tokens, with gradients.
struct Step<M> {
    mixer: M,
    x: Tensor<3>,
}

impl Step<burn_sequence::layers::Mixer> {
    fn new(config: &MixerConfig, seq: usize) -> Self {
        let device = Device::default().autodiff();
        let x = Tensor::random([1, seq, D_MODEL], Distribution::Normal(0.0, 1.0), &device);
        Self { mixer: config.build(&device).train(), x: x.require_grad() }
    }

    fn run(&self) -> Duration {
        let began = Instant::now();
        let mut gradients = self.mixer.forward(self.x.clone(), None, None).0.sum().backward();
        drain(&self.x.grad_remove(&mut gradients).expect("a gradient of the inputs"));
        drop(GradientsParams::from_grads(gradients, &self.mixer));
        began.elapsed()
    }
}

/// The median of some runs after a first.
fn seconds(config: &MixerConfig, seq: usize, once: bool) -> f64 {
    let step = Step::new(config, seq);
    let first = step.run();
    if once {
        return first.as_secs_f64();
    }
    let runs = (Duration::from_secs(1).as_nanos() / first.as_nanos().max(1)).clamp(3, 15);
    let mut times: Vec<Duration> = (0..runs).map(|_| step.run()).collect();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn peak_of_another(name: &str, seq: usize) -> Outcome<f64> {
    let this = std::env::current_exe()?;
    let output = Command::new(this).args([name, "--peak", &seq.to_string()]).output()?;
    let bytes: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(bytes / f64::from(1 << 20))
}

/// The most memory that was resident at once; known on Linux alone.
fn peak_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line.map_or(Ok(0), |line| line.trim().trim_end_matches(" kB").parse())?;
    Ok(1024 * kilobytes)
}

fn show(what: &str, rows: &[Row], lengths: &[usize]) {
    println!(
        "\n| {what} | {} | 16,384 / 1,024 |",
        lengths.iter().map(usize::to_string).collect::<Vec<_>>().join(" | ")
    );
    println!("|{}", " --- |".repeat(lengths.len() + 2));
    for Row { name, values } in rows {
        let at = |seq| values.iter().find(|value| value.0 == seq).map(|value| value.1);
        let growth =
            at(16384).zip(at(1024)).map_or(String::new(), |(long, short)| format!("{:.2}", long / short));
        let cells: Vec<String> = values.iter().map(|(_, value)| format!("{value:.3}")).collect();
        println!("| {name} | {} | {growth} |", cells.join(" | "));
    }
}

fn draw(path: &std::path::Path, title: &str, y: &str, mut rows: Vec<Row>) -> Outcome<()> {
    // The legend in the order of the lines' right ends.
    let last = |row: &Row| row.values.last().map_or(0.0, |value| value.1);
    rows.sort_by(|a, b| last(b).total_cmp(&last(a)));
    let count = rows.len() as f64;
    let series = rows.into_iter().enumerate().map(|(index, Row { name, values })| {
        let (red, green, blue) = HSLColor(index as f64 / count, 0.75, 0.42).to_rgba().rgb();
        let points: Vec<_> = values.into_iter().map(|(seq, value)| (seq as f64, value)).collect();
        Series {
            name,
            look: Look { color: RGBColor(red, green, blue), marker: index },
            line: points.clone(),
            dots: points,
            intervals: Vec::new(),
        }
    });
    let chart = Chart { title, labels: ["tokens", y], scales: [Scale::Log, Scale::Log], side_by_side: false };
    Ok(chart.draw(path, &series.collect::<Vec<_>>())?)
}
