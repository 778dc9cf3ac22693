//! The experiments' figures: one colour for a model everywhere, means with their intervals.

use std::path::Path;

use burn_sequence::Result;
use plotters::style::RGBColor;

use super::chart::{Chart, Scale, Series};
use super::statistics::Estimate;

/// A model's line.
pub struct Line {
    pub model: String,
    pub points: Vec<(f64, Estimate)>,
}

/// Okabe and Ito's colours, told apart by colour-blind readers, and greys; what shares a colour is never in one figure,
/// but for the last, which every pattern has.
const COLORS: [(RGBColor, &[&str]); 10] = [
    (RGBColor(0, 114, 178), &["transformer-hard-alibi", "attention", "hash-copier"]),
    (RGBColor(86, 180, 233), &["transformer-rope", "gla"]),
    (RGBColor(0, 158, 115), &["transformer-nope", "delta-net"]),
    (RGBColor(204, 121, 167), &["transformer-alibi", "gated-delta-net"]),
    (RGBColor(213, 94, 0), &["mamba", "mamba-16"]),
    (RGBColor(230, 159, 0), &["mamba2", "mamba-4"]),
    (RGBColor(120, 120, 120), &["linear-attention", "mamba-64"]),
    (RGBColor(60, 60, 60), &["lstm", "retention"]),
    (RGBColor(0, 0, 0), &["hybrid"]),
    (RGBColor(150, 75, 0), &[]),
];

/// The colour of a model.
pub fn color(model: &str) -> RGBColor {
    let own = COLORS.iter().find(|(_, models)| models.contains(&model));
    own.unwrap_or(&COLORS[COLORS.len() - 1]).0
}

/// One of the colours, for what is not a model.
pub fn nth_color(index: usize) -> RGBColor {
    COLORS[index % COLORS.len()].0
}

/// Draws accuracies; `x` is logarithmic if `log`.
///
/// # Errors
///
/// [`Error::File`](burn_sequence::Error::File) if the file cannot be written.
pub fn draw(path: &Path, title: &str, labels: [&str; 2], log: bool, lines: &[Line]) -> Result<()> {
    let x = if log { Scale::Log } else { Scale::Linear(None) };
    let chart = Chart { title, labels, scales: [x, Scale::Linear(Some((0.0, 1.02)))] };
    let series = |line: &Line| Series {
        name: line.model.clone(),
        color: color(&line.model),
        line: line.points.iter().map(|&(x, estimate)| (x, estimate.mean)).collect(),
        dots: Vec::new(),
        intervals: line.points.iter().map(|&(x, estimate)| (x, estimate.low, estimate.high)).collect(),
    };
    chart.draw(path, &lines.iter().map(series).collect::<Vec<_>>())
}
