//! Line charts as SVG: labelled axes, the legend beside the data.

use std::ops::Range;
use std::path::Path;

use burn_sequence::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::files;

/// How numbers become places.
#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// Evenly; from the data's least to its greatest, or between these.
    Linear(Option<(f64, f64)>),
    /// By powers of two.
    Log,
}

/// What surrounds the lines.
pub struct Chart<'a> {
    pub title: &'a str,
    /// Of x and of y, with units; what else must be known of an axis is added.
    pub labels: [&'a str; 2],
    pub scales: [Scale; 2],
    /// Whether points of several lines at one x stand beside each other, two pixels apart, so that their bars are told apart.
    pub side_by_side: bool,
}

/// Letters of a line beside the chart.
const LEGEND_WIDTH: usize = 26;

/// Of the horizontal axis, and of a letter beside it, in pixels.
const AXIS: f64 = 560.0;
const LETTER: f64 = 7.5;

/// Part of the horizontal axis that is left free before the first point and after the last.
const MARGIN: f64 = 0.025;

/// How a line and its points look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub color: RGBColor,
    /// The mark of a point: one of four, so that lines are told apart without their colours.
    pub marker: usize,
}

fn mark<'a>(
    Look { color, marker }: Look,
    (x, y): (i32, i32),
) -> DynElement<'static, SVGBackend<'a>, (i32, i32)> {
    match marker % 4 {
        0 => Circle::new((x, y), 3, color.filled()).into_dyn(),
        1 => Rectangle::new([(x - 3, y - 3), (x + 3, y + 3)], color.filled()).into_dyn(),
        2 => TriangleMarker::new((x, y), 5, color.filled()).into_dyn(),
        _ => Cross::new((x, y), 3, color.stroke_width(2)).into_dyn(),
    }
}

/// A line with its dots, and intervals up and down: x, from, to.
pub struct Series {
    pub name: String,
    pub look: Look,
    pub line: Vec<(f64, f64)>,
    pub dots: Vec<(f64, f64)>,
    pub intervals: Vec<(f64, f64, f64)>,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear(_) => value,
            Self::Log => value.log2(),
        }
    }

    fn label(self, place: f64) -> String {
        let value = if matches!(self, Self::Log) { place.exp2() } else { place };
        let is_whole = (value - value.round()).abs() < 1e-6;
        let decimals = if is_whole || value.abs() >= 100.0 { 0 } else { 1 };
        format!("{value:.decimals$}")
    }

    /// Where numbers stand beside the axis: about seven; if it is by powers of two at the values themselves, or where they are too
    /// close at powers.
    fn marks(self, places: &Range<f64>, values: impl Iterator<Item = f64>) -> Vec<f64> {
        if places.end - places.start < 1e-6 {
            return vec![places.start];
        }
        if matches!(self, Self::Linear(_)) {
            return RangedCoordf64::from(places.clone()).key_points(7);
        }
        let mut own: Vec<f64> = values.map(|value| self.place(value)).collect();
        own.sort_by(f64::total_cmp);
        own.dedup();
        let letters = |place: &f64| self.label(*place).len();
        let has_room = |pair: &[f64]| {
            let room = (pair[1] - pair[0]) / (places.end - places.start) * AXIS;
            room > LETTER * (letters(&pair[0]) + letters(&pair[1]) + 2) as f64 / 2.0
        };
        if own.windows(2).all(has_room) {
            return own;
        }
        let powers = |step: i32| {
            (places.start.ceil() as i32..=places.end.floor() as i32).filter(move |power| power % step == 0)
        };
        if powers(1).count() < 2 {
            return vec![places.start, places.end];
        }
        let step = (1..).find(|&step| powers(step).count() <= 8).unwrap_or(1);
        powers(step).map(f64::from).collect()
    }

    /// The places from the least of `values` to the greatest.
    fn range(self, values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
        let places = values.map(|value| self.place(value));
        let (low, high) =
            places.fold((f64::MAX, f64::MIN), |(low, high), place| (low.min(place), high.max(place)));
        match self {
            _ if low > high => None,
            Self::Linear(Some((low, high))) => Some(low..high),
            _ => Some(low..high.max(low + 1e-9)),
        }
    }
}

