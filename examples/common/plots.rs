//! The experiments' figures: one colour for a model everywhere, means with their intervals.

use std::path::Path;

use burn_sequence::Result;
use plotters::style::RGBColor;

use super::chart::{Chart, Look, Scale, Series};
use super::statistics::Estimate;

/// A model's line.
pub struct Line {
    pub model: String,
    pub points: Vec<(f64, Estimate)>,
}

impl Line {
    /// The means as a line with dots, and their intervals.
    pub fn series(&self, look: Look) -> Series {
        let line: Vec<(f64, f64)> = self.points.iter().map(|&(x, estimate)| (x, estimate.mean)).collect();
        Series {
            name: self.model.clone(),
            look,
            dots: line.clone(),
            line,
            intervals: self.points.iter().map(|&(x, estimate)| (x, estimate.low, estimate.high)).collect(),
        }
    }
}

/// Okabe and Ito's colours, told apart by colour-blind readers, a grey, and five of Tol's: one for a model everywhere, and with it
/// a mark. What shares one is never in one figure.
const COLORS: [(RGBColor, &[&str]); 13] = [
    (RGBColor(0, 114, 178), &["transformer-hard-alibi", "attention"]),
    (RGBColor(86, 180, 233), &["transformer-rope", "gla"]),
    (RGBColor(0, 158, 115), &["transformer-nope", "delta-net"]),
    (RGBColor(204, 121, 167), &["transformer-alibi", "gated-delta-net"]),
    (RGBColor(213, 94, 0), &["mamba", "mamba-16"]),
    (RGBColor(230, 159, 0), &["mamba2"]),
    (RGBColor(120, 120, 120), &["linear-attention"]),
    (RGBColor(136, 34, 85), &["lstm", "mamba-64"]),
    (RGBColor(0, 0, 0), &["hybrid", "retention"]),
    (RGBColor(153, 153, 51), &["hybrid-mamba", "hybrid-mamba2"]),
    (RGBColor(17, 119, 51), &["s4d"]),
    (RGBColor(51, 34, 136), &["rg-lru"]),
    (RGBColor(221, 204, 119), &["min-gru", "mamba-4", "mamba-wide"]),
];

/// The looks of the models of a figure: of each its own, of others those that are left.
pub fn looks<'a>(models: impl Iterator<Item = &'a str> + Clone) -> Vec<Look> {
    let own = |model: &str| COLORS.iter().position(|(_, models)| models.contains(&model));
    let taken: Vec<usize> = models.clone().filter_map(own).collect();
    let mut left = (0..COLORS.len()).filter(|place| !taken.contains(place));
    models
        .enumerate()
        .map(|(place, model)| look(own(model).or_else(|| left.next()).unwrap_or(place)))
        .collect()
}

/// One of the looks, for what is not a model.
pub fn look(index: usize) -> Look {
    let index = index % COLORS.len();
    Look { color: COLORS[index].0, marker: index }
}

/// The label of an axis, and what the bars beside its points are.
pub fn with_bars(label: &str, lines: &[Line]) -> String {
    let seeds = |line: &Line| line.points.iter().map(|(_, estimate)| estimate.values).collect::<Vec<_>>();
    let seeds: Vec<usize> = lines.iter().flat_map(seeds).collect();
    let bars = match seeds.iter().max() {
        Some(0) => "bars: 95 %, over strings",
        Some(1) => "bars: 95 %, over strings, one seed",
        _ => "bars: 95 %, over seeds or strings, the wider",
    };
    format!("{label} ({bars})")
}

/// Draws accuracies; `x` is logarithmic if `log`.
///
/// # Errors
///
/// [`Error::File`](burn_sequence::Error::File) if the file cannot be written.
pub fn draw(path: &Path, title: &str, labels: [&str; 2], log: bool, lines: &[Line]) -> Result<()> {
    let x = if log { Scale::Log } else { Scale::Linear(None) };
    let shares = with_bars(labels[1], lines);
    let labels = [labels[0], &shares];
    let chart = Chart { title, labels, scales: [x, Scale::Linear(Some((0.0, 1.02)))], side_by_side: true };
    let looks = looks(lines.iter().map(|line| &*line.model));
    let series: Vec<_> = lines.iter().zip(looks).map(|(line, look)| line.series(look)).collect();
    chart.draw(path, &series)
}
