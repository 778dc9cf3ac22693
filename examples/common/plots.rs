//! Line charts as SVG: labelled axes, one colour and mark for a model everywhere, the legend beside the data.

use std::collections::BTreeMap;
use std::path::Path;

use burn_sequence::{Error, Result};
use plotters::prelude::*;

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

/// Draws the lines, means over seeds; `x` is logarithmic if `log`.
///
/// # Errors
///
/// [`Error::File`] if the file cannot be written.
pub fn draw(
    path: &Path,
    title: &str,
    [x_label, y_label]: [&str; 2],
    log: bool,
    lines: &[Line],
) -> Result<()> {
    let temporary = path.with_extension("svg.tmp");
    let fail = |problem: String| Error::File { path: path.into(), problem };
    draw_to(&temporary, title, [x_label, y_label], log, lines)
        .map_err(|problem| fail(problem.to_string()))?;
    std::fs::rename(&temporary, path).map_err(|problem| fail(problem.to_string()))
}

fn draw_to(
    path: &Path,
    title: &str,
    [x_label, y_label]: [&str; 2],
    log: bool,
    lines: &[Line],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let xs = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let (low, high) = xs().fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return Err("nothing to draw".into());
    }
    let scale = |x: f64| if log { x.log2() } else { x };
    let (low, high) = (scale(low), scale(high).max(scale(low) + 1e-9));

    let area = SVGBackend::new(path, (900, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let (chart_area, legend) = area.split_horizontally(660);
    let mut chart = ChartBuilder::on(&chart_area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(low..high, 0.0..1.02)?;
    let label = |x: &f64| if log { format!("{:.0}", x.exp2()) } else { format!("{x:.0}") };
    chart
        .configure_mesh()
        .x_desc(x_label)
        .y_desc(y_label)
        .x_label_formatter(&label)
        .x_labels(7)
        .y_label_formatter(&|y| format!("{y:.1}"))
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        let color = color(&line.model);
        let means = means(&line.points);
        let places: Vec<(f64, f64)> = means.iter().map(|&(x, y)| (scale(x), y)).collect();
        chart.draw_series(LineSeries::new(places.iter().copied(), color.stroke_width(2)))?;
        chart.draw_series(line.points.iter().map(|&(x, y)| Circle::new((scale(x), y), 3, color.filled())))?;
        let top = 60 + 26 * index as i32;
        legend.draw(&PathElement::new([(8, top), (36, top)], color.stroke_width(3)))?;
        let name: String = line.model.chars().take(30).collect();
        legend.draw(&Text::new(name, (44, top - 7), ("sans-serif", 14)))?;
    }
    area.present()?;
    Ok(())
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