/// Places, and those with a mark.
struct Axis {
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light points are lines between the marks.
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

fn with_margin(range: &Range<f64>) -> Range<f64> {
    let margin = MARGIN * (range.end - range.start);
    range.start - margin..range.end + margin
}

impl Chart<'_> {
    /// Draws the lines into a file, which is whole or not there.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the file cannot be written, or there is nothing to draw.
    pub fn draw(&self, path: &Path, lines: &[Series]) -> Result<()> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (900, 460)).into_drawing_area();
        self.draw_on(area, lines)
            .map_err(|problem| Error::File { path: path.into(), problem: problem.to_string() })?;
        files::write(path, &svg)
    }

    fn label(&self, axis: usize, lines: usize) -> String {
        let log = if matches!(self.scales[axis], Scale::Log) { ", log scale" } else { "" };
        let shifted = axis == 0 && self.side_by_side && lines > 1;
        format!("{}{log}{}", self.labels[axis], if shifted { "; lines side by side" } else { "" })
    }

    fn draw_on(
        &self,
        area: DrawingArea<SVGBackend<'_>, Shift>,
        lines: &[Series],
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let [x_scale, y_scale] = self.scales;
        let points = || lines.iter().flat_map(|line| line.line.iter().chain(&line.dots));
        let ranges =
            (x_scale.range(points().map(|point| point.0)), y_scale.range(points().map(|point| point.1)));
        let (Some(x_range), Some(y_range)) = ranges else { return Err("nothing to draw".into()) };

        area.fill(&WHITE)?;
        let (chart_area, legend) = area.split_horizontally(660);
        let mut chart = ChartBuilder::on(&chart_area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(
                Axis {
                    marks: x_scale.marks(&x_range, points().map(|point| point.0)),
                    range: with_margin(&x_range),
                },
                Axis { marks: y_scale.marks(&y_range, points().map(|point| point.1)), range: y_range },
            )?;
        chart
            .configure_mesh()
            .x_desc(self.label(0, lines.len()))
            .y_desc(self.label(1, lines.len()))
            .x_label_formatter(&|&x| x_scale.label(x))
            .y_label_formatter(&|&y| y_scale.label(y))
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 13))
            .draw()?;
        let mut top = 60;
        for (index, Series { name, look, line, dots, intervals }) in lines.iter().enumerate() {
            let shift = if self.side_by_side { 2 * index as i32 + 1 - lines.len() as i32 } else { 0 };
            let place = |&(x, y): &(f64, f64)| {
                let (x, y) = chart.backend_coord(&(x_scale.place(x), y_scale.place(y)));
                (x + shift, y)
            };
            let color = look.color;
            chart_area
                .draw(&PathElement::new(line.iter().map(place).collect::<Vec<_>>(), color.stroke_width(2)))?;
            for dot in dots {
                chart_area.draw(&mark(*look, place(dot)))?;
            }
            for &(x, low, high) in intervals {
                let bar = [place(&(x, low)), place(&(x, high))];
                chart_area.draw(&PathElement::new(bar, color.stroke_width(1)))?;
            }
            if !line.is_empty() {
                legend.draw(&PathElement::new([(8, top), (36, top)], color.stroke_width(3)))?;
            }
            if !dots.is_empty() {
                legend.draw(&mark(*look, (22, top)))?;
            }
            for part in name.chars().collect::<Vec<_>>().chunks(LEGEND_WIDTH) {
                let text: String = part.iter().collect();
                legend.draw(&Text::new(text, (44, top - 7), ("sans-serif", 14)))?;
                top += 18;
            }
            top += 8;
        }
        area.present()?;
        Ok(())
    }
}
