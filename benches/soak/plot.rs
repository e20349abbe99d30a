//! The memory of each process over time, as a picture.

use plotters::prelude::*;

use crate::memory::{Role, Sample};
use crate::run::Run;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (900, 420);

/// One sample in so many seconds is drawn: more of them are no more to see, and a larger file.
const EVERY: u64 = 5;

/// Draws a line for each role into an SVG file.
pub fn draw(run: &Run, path: &str) {
    let mib = |sample: &Sample| sample.resident as f64 / f64::from(1 << 20);
    let most = run.memory.0.iter().map(mib).fold(1.0, f64::max) * 1.1;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..f64::from(run.clock.minutes), 0.0..most)
        .unwrap();
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("minutes").y_desc("VmRSS, MiB").max_light_lines(1).draw().unwrap();
    for role in Role::ALL {
        let samples = run.memory.0.iter().filter(|sample| sample.role == role && sample.at.as_secs() % EVERY == 0);
        let points = samples.map(|sample| (sample.at.as_secs_f64() / 60.0, mib(sample)));
        let color = color(role);
        let line = chart.draw_series(LineSeries::new(points, color)).unwrap();
        line.label(role.name()).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::LowerRight).background_style(WHITE).border_style(BLACK).draw().unwrap();
    area.present().unwrap();
}

/// Colours that are distinct for the colour-blind, too.
fn color(role: Role) -> RGBColor {
    match role {
        Role::FirstWebhook => RGBColor(0, 114, 178),
        Role::SecondWebhook => RGBColor(86, 180, 233),
        Role::Leader => RGBColor(213, 94, 0),
        Role::Standby => RGBColor(0, 158, 115),
    }
}
