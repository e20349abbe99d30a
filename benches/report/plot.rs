//! The pictures: lines over a size, whose axis is logarithmic.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

const SIZE: (u32, u32) = (720, 420);
/// Colours that people tell apart who do not see all colours (those of Okabe and Ito).
const COLOURS: [RGBColor; 4] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), BLACK];
const FONT: &str = "sans-serif";
/// Pixels: what the legend takes on the right, and dashes with the gaps between them.
const LEGEND: i32 = 180;
const DASH: u32 = 6;
const GAP: u32 = 4;
/// So many labels of an axis at most.
const LABELS: usize = 9;
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Points with a name, joined by a line.
pub struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    /// In the colour of the line before it, and dashed.
    second: bool,
}

impl Line {
    /// A line of a colour of its own.
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, second: false }
    }

    /// A line that belongs to the one before it.
    pub fn second(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { second: true, ..Self::new(name, points) }
    }
}

/// One picture.
pub struct Plot<'a> {
    title: &'a str,
    axes: [&'a str; 2],
    /// Whether the vertical axis is logarithmic, or else begins with 0.
    logarithmic: bool,
    lines: Vec<Line>,
}

impl<'a> Plot<'a> {
    /// Of what grows with a size: both axes are logarithmic.
    pub fn growth(title: &'a str, x: &'a str, y: &'a str, lines: Vec<Line>) -> Self {
        Self { title, axes: [x, y], logarithmic: true, lines }
    }

    /// Of what may not depend on a size: the vertical axis begins with 0.
    pub fn level(title: &'a str, x: &'a str, y: &'a str, lines: Vec<Line>) -> Self {
        Self { title, axes: [x, y], logarithmic: false, lines }
    }

    /// Its title.
    pub fn title(&self) -> &str {
        self.title
    }

    /// Writes it as SVG.
    pub fn draw(&self, file: &Path) {
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE).unwrap();
        let y = self.range(|point| point.1);
        if self.logarithmic {
            self.lines(&root, decades(&y).log_scale());
        } else {
            self.lines(&root, 0.0..y.end * 1.15);
        }
        self.legend(&root);
        root.present().unwrap();
    }

    fn lines<Y>(&self, root: &DrawingArea<SVGBackend<'_>, Shift>, y: Y)
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let x = self.range(|point| point.0);
        let mut builder = ChartBuilder::on(root);
        builder
            .caption(self.title, (FONT, 20))
            .margin(12)
            .margin_right(LEGEND)
            .x_label_area_size(46)
            .y_label_area_size(66);
        let mut chart = builder.build_cartesian_2d((x.start / 1.2..x.end * 1.2).log_scale(), y).unwrap();
        let mut mesh = chart.configure_mesh();
        // With more of them a logarithmic axis would be marked at each 1, 2, 3 … 9 of a decade.
        mesh.x_labels(LABELS).y_labels(LABELS);
        mesh.x_desc(self.axes[0]).y_desc(self.axes[1]).axis_desc_style((FONT, 15)).label_style((FONT, 13));
        mesh.x_label_formatter(&|x| short(*x)).y_label_formatter(&|y| short(*y));
        mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).draw().unwrap();
        for (line, style) in self.styled() {
            let points = line.points.iter().copied().filter(|point| !self.logarithmic || point.1 > 0.0);
            if line.second {
                chart.draw_series(DashedLineSeries::new(points.clone(), DASH, GAP, style)).unwrap();
            } else {
                chart.draw_series(LineSeries::new(points.clone(), style)).unwrap();
            }
            chart.draw_series(points.map(|point| Circle::new(point, 3, style.color.filled()))).unwrap();
        }
    }

    /// On the right, where no line is.
    fn legend(&self, root: &DrawingArea<SVGBackend<'_>, Shift>) {
        let (left, mut y) = (SIZE.0.cast_signed() - LEGEND + 12, 60);
        for (line, style) in self.styled() {
            let (step, long) = if line.second { (DASH + GAP, DASH) } else { (24, 24) };
            for from in (0..24).step_by(step as usize) {
                let from = left + from;
                root.draw(&PathElement::new([(from, y), (from + long.cast_signed(), y)], style)).unwrap();
            }
            root.draw(&Text::new(line.name.clone(), (left + 32, y - 7), (FONT, 13))).unwrap();
            y += 22;
        }
    }

    /// The lines, each with its colour.
    fn styled(&self) -> impl Iterator<Item = (&Line, ShapeStyle)> {
        let mut colours = COLOURS.iter().cycle();
        let mut colour = COLOURS[0];
        self.lines.iter().map(move |line| {
            if !line.second {
                colour = *colours.next().unwrap();
            }
            (line, colour.stroke_width(2))
        })
    }

    /// From the smallest to the largest; of what a logarithmic axis can show.
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> Range<f64> {
        let values = self.lines.iter().flat_map(|line| &line.points).map(of).filter(|value| *value > 0.0);
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), one| (low.min(one), high.max(one)));
        low..high
    }
}

/// So much of a logarithmic axis that at least two of its marks, 1, 10, 100 …, are in it.
fn decades(range: &Range<f64>) -> Range<f64> {
    let decade = 10_f64.powf(range.end.log10().floor());
    let start = 10_f64.powf(range.start.log10().floor());
    let end = if range.end < decade * 3.0 { decade * 3.0 } else { decade * 10.0 };
    start..end.max(start * 10.0)
}

/// A number without digits that say nothing: 50,000 and 0.5.
fn short(value: f64) -> String {
    if value < 10.0 {
        return format!("{}", (value * 1e3).round() / 1e3);
    }
    let digits = format!("{value:.0}");
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
