//! A metric against a swept hyperparameter, with baselines.

use std::collections::{HashMap, HashSet};

use aelab_core::Image;
use serde_json::Value;

use crate::axis::{Axis, Frame, LABEL_SIZE, Scale, scale_of_measured, scale_of_swept};
use crate::canvas::{Canvas, FigureError, Rect, Stroke};
use crate::number;
use crate::page::{Entry, Key, Page, no_data};
use crate::palette;
use crate::summary::{BaselineRow, Configuration, Direction, Summary};

/// Dashes of the baselines, in their order.
pub(crate) const DASHES: [&str; 4] = ["14 8", "3 7", "14 6 3 6", "24 8"];

/// A metric at one value of the hyperparameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricPoint {
    /// Value of the hyperparameter.
    pub x: f64,
    /// Mean over seeds.
    pub mean: f64,
    /// Half the length of the error bar: standard deviation over seeds, or half of an interval; the subtitle says which.
    pub deviation: Option<f64>,
    /// The same along x, where x is measured.
    pub x_deviation: Option<f64>,
}

/// One model or variant.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeries {
    /// Name in the legend.
    pub name: String,
    /// In any order.
    pub points: Vec<MetricPoint>,
}

/// What the models are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Name in the legend.
    pub name: String,
    /// Values by hyperparameter; a single point holds everywhere.
    pub points: Vec<(f64, f64)>,
}

/// A metric against a swept hyperparameter.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFigure {
    /// What is shown.
    pub title: String,
    /// One line below the title, or nothing.
    pub subtitle: String,
    /// The hyperparameter.
    pub x_label: String,
    /// The metric, with its unit.
    pub y_label: String,
    /// One line each.
    pub series: Vec<MetricSeries>,
    /// One dashed line each.
    pub baselines: Vec<Baseline>,
    /// Whether the x axis is logarithmic; chosen by the values for `None`.
    pub log_x: Option<bool>,
    /// Whether the y axis is logarithmic; chosen by the values for `None`.
    pub log_y: Option<bool>,
}

