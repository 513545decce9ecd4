//! One quantity against another: error against code size, distortion against rate.

use serde_json::Value;

use crate::comparison::{Comparison, ComparisonCell, ComparisonRow, baseline_label, label_of};
use crate::metric_figure::{Baseline, MetricFigure, MetricPoint, MetricSeries, metric_label, shown_name};
use crate::summary::Direction;
use crate::table::{Cell, Column, Row, Table};

/// What a curve is drawn against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abscissa {
    /// Position of a key in [`Comparison::row_keys`].
    Key(usize),
    /// Position of a metric in [`Comparison::metrics`].
    Metric(usize),
}

/// A curve as a figure and as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeOff {
    /// What [`metric_against_hyperparameter`](crate::metric_against_hyperparameter) draws.
    pub figure: MetricFigure,
    /// The same numbers.
    pub table: Table,
}

/// The metric at position `y` of a comparison without columns against `x`. One line per combination of the row keys other than
/// `x` where that is a key, and of the row keys `series` where it is a metric. `None` where no configuration has both.
pub fn trade_off(comparison: &Comparison, x: Abscissa, y: usize, series: &[String]) -> Option<TradeOff> {
    let cell = |row: &ComparisonRow, metric: usize| row.cells.get(metric).cloned().flatten();
    let is_of_series = |position: usize, name: &String| match x {
        Abscissa::Key(key) => position != key,
        Abscissa::Metric(_) => series.contains(name),
    };
    let series_keys: Vec<usize> = (0..comparison.row_keys.len()).filter(|key| is_of_series(*key, &comparison.row_keys[*key])).collect();
    let x_name = match x {
        Abscissa::Key(key) => comparison.row_keys[key].clone(),
        Abscissa::Metric(metric) => comparison.metrics[metric].name.clone(),
    };
    let y_info = &comparison.metrics[y];

    let mut columns = vec![Column::text("series")];
    columns.extend(comparison.row_keys.iter().filter(|key| **key != x_name).map(Column::text));
    columns.push(Column::number(&x_name));
    if matches!(x, Abscissa::Metric(_)) {
        columns.extend([format!("{x_name}_ci95_low"), format!("{x_name}_ci95_high")].map(Column::number));
    }
    columns.extend([y_info.name.clone(), format!("{}_ci95_low", y_info.name), format!("{}_ci95_high", y_info.name)].map(Column::number));
    columns.push(Column::number("num_values"));
    let mut table = Table { columns, rows: Vec::new() };

    let mut lines: Vec<MetricSeries> = Vec::new();
    let mut counts: Vec<usize> = Vec::new();
    let mut num_without = 0;
    for row in &comparison.rows {
        let found = cell(row, y);
        let (place, x_cell) = match x {
            Abscissa::Key(key) => (row.keys[key].as_ref().and_then(Value::as_f64), None),
            Abscissa::Metric(metric) => {
                let found = cell(row, metric);
                (found.as_ref().map(|cell| cell.spread.mean), found)
            }
        };
        // What has no such key has no place in the picture; what measured nothing is counted.
        if place.is_none() && matches!(x, Abscissa::Key(_)) {
            continue;
        }
        let names: Vec<String> = series_keys.iter().map(|key| comparison.row_keys[*key].clone()).collect();
        let name = label_of(&names, &series_keys.iter().map(|key| row.keys[*key].clone()).collect());
        let name = if name.is_empty() { y_info.name.clone() } else { name };
        push_record(&mut table, comparison, &name, &row.keys, &x_name, place, x_cell.as_ref(), x, found.as_ref());
        let (Some(place), Some(found)) = (place, found) else {
            num_without += 1;
            continue;
        };
        let point = MetricPoint {
            x: place,
            mean: found.spread.mean,
            deviation: found.half_width,
            x_deviation: x_cell.as_ref().and_then(|cell| cell.half_width),
        };
        counts.push(found.spread.num);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(MetricSeries { name, points: vec![point] }),
        }
    }
    let (fewest, most) = (*counts.iter().min()?, *counts.iter().max()?);

    let mut baselines: Vec<Baseline> = Vec::new();
    for row in &comparison.baselines {
        let Some(found) = cell(row, y) else { continue };
        let data: Vec<Option<Value>> = row.keys.clone();
        let of_data = label_of(&comparison.row_keys, &data);
        let kind = row.baseline.map_or_else(String::new, |prefix| baseline_label(prefix).to_owned());
        let x_cell = match x {
            Abscissa::Metric(metric) => cell(row, metric),
            Abscissa::Key(_) => None,
        };
        let place = match (x, row.code_size, &x_cell) {
            (Abscissa::Key(_), Some(size), _) if x_name == "code_size" => size as f64,
            (_, _, Some(cell)) => cell.spread.mean,
            _ => f64::NAN,
        };
        let kind = if of_data.is_empty() { kind } else { format!("{kind}, {of_data}") };
        let name = match row.code_size {
            Some(size) if place.is_nan() => format!("{kind}, code size {size}"),
            _ => kind,
        };
        let on_axis = Some(place).filter(|place| place.is_finite());
        push_record(&mut table, comparison, &name, &row.keys, &x_name, on_axis, x_cell.as_ref(), x, Some(&found));
        match baselines.iter_mut().find(|baseline| baseline.name == name && !place.is_nan()) {
            Some(baseline) => baseline.points.push((place, found.spread.mean)),
            None => baselines.push(Baseline { name, points: vec![(place, found.spread.mean)] }),
        }
    }

    let (x_label, x_title) = match x {
        Abscissa::Key(_) => (shown_key(&x_name), shown_key(&x_name)),
        Abscissa::Metric(metric) => {
            let info = &comparison.metrics[metric];
            (with_unit(&info.name, &info.unit), metric_label(&info.name))
        }
    };
    let what = if comparison.block_keys.is_empty() { "seed" } else { "block" };
    let spread = match (fewest, most) {
        (1, 1) => format!("one {what}"),
        (fewest, most) if fewest == most => format!("mean ± 95 % interval over {most} {what}s"),
        _ => format!("mean ± 95 % interval over {fewest} to {most} {what}s"),
    };
    let better = match y_info.direction {
        Direction::LowerIsBetter => "; lower is better",
        Direction::HigherIsBetter => "; higher is better",
        Direction::Neutral => "",
    };
    let without = match num_without {
        0 => String::new(),
        1 => "; one configuration has no value".to_owned(),
        num => format!("; {num} configurations have no value"),
    };
    let figure = MetricFigure {
        title: format!("{} against {x_title}", metric_label(&y_info.name)),
        subtitle: format!("{spread}{better}{without}"),
        x_label,
        y_label: with_unit(&y_info.name, &y_info.unit),
        series: lines,
        baselines,
        log_x: None,
        log_y: None,
    };
    Some(TradeOff { figure, table })
}

