//! The experiments' charts: one colour for a model everywhere, means over seeds.

use std::collections::BTreeMap;
use std::path::Path;

use burn_sequence::Result;
use plotters::style::RGBColor;

use super::chart::{Chart, Scale, Series};
use super::models::CONTENDERS;
use super::table::mean;

/// A model's line: (x, y) of every seed.
pub struct Line {
    pub model: String,
    pub points: Vec<(f64, f64)>,
}

/// Okabe and Ito's colours, told apart by colour-blind readers, and two greys.
const COLORS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(120, 120, 120),
    RGBColor(60, 60, 60),
    RGBColor(0, 0, 0),
];

fn color(model: &str) -> RGBColor {
    let place = CONTENDERS.iter().position(|contender| contender.0 == model);
    place.map_or(RGBColor(150, 75, 0), |place| COLORS[place])
}

/// Draws accuracies, a line through the means over seeds; `x` is logarithmic if `log`.
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
        line: means(&line.points),
        dots: line.points.clone(),
    };
    chart.draw(path, &lines.iter().map(series).collect::<Vec<_>>())
}

/// The mean of the points at each x, in order.
fn means(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut by_x: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for &(x, y) in points {
        // Positive floats order as their bits do.
        by_x.entry(x.to_bits()).or_default().push(y);
    }
    by_x.into_iter().map(|(x, ys)| (f64::from_bits(x), mean(ys.into_iter()))).collect()
}