/// Draws one line per series with markers at the means and error bars, and one dashed line per baseline. Unless the figure says
/// otherwise, the x axis is logarithmic where the swept values are geometric. Baselines do not flatten everything else: one that is
/// partly far off is cut at the frame, and the legend says where it goes; one that never comes near is named there alone.
pub fn metric_against_hyperparameter(figure: &MetricFigure) -> Result<Image, FigureError> {
    let xs = sorted_distinct(figure.series.iter().flat_map(|series| series.points.iter().map(|point| point.x)));
    let chosen = |wanted: Option<bool>, values: &[f64], sensible: fn(&[f64]) -> Scale| match wanted {
        Some(true) if values.iter().any(|value| *value > 0.0) => Scale::Log,
        Some(_) => Scale::Linear,
        None => sensible(values),
    };
    let has_measured_x = figure.series.iter().flat_map(|series| &series.points).any(|point| point.x_deviation.is_some());
    let x_scale = chosen(figure.log_x, &xs, if has_measured_x { scale_of_measured } else { scale_of_swept });
    let values: Vec<f64> = figure
        .series
        .iter()
        .flat_map(|series| &series.points)
        .flat_map(|point| [point.mean - point.deviation.unwrap_or(0.0), point.mean, point.mean + point.deviation.unwrap_or(0.0)])
        .filter(|value| value.is_finite())
        .collect();
    let near = Near::of(&values, figure.log_y == Some(true));
    let near_values = figure.baselines.iter().flat_map(|baseline| &baseline.points).map(|(_, y)| *y).filter(|y| near.has(*y));
    let all: Vec<f64> = values.iter().copied().chain(near_values).collect();
    let ends = extent(all.iter().copied());
    let (shown, left_out): (Vec<&Baseline>, Vec<&Baseline>) = figure.baselines.iter().partition(|baseline| {
        let (from, to) = extent(baseline.points.iter().map(|(_, y)| *y));
        from <= ends.1 && to >= ends.0
    });
    let y_scale = chosen(figure.log_y, &all, scale_of_measured);

    let num = figure.series.len();
    let series_key = |index: usize| Key::Line { color: palette::line(index, num), dash: "", width: 3.2, marker: Some(index) };
    let mut entries: Vec<Entry> =
        figure.series.iter().enumerate().map(|(index, series)| Entry { key: series_key(index), label: series.name.clone() }).collect();
    for (index, baseline) in shown.iter().enumerate() {
        let key = Key::Line { color: palette::MUTED.to_owned(), dash: DASHES[index % DASHES.len()], width: 2.6, marker: None };
        let (from, to) = extent(baseline.points.iter().map(|(_, y)| *y));
        let beyond = match (from < ends.0, to > ends.1) {
            (true, true) => ": partly above and below",
            (false, true) => ": partly above",
            (true, false) => ": partly below",
            (false, false) => "",
        };
        let range = if beyond.is_empty() { String::new() } else { format!(", {}", range_of(baseline)) };
        entries.push(Entry { key, label: format!("{}{beyond}{range}", baseline.name) });
    }
    for baseline in left_out {
        let side = if baseline.points.iter().all(|(_, y)| *y > ends.1) { "above" } else { "below" };
        entries.push(Entry { key: Key::Nothing, label: format!("{}: {} ({side})", baseline.name, range_of(baseline)) });
    }

    let page = Page { title: &figure.title, subtitle: &figure.subtitle, entries, below: false };
    let (mut canvas, chart) = page.lay_out(720.0, None);
    let x_ends = figure.series.iter().flat_map(|series| &series.points).flat_map(|point| {
        let half = point.x_deviation.unwrap_or(0.0);
        [point.x - half, point.x + half]
    });
    // On a logarithmic axis an interval that reaches below 0 must not decide where it begins.
    let x_ends = x_ends.filter(|end| x_scale == Scale::Linear || xs.first().is_some_and(|first| *end > first * 0.3));
    let baseline_xs = shown.iter().flat_map(|baseline| baseline.points.iter().map(|(x, _)| *x)).filter(|_| has_measured_x);
    let x = Axis::around(x_ends.chain(baseline_xs).chain(xs.iter().copied()), x_scale, 0.05);
    let x = if has_measured_x { x } else { x.with_ticks_at(&xs, chart.width - 6.0 * LABEL_SIZE) };
    let y = Axis::around(all.iter().copied(), y_scale, 0.06);
    let frame = Frame { x: &x, y: &y, x_label: &figure.x_label, y_label: &figure.y_label };
    let inner = frame.inner(chart);
    frame.draw(&mut canvas, inner);
    if all.is_empty() {
        no_data(&mut canvas, inner);
    }

    canvas.begin_clip(inner);
    for (index, baseline) in shown.iter().enumerate() {
        let stroke = Stroke { color: palette::MUTED, width: 2.6, dash: DASHES[index % DASHES.len()], opacity: 1.0 };
        if let [(_, value)] = baseline.points[..] {
            if let Some((_, height)) = xs.first().and_then(|x| frame.place(inner, (*x, value))) {
                canvas.line((inner.left, height), (inner.right(), height), stroke);
            }
        } else {
            let mut points = baseline.points.clone();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            for piece in frame.pieces(inner, points) {
                canvas.polyline(&piece, stroke);
            }
            // Where a line leaves the frame steeply, its points say more than its dashes.
            for center in baseline.points.iter().filter_map(|point| frame.place(inner, *point)) {
                canvas.marker(0, center, 4.5, palette::MUTED, 1.0);
            }
        }
    }
    // Error bars of several series at one x would hide each other, so each series is set aside a little.
    let has_bars =
        figure.series.iter().flat_map(|series| &series.points).any(|point| point.deviation.is_some_and(|deviation| deviation > 0.0));
    let step = if num > 1 && has_bars && !has_measured_x { (30.0 / (num - 1) as f64).min(6.0) } else { 0.0 };
    for (index, series) in figure.series.iter().enumerate() {
        let color = palette::line(index, num);
        let inner = Rect { left: inner.left + (index as f64 - (num - 1) as f64 / 2.0) * step, ..inner };
        let mut points = series.points.clone();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        for piece in frame.pieces(inner, points.iter().map(|point| (point.x, point.mean))) {
            canvas.polyline(&piece, Stroke { opacity: 0.85, ..Stroke::solid(&color, 2.8) });
        }
        for point in &points {
            draw_error_bar(&mut canvas, &frame, inner, *point, &color);
        }
        for center in points.iter().filter_map(|point| frame.place(inner, (point.x, point.mean))) {
            canvas.marker(index, center, 7.5, &color, 1.0);
        }
    }
    canvas.end_clip();
    canvas.draw()
}