fn shown_key(key: &str) -> String {
    if matches!(key, "model" | "data" | "run") { key.to_owned() } else { shown_name(key) }
}

fn with_unit(name: &str, unit: &str) -> String {
    let label = metric_label(name);
    if unit.is_empty() { label } else { format!("{label} ({unit})") }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one line of the table, used in two places")]
fn push_record(
    table: &mut Table,
    comparison: &Comparison,
    series: &str,
    keys: &[Option<Value>],
    x_name: &str,
    place: Option<f64>,
    x_cell: Option<&ComparisonCell>,
    x: Abscissa,
    y_cell: Option<&ComparisonCell>,
) {
    let number = |value: Option<f64>| value.map_or(Cell::Empty, Cell::Number);
    let bounds = |cell: Option<&ComparisonCell>| {
        let bound = |sign: f64| cell.and_then(|cell| Some(cell.spread.mean + sign * cell.half_width?));
        [number(bound(-1.0)), number(bound(1.0))]
    };
    let mut cells = vec![Cell::Text(series.to_owned())];
    cells.extend(
        comparison
            .row_keys
            .iter()
            .zip(keys)
            .filter(|(key, _)| *key != x_name)
            .map(|(_, value)| value.as_ref().map_or(Cell::Empty, |value| Cell::Text(crate::comparison::key_text(value)))),
    );
    cells.push(number(place));
    if matches!(x, Abscissa::Metric(_)) {
        cells.extend(bounds(x_cell));
    }
    cells.push(number(y_cell.map(|cell| cell.spread.mean)));
    cells.extend(bounds(y_cell));
    cells.push(Cell::Integer(y_cell.map_or(0, |cell| cell.spread.num) as u64));
    table.rows.push(Row::new(cells));
}
