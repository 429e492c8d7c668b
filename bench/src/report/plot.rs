//! The picture of a run: latency over size, fan-out, and publishing to nobody.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use thiserror::Error;

use super::{size_name, time_name, Record};
use crate::plan::{FAN_OUTS, FAN_OUT_SIZE};
use crate::scenario::{Payload, System, Task, Waiting};

/// Why there is no picture.
#[derive(Debug, Error)]
#[error("drawing the plot: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a panel: a system and its points (x as in the panel, nanoseconds).
struct Curve {
    system: System,
    points: Vec<(f64, f64)>,
}

/// Draws `record` to `path`.
pub fn draw(record: &Record, path: &Path) -> Result<(), PlotError> {
    let root = SVGBackend::new(path, (1600, 900)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.margin(10, 10, 10, 10).split_evenly((2, 3));
    let latencies = [
        (Waiting::Polling, Payload::Untouched, "one way, polling, payload not looked at"),
        (Waiting::Polling, Payload::Counter, "one way, polling, 8 bytes written and read"),
        (Waiting::Blocking, Payload::Counter, "one way, blocking, 8 bytes written and read"),
        (Waiting::Polling, Payload::Copied, "one way, polling, payload copied in and out"),
    ];
    let sizes = |x: f64| size_name(x as usize);
    for (panel, (waiting, payload, title)) in panels.iter().zip(latencies) {
        let curves = curves_over_size(record, Task::PingPong { waiting, payload });
        draw_panel(panel, title, "payload", &curves, sizes)?;
    }
    if let [.., fan_out, publish] = panels.as_slice() {
        let title = format!("loan + publish of {} to polling subscriptions", size_name(FAN_OUT_SIZE));
        draw_panel(fan_out, &title, "subscriptions", &fan_out_curves(record), |x| format!("{x:.0}"))?;
        let curves = curves_over_size(record, Task::PublishAlone);
        draw_panel(publish, "loan + publish to nobody", "payload", &curves, sizes)?;
    }
    root.present()?;
    Ok(())
}

fn curves_over_size(record: &Record, task: Task) -> Vec<Curve> {
    curves(|system| {
        let mut points: Vec<(f64, f64)> = record
            .cells
            .iter()
            .filter(|cell| cell.system == system && cell.task == task)
            .filter_map(|cell| Some((cell.size as f64, cell.figures?.median_ns)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    })
}

fn fan_out_curves(record: &Record) -> Vec<Curve> {
    curves(|system| {
        let figure = |n| record.figures(system, Task::FanOut { subscriptions: n }, FAN_OUT_SIZE);
        FAN_OUTS.into_iter().filter_map(|n| Some((n as f64, figure(n)?.batch_ns))).collect()
    })
}

fn curves(points: impl Fn(System) -> Vec<(f64, f64)>) -> Vec<Curve> {
    [System::Floor, System::Hazcat, System::Iceoryx2]
        .into_iter()
        .map(|system| Curve { system, points: points(system) })
        .filter(|curve| !curve.points.is_empty())
        .collect()
}

fn color(system: System) -> RGBColor {
    match system {
        System::Floor => RGBColor(120, 120, 120),
        System::Hazcat => RGBColor(200, 60, 30),
        System::Iceoryx2 => RGBColor(30, 90, 180),
    }
}

fn draw_panel(
    area: &Area<'_>,
    title: &str,
    x_title: &str,
    curves: &[Curve],
    x_name: impl Fn(f64) -> String,
) -> Result<(), PlotError> {
    let all = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (left, right) = bounds(&mut all().map(|point| point.0));
    let (low, high) = bounds(&mut all().map(|point| point.1));
    if !left.is_finite() || low <= 0.0 {
        area.draw_text(&format!("{title}: not measured"), &("sans-serif", 16).into_text_style(area), (20, 20))?;
        return Ok(());
    }
    let x_range = (left * 0.7..right * 2.0).log_scale().with_key_points(measured(&mut all().map(|point| point.0)));
    let (bottom, top) = (low * 0.5, high * 2.5);
    let y_range = (bottom..top).log_scale().with_key_points(round_times(bottom, top));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(x_range, y_range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(x_title)
        .x_label_formatter(&|x| x_name(*x))
        .y_label_formatter(&|y| short_time_name(*y))
        .draw()?;
    for curve in curves {
        let style = color(curve.system);
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), style.stroke_width(2)))?
            .label(curve.system.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style.stroke_width(2)));
        chart.draw_series(curve.points.iter().map(|point| Circle::new(*point, 4, style.filled())))?;
        // Above the highest curve and below the others: there is room on those sides.
        let above = curves.iter().all(|other| other.points.last().map(|p| p.1) <= curve.points.last().map(|p| p.1));
        let offset = if above { -16 } else { 6 };
        chart.draw_series(curve.points.iter().map(|point| {
            let label = Text::new(time_name(point.1), (-10, offset), ("sans-serif", 11).into_font().color(&style));
            EmptyElement::at(*point) + label
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

/// The values that were measured, each once, for the ticks of an axis.
fn measured(values: &mut dyn Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// 1, 2 and 5 times the powers of ten between two times.
fn round_times(low: f64, high: f64) -> Vec<f64> {
    (0..10)
        .flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent)))
        .filter(|time| (low..high).contains(time))
        .collect()
}

/// A round time without digits that say nothing.
fn short_time_name(nanoseconds: f64) -> String {
    match nanoseconds {
        t if t < 1e3 => format!("{t:.0} ns"),
        t if t < 1e6 => format!("{:.0} us", t / 1e3),
        t => format!("{:.0} ms", t / 1e6),
    }
}