fn draw_error_bar(canvas: &mut Canvas, frame: &Frame<'_>, inner: Rect, point: MetricPoint, color: &str) {
    let MetricPoint { x, mean, deviation, x_deviation } = point;
    let stroke = Stroke::solid(color, 2.4);
    if let Some(half) = x_deviation.filter(|half| *half > 0.0)
        && let Some((right, row)) = frame.place(inner, (x + half, mean))
    {
        let left = frame.place(inner, (x - half, mean)).map_or(inner.left, |(left, _)| left);
        canvas.line((left, row), (right, row), stroke);
    }
    let Some(deviation) = deviation.filter(|deviation| *deviation > 0.0) else { return };
    let Some((column, top)) = frame.place(inner, (x, mean + deviation)) else { return };
    // On a logarithmic axis a deviation larger than the mean reaches below everything.
    let (bottom, has_end) = frame.place(inner, (x, mean - deviation)).map_or((inner.bottom(), false), |(_, bottom)| (bottom, true));
    canvas.line((column, top), (column, bottom), stroke);
    canvas.line((column - 8.0, top), (column + 8.0, top), stroke);
    if has_end {
        canvas.line((column - 8.0, bottom), (column + 8.0, bottom), stroke);
    }
}

/// The values that an axis can reach without squeezing those of the series into less than a third of it; all where there are none.
#[derive(Debug, Clone, Copy)]
struct Near {
    low: f64,
    high: f64,
}

impl Near {
    fn of(values: &[f64], is_log: bool) -> Self {
        let (low, high) = extent(values.iter().copied().filter(|value| !is_log || *value > 0.0));
        if low > high {
            return Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
        }
        if is_log {
            let factor = (high / low).powi(2).max(1.02);
            return Self { low: low / factor, high: high * factor };
        }
        let spread = (high - low).max(high.abs().max(low.abs()) * 0.02);
        Self { low: low - 2.0 * spread, high: high + 2.0 * spread }
    }

