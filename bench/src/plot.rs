//! The report as a picture: how much of its limit each row needs.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use crate::report::{Report, Row};

const WIDTH: u32 = 1_000;
const HEIGHT_OF_A_ROW: u32 = 26;
const MARGIN: u32 = 70;
const LABELS: u32 = 380;
/// What is further beyond its limit is cut off, and its number says how far.
const MOST: f64 = 2.0;

/// Draws `ratios.svg` into a folder.
pub(crate) fn draw(report: &Report, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.of_limit().is_some()).collect();
    let count = u32::try_from(rows.len())?;
    if count == 0 {
        return Ok(());
    }
    let file = folder.join("ratios.svg");
    let area = SVGBackend::new(&file, (WIDTH, count * HEIGHT_OF_A_ROW + MARGIN)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin_right(70)
        .x_label_area_size(40)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..MOST, (0..count).into_segmented())?;
    let name = |segment: &SegmentValue<u32>| match segment {
        SegmentValue::CenterOf(at) => {
            rows.get(rows.len() - 1 - *at as usize).map_or("", |row| row.name.as_str()).to_owned()
        }
        SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(rows.len())
        .y_label_formatter(&name)
        .x_desc("part of its limit that each row needs: 1 is the goal, less is better")
        .draw()?;
    for (row, at) in rows.iter().rev().zip(0_u32..) {
        let of_limit = row.of_limit().context("only rows with a goal are here")?;
        let colour = if of_limit <= 1.0 { RGBColor(56, 142, 60) } else { RGBColor(211, 84, 0) };
        let end = of_limit.min(MOST);
        let (below, above) = (SegmentValue::Exact(at), SegmentValue::Exact(at + 1));
        let mut bar = Rectangle::new([(0.0, below), (end, above)], colour.filled());
        bar.set_margin(4, 4, 0, 0);
        chart.draw_series([bar])?;
        let label = format!(" {:.2}", row.ratio);
        chart.draw_series([Text::new(label, (end, SegmentValue::CenterOf(at)), ("sans-serif", 13))])?;
    }
    let goal = [(1.0, SegmentValue::Exact(0)), (1.0, SegmentValue::Exact(count))];
    chart.draw_series(LineSeries::new(goal, BLACK.stroke_width(2)))?;
    area.present().context("the picture can't be written")
}