    fn has(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

fn range_of(baseline: &Baseline) -> String {
    let (low, high) = extent(baseline.points.iter().map(|(_, y)| *y));
    if low == high { number::significant(low, 4) } else { format!("{} to {}", number::significant(low, 3), number::significant(high, 3)) }
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

fn sorted_distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    sorted
}

/// How a hyperparameter is called across models: `code_size` for the code size of any of them, the path
/// inside the model for its own (`lambda`), the whole path otherwise (`train.batch_size`).
pub(crate) fn common_name(path: &str) -> &str {
    let inside = path.strip_prefix("model.").and_then(|rest| rest.split_once('.')).map_or(path, |(_, inside)| inside);
    if matches!(inside, "code_size" | "latent_dim") { "code_size" } else { inside }
}

/// A common name as words, short: `code size`, `batch size` for `train.batch_size`, `masking rate` for
/// `corruption.masking.rate`.
pub(crate) fn shown_name(name: &str) -> String {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or(name);
    match parts.next() {
        // A single word says little without what it belongs to.
        Some(owner) if !last.contains('_') => format!("{owner} {last}").replace('_', " "),
        _ => last.replace('_', " "),
    }
}

fn value_of(configuration: &Configuration, hyperparameter: &str) -> Option<f64> {
    if hyperparameter == "code_size" {
        return Some(configuration.code_size as f64);
    }
    let found = configuration.hyperparameters.iter().find(|(path, _)| common_name(path) == hyperparameter);
    found.and_then(|(_, value)| value.as_f64())
}

/// The numeric hyperparameters that take two values or more, by the names that [`metric_figure`] knows them by:
/// `code_size` first where it varies, then in the order of the sweep.
pub fn swept_hyperparameters(summary: &Summary) -> Vec<String> {
    let mut names = vec!["code_size"];
    for path in &summary.hyperparameters {
        if !names.contains(&common_name(path)) {
            names.push(common_name(path));
        }
    }
    let varies =
        |name: &&str| sorted_distinct(summary.configurations.iter().filter_map(|configuration| value_of(configuration, name))).len() > 1;
    names.into_iter().filter(varies).map(str::to_owned).collect()
}

/// What [`metric_against_hyperparameter`] draws of a summary: `metric` by its name there, `hyperparameter` by one of
/// [`swept_hyperparameters`]. One series per model and per combination of its other varied hyperparameters. `None` where
/// no finished configuration has both.
pub fn metric_figure(summary: &Summary, metric: &str, hyperparameter: &str) -> Option<MetricFigure> {
    let column = summary.metrics.iter().position(|info| info.name == metric)?;
    let info = &summary.metrics[column];
    let constant = constant_values(summary);
    let mut series: Vec<MetricSeries> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut num_seeds: Vec<usize> = Vec::new();
    for configuration in &summary.configurations {
        let (Some(x), Some(spread)) = (value_of(configuration, hyperparameter), configuration.metrics[column]) else { continue };
        let name = series_name(&constant, configuration, hyperparameter);
        let point = MetricPoint { x, mean: spread.mean, deviation: spread.deviation, x_deviation: None };
        num_seeds.push(spread.num);
        let place = *places.entry(name.clone()).or_insert(series.len());
        match series.get_mut(place) {
            Some(series) => series.points.push(point),
            None => series.push(MetricSeries { name, points: vec![point] }),
        }
    }
    let notes = thin_out(&mut series);
    let (fewest, most) = (*num_seeds.iter().min()?, *num_seeds.iter().max()?);
    let shown = metric_label(metric);
    let x_label = shown_name(hyperparameter);
    let seeds = match (fewest, most) {
        (1, 1) => "one seed".to_owned(),
        (fewest, most) if fewest == most => format!("mean ± standard deviation over {most} seeds"),
        _ => format!("mean ± standard deviation over {fewest} to {most} seeds"),
    };
    let better = match info.direction {
        Direction::LowerIsBetter => "; lower is better",
        Direction::HigherIsBetter => "; higher is better",
        Direction::Neutral => "",
    };
    Some(MetricFigure {
        title: format!("{shown} against {x_label}"),
        subtitle: format!("{seeds}{better}{notes}"),
        x_label,
        y_label: if info.unit.is_empty() { shown } else { format!("{shown} ({})", info.unit) },
        series,
        baselines: baselines(summary, column, hyperparameter),
        log_x: None,
        log_y: None,
    })
}

/// More lines than this in one figure cannot be told apart.
const MOST_SERIES: usize = 24;
/// More points than this on one line cannot be told apart.
const MOST_POINTS: usize = 200;

/// Leaves what a figure can show, and says what that is where something is left out.
fn thin_out(series: &mut Vec<MetricSeries>) -> String {
    let mut notes = String::new();
    if series.len() > MOST_SERIES {
        notes.push_str(&format!("; the first {MOST_SERIES} of {} lines", series.len()));
        series.truncate(MOST_SERIES);
    }
    let most = series.iter().map(|series| series.points.len()).max().unwrap_or(0);
    if most > MOST_POINTS {
        notes.push_str(&format!("; at most {MOST_POINTS} of {most} points of a line"));
        for series in series.iter_mut().filter(|series| series.points.len() > MOST_POINTS) {
            let last = series.points.len() - 1;
            series.points.sort_by(|left, right| left.x.total_cmp(&right.x));
            series.points = (0..MOST_POINTS).map(|index| series.points[index * last / (MOST_POINTS - 1)]).collect();
        }
    }
    notes
}

/// For each model the hyperparameters that have one value in all its configurations.
fn constant_values(summary: &Summary) -> HashSet<(&str, &str)> {
    let mut found: HashMap<(&str, &str), (&Value, usize)> = HashMap::new();
    let mut num_configurations: HashMap<&str, usize> = HashMap::new();
    let mut varying: HashSet<(&str, &str)> = HashSet::new();
    for configuration in &summary.configurations {
        *num_configurations.entry(&configuration.model).or_default() += 1;
        for (path, value) in &configuration.hyperparameters {
            let key = (configuration.model.as_str(), path.as_str());
            let (first, num) = found.entry(key).or_insert((value, 0));
            *num += 1;
            if *first != value {
                varying.insert(key);
            }
        }
    }
    let is_constant = |(key, (_, num)): &((&str, &str), (&Value, usize))| !varying.contains(key) && *num == num_configurations[key.0];
    found.into_iter().filter(is_constant).map(|(key, _)| key).collect()
}

fn series_name(constant: &HashSet<(&str, &str)>, configuration: &Configuration, hyperparameter: &str) -> String {
    let mut name = configuration.model.clone();
    for (path, value) in &configuration.hyperparameters {
        let is_constant = constant.contains(&(configuration.model.as_str(), path.as_str()));
        if common_name(path) != hyperparameter && path != "model" && !is_constant {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.as_f64().map_or_else(|| other.to_string(), number::label),
            };
            name.push_str(&format!(", {} {value}", shown_name(common_name(path))));
        }
    }
    name
}

fn baselines(summary: &Summary, column: usize, hyperparameter: &str) -> Vec<Baseline> {
    let mut baselines: Vec<Baseline> = Vec::new();
    for row in &summary.baselines {
        let Some(spread) = row.metrics[column] else { continue };
        let name = baseline_name(row, hyperparameter);
        let x = row.code_size.filter(|_| hyperparameter == "code_size").map_or(f64::NAN, |size| size as f64);
        match baselines.iter_mut().find(|baseline| baseline.name == name) {
            Some(baseline) => baseline.points.push((x, spread.mean)),
            None => baselines.push(Baseline { name, points: vec![(x, spread.mean)] }),
        }
    }
    baselines
}

fn baseline_name(row: &BaselineRow, hyperparameter: &str) -> String {
    let mut name = row.label();
    if let Some(size) = row.code_size.filter(|_| hyperparameter != "code_size") {
        name.push_str(&format!(", code size {size}"));
    }
    for (path, value) in &row.hyperparameters {
        name.push_str(&format!(", {} {}", shown_name(common_name(path)), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    name
}

/// Words that are written in capitals.
const ABBREVIATIONS: [&str; 28] = [
    "sse", "mse", "rmse", "mae", "psnr", "ssim", "kl", "bce", "nll", "elbo", "pca", "fid", "mig", "auc", "auroc", "mmd", "ari", "dci",
    "ease", "f1", "fvu", "l0", "map", "mmcs", "ndcg", "nmi", "sap", "vus",
];

/// What metrics are named after.
const PROPER_NAMES: [(&str, &str); 6] = [
    ("frechet", "Fréchet"),
    ("gaussian", "Gaussian"),
    ("hamming", "Hamming"),
    ("hoyer", "Hoyer"),
    ("rolls", "Rolls"),
    ("treves", "Treves"),
];

/// `eval/sse` as `SSE`, `squared_error` as `squared error`, `frechet_distance` as `Fréchet distance`.
pub(crate) fn metric_label(metric: &str) -> String {
    let name = metric.rsplit('/').next().unwrap_or(metric);
    // What a metric was measured at is written as it is.
    let (name, at) = name.split_once('@').map_or((name, None), |(name, at)| (name, Some(at)));
    let word = |word: &str| match PROPER_NAMES.iter().find(|(known, _)| *known == word) {
        Some((_, name)) => (*name).to_owned(),
        None if ABBREVIATIONS.contains(&word) => word.to_uppercase(),
        None => word.to_owned(),
    };
    let name = name.split('_').map(word).collect::<Vec<_>>().join(" ");
    at.map_or_else(|| name.clone(), |at| format!("{name}@{}", at.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::{summarize, tests::sweep};

    fn figure(series: Vec<MetricSeries>, baselines: Vec<Baseline>) -> MetricFigure {
        let (title, subtitle) = ("t".into(), String::new());
        MetricFigure { title, subtitle, x_label: "x".into(), y_label: "y".into(), series, baselines, log_x: None, log_y: None }
    }

    fn series(name: &str, points: &[(f64, f64, f64)]) -> MetricSeries {
        let points =
            points.iter().map(|&(x, mean, deviation)| MetricPoint { x, mean, deviation: Some(deviation), x_deviation: None }).collect();
        MetricSeries { name: name.into(), points }
    }

    #[test]
    fn degenerate_figures_are_drawn() {
        let name = "n".repeat(200);
        for (series, baselines) in [
            (vec![], vec![]),
            (vec![series("a", &[])], vec![Baseline { name: "b".into(), points: vec![] }]),
            (vec![series("a", &[(1.0, 1.0, 0.0)])], vec![Baseline { name: name.clone(), points: vec![(f64::NAN, 1.0)] }]),
            (vec![series("a", &[(1.0, 1.0, 0.0), (1.0, 1.0, 0.0)])], vec![]),
            (vec![series(&name, &[(f64::NAN, 1.0, 0.0), (1.0, f64::NAN, 1.0), (2.0, f64::INFINITY, f64::NAN)])], vec![]),
            (
                vec![series("a", &[(0.0, -1e308, 1e308), (-1.0, 1e308, 1e308)])],
                vec![Baseline { name, points: vec![(0.0, 1e308), (1.0, -1e308)] }],
            ),
            (vec![series("a", &[(1.0, 1.0, 50.0), (10.0, 1000.0, 2000.0), (100.0, 3.0, 0.5)])], vec![]),
            ((0..200).map(|index| series(&format!("s{index}"), &[(1.0, f64::from(index), 1.0), (2.0, 1.0, 1.0)])).collect(), vec![]),
        ] {
            let image = metric_against_hyperparameter(&figure(series, baselines)).unwrap();
            assert_eq!(image.width, 1400);
            assert!(image.pixels.iter().any(|value| *value < 128));
        }
    }

    #[test]
    fn a_baseline_far_off_is_named_and_does_not_flatten_the_rest() {
        let near = Near::of(&[10.0, 12.0], false);
        assert!(near.has(15.0) && !near.has(52.0) && !near.has(-1.0));
        assert!(Near::of(&[], false).has(52.0));
        let near = Near::of(&[1.0, 10.0], true);
        assert!(near.has(900.0) && near.has(0.02) && !near.has(1e-6) && !near.has(0.0));
    }

    #[test]
    fn a_baseline_that_enters_the_frame_is_drawn_to_its_edge() {
        let muted = |baseline: Vec<(f64, f64)>| {
            let ours = series("a", &[(2.0, 10.0, 0.0), (8.0, 12.0, 0.0)]);
            let image =
                metric_against_hyperparameter(&figure(vec![ours], vec![Baseline { name: String::new(), points: baseline }])).unwrap();
            // Pixels of the chart alone, the legend left out.
            let width = image.width as usize;
            let left = image.pixels.chunks(3).enumerate().filter(|(index, _)| (150..900).contains(&(index % width)));
            left.filter(|(_, pixel)| pixel.iter().all(|value| (60..150).contains(value))).count()
        };
        let none = muted(vec![(2.0, 500.0), (8.0, 400.0)]);
        let crossing = muted(vec![(2.0, 24.0), (8.0, 11.0)]);
        let through = muted(vec![(2.0, 500.0), (8.0, -500.0)]);
        assert!(crossing > none + 100 && through > none + 100, "{none} {crossing} {through}");
    }

    #[test]
    fn a_sweep_over_code_sizes_becomes_one_series_per_model_beside_its_baselines() {
        let summary = summarize(sweep());
        assert_eq!(swept_hyperparameters(&summary), ["code_size"]);
        let figure = metric_figure(&summary, "sse", "code_size").unwrap();
        let names: Vec<&str> = figure.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["undercomplete", "vae"]);
        assert_eq!(figure.series[0].points[0], MetricPoint { x: 8.0, mean: 13.0, deviation: Some(0.25), x_deviation: None });
        assert_eq!(figure.baselines[0], Baseline { name: "PCA".into(), points: vec![(8.0, 15.0), (32.0, 3.75)] });
        assert_eq!(figure.baselines[1].points.len(), 1, "the mean of the data has no code size");
        assert_eq!(figure.subtitle, "mean ± standard deviation over 2 to 3 seeds; lower is better");
        assert_eq!(figure.y_label, "SSE (squared units per example)");
        assert!(metric_figure(&summary, "kl", "code_size").unwrap().baselines.is_empty());
        assert!(metric_figure(&summary, "sse", "lambda").is_none() && metric_figure(&summary, "unknown", "code_size").is_none());
    }

    #[test]
    fn what_else_varies_tells_series_apart() {
        let mut trials = sweep();
        trials.retain(|trial| trial.model == "undercomplete");
        for (index, trial) in trials.iter_mut().enumerate() {
            trial.hyperparameters.push(("train.batch_size".into(), serde_json::json!(if index % 2 == 0 { 32 } else { 128 })));
            trial.hyperparameters.push(("train.epochs".into(), serde_json::json!(5)));
        }
        let summary = summarize(trials.clone());
        assert_eq!(swept_hyperparameters(&summary), ["code_size", "train.batch_size"]);
        let names = |figure: MetricFigure| -> Vec<String> { figure.series.into_iter().map(|series| series.name).collect() };
        let against_code_size = names(metric_figure(&summary, "sse", "code_size").unwrap());
        assert_eq!(against_code_size, ["undercomplete, batch size 32", "undercomplete, batch size 128"]);
        let figure = metric_figure(&summary, "sse", "train.batch_size").unwrap();
        assert_eq!(
            figure.baselines.iter().map(|baseline| baseline.name.as_str()).collect::<Vec<_>>(),
            ["PCA, code size 8", "PCA, code size 32", "mean of the data"]
        );
        assert_eq!(names(figure), ["undercomplete, code size 8", "undercomplete, code size 32"]);
    }

    #[test]
    fn paths_of_different_models_share_a_name() {
        assert_eq!(common_name("model.vae.latent_dim"), "code_size");
        assert_eq!(common_name("model.undercomplete.code_size"), "code_size");
        assert_eq!(common_name("model.denoising.corruption.masking.rate"), "corruption.masking.rate");
        assert_eq!(common_name("train.batch_size"), "train.batch_size");
        assert_eq!(shown_name("train.batch_size"), "batch size");
        assert_eq!(shown_name("corruption.masking.rate"), "masking rate");
        assert_eq!(shown_name("beta"), "beta");
    }

    #[test]
    fn metrics_are_written_as_people_write_them() {
        assert_eq!(metric_label("eval/sse"), "SSE");
        assert_eq!(metric_label("pca_sse"), "PCA SSE");
        assert_eq!(metric_label("squared_error"), "squared error");
        assert_eq!(metric_label("ease_ndcg@100"), "EASE NDCG@100");
        assert_eq!(metric_label("eval/frechet_distance"), "Fréchet distance");
    }

    #[test]
    fn a_figure_of_a_huge_sweep_says_what_it_leaves_out() {
        let line = |index: usize| MetricSeries {
            name: index.to_string(),
            points: (0..1000).map(|x| MetricPoint { x: f64::from(x), mean: 1.0, deviation: None, x_deviation: None }).collect(),
        };
        let mut series: Vec<MetricSeries> = (0..30).map(line).collect();
        assert_eq!(thin_out(&mut series), "; the first 24 of 30 lines; at most 200 of 1000 points of a line");
        let xs: Vec<f64> = series[0].points.iter().map(|point| point.x).collect();
        assert_eq!((series.len(), xs.len(), xs[0], xs[199]), (24, 200, 0.0, 999.0));
        let mut few = vec![MetricSeries { points: line(0).points[..10].to_vec(), name: String::new() }];
        assert_eq!((thin_out(&mut few), few[0].points.len()), (String::new(), 10));
    }
}
