//! What people look at: curves, histograms, where the error is, and which examples were mistaken.

use aelab_core::Examples;

use super::Detector;
use super::scores::{FeatureErrors, reconstruction};
use crate::pass::{Draw, Rows};
use crate::{BarSeries, Detected, EvaluationContext, EvaluationError, ExampleRow, Line, Picture, PictureContent, detections};

/// Points of a curve; more would not be seen.
const NUM_POINTS: usize = 500;
/// Bins of a histogram.
const NUM_BINS: usize = 60;
/// Examples in a picture.
const NUM_SHOWN: usize = 10;
/// Features that bars are drawn for; more are a line.
const MAX_BARS: usize = 40;
/// Largest side of an image of errors; larger ones are shown in blocks.
const MAX_SIDE: usize = 64;
/// Largest score over smallest above which a histogram has a logarithmic axis.
const WIDE: f64 = 20.0;

fn line(name: impl Into<String>, points: Vec<[f64; 2]>, is_baseline: bool) -> Line {
    Line { name: name.into(), points, is_baseline }
}

/// Curves of all detectors, and a histogram of each.
pub(super) fn of_detectors(detectors: &[Detector]) -> Vec<Picture> {
    let curves: Vec<(&Detector, Vec<Detected>)> =
        detectors.iter().filter_map(|detector| Some((detector, thinned(detections(&detector.normal, &detector.anomalies)?)))).collect();
    if curves.is_empty() {
        return Vec::new();
    }
    let share = |part: usize, whole: &[f64]| part as f64 / whole.len() as f64;
    let mut roc: Vec<Line> = curves
        .iter()
        .map(|(detector, points)| {
            let point = |found: &Detected| [share(found.num_normal, &detector.normal), share(found.num_anomalies, &detector.anomalies)];
            line(&detector.caption, [[0.0, 0.0]].into_iter().chain(points.iter().map(point)).collect(), detector.name == "pca")
        })
        .collect();
    roc.push(line("chance", vec![[0.0, 0.0], [1.0, 1.0]], true));
    let precision_recall = curves
        .iter()
        .map(|(detector, points)| {
            let point = |found: &Detected| {
                let precision = found.num_anomalies as f64 / (found.num_anomalies + found.num_normal) as f64;
                [share(found.num_anomalies, &detector.anomalies), precision]
            };
            line(&detector.caption, points.iter().map(point).collect(), detector.name == "pca")
        })
        .collect();
    let chart = |name: &str, title: &str, lines: Vec<Line>, axes: [&str; 2]| {
        Picture::new(name, title, PictureContent::Lines { lines, axes: axes.map(str::to_owned), logarithmic: [false; 2] })
    };
    let mut pictures = vec![
        chart("anomaly_roc", "receiver operating characteristic", roc, ["share of normal examples above", "share of anomalies above"]),
        chart("anomaly_precision_recall", "precision and recall of anomalies", precision_recall, ["recall", "precision"]),
    ];
    pictures.extend(detectors.iter().map(histogram));
    pictures
}

/// At most [`NUM_POINTS`] points, the first and the last among them.
fn thinned(points: Vec<Detected>) -> Vec<Detected> {
    if points.len() <= NUM_POINTS {
        return points;
    }
    (0..NUM_POINTS).map(|index| points[index * (points.len() - 1) / (NUM_POINTS - 1)]).collect()
}

/// How scores of both kinds lie, and the threshold between them.
fn histogram(detector: &Detector) -> Picture {
    let all = || detector.normal.iter().chain(&detector.anomalies).copied();
    let (low, high) =
        all().chain(detector.threshold).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| (low.min(score), high.max(score)));
    let is_wide = low > 0.0 && high / low > WIDE;
    let place = |score: f64| if is_wide { score.ln() } else { score };
    let (first, last) = (place(low), place(high));
    let width = if last > first { (last - first) / NUM_BINS as f64 } else { 1.0 };
    let edge = |bin: usize| {
        let place = first + bin as f64 * width;
        if is_wide { place.exp() } else { place }
    };
    let shares = |scores: &[f64]| {
        let mut shares = [0.0; NUM_BINS];
        scores.iter().for_each(|&score| shares[(((place(score) - first) / width) as usize).min(NUM_BINS - 1)] += 1.0 / scores.len() as f64);
        shares
    };
    let outline =
        |shares: &[f64]| shares.iter().enumerate().flat_map(|(bin, &share)| [[edge(bin), share], [edge(bin + 1), share]]).collect();
    let (normal, anomalies) = (shares(&detector.normal), shares(&detector.anomalies));
    let highest = normal.iter().chain(&anomalies).copied().fold(0.0, f64::max);
    let mut lines = vec![line("normal", outline(&normal), false), line("anomalies", outline(&anomalies), false)];
    lines.extend(detector.threshold.map(|threshold| line("threshold", vec![[threshold, 0.0], [threshold, highest]], true)));
    let axes = [format!("score ({})", detector.caption), "share of the kind's test examples".to_owned()];
    let content = PictureContent::Lines { lines, axes, logarithmic: [is_wide, false] };
    Picture::new(&format!("anomaly_scores_{}", detector.name), "scores of normal examples and anomalies", content)
}

/// Where the error of both kinds is.
pub(super) fn of_features(features: &FeatureErrors<'_>, test: &dyn Examples) -> Option<Picture> {
    const AXIS: &str = "mean squared error";
    let data = test.spec();
    let means = |of_anomalies| -> Vec<f64> { features.means(of_anomalies).into_iter().map(|mean| mean.unwrap_or(f64::NAN)).collect() };
    let (normal, anomalies) = (means(false), means(true));
    if let Some(shape) = data.image_shape() {
        return Some(maps([&normal, &anomalies], shape, AXIS));
    }
    let title = "squared error of each feature";
    if data.event_shape.len() == 1 && normal.len() <= MAX_BARS {
        let series = |name: &str, heights| BarSeries { name: name.to_owned(), heights, half_widths: Vec::new() };
        let content = PictureContent::Bars {
            groups: match test.feature_names() {
                Some(names) => names.to_vec(),
                None => (0..normal.len()).map(|feature| feature.to_string()).collect(),
            },
            series: vec![series("normal", normal), series("anomalies", anomalies)],
            axis: AXIS.to_owned(),
        };
        return Some(Picture::new("anomaly_features", title, content));
    }
    let num_channels = if data.event_shape.len() == 2 { data.event_shape[1].max(1) } else { 1 };
    let steps = |means: &[f64]| -> Vec<[f64; 2]> {
        let mean = |values: &[f64]| {
            let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
            known.iter().sum::<f64>() / known.len() as f64
        };
        let steps = means.chunks(num_channels).enumerate().map(|(step, values)| [step as f64, mean(values)]);
        steps.filter(|[_, mean]| mean.is_finite()).collect()
    };
    let lines = vec![line("normal", steps(&normal), false), line("anomalies", steps(&anomalies), false)];
    let axis = if data.event_shape.len() == 2 { "time step" } else { "feature" };
    let content = PictureContent::Lines { lines, axes: [axis.to_owned(), AXIS.to_owned()], logarithmic: [false; 2] };
    Some(Picture::new("anomaly_features", title, content))
}

/// The errors of pixels of both kinds as maps side by side, with one scale of colours; means over channels.
fn maps(kinds: [&[f64]; 2], [channels, height, width]: [usize; 3], axis: &str) -> Picture {
    /// Columns between the maps.
    const GAP: usize = 2;
    let block = height.max(width).div_ceil(MAX_SIDE).max(1);
    let (num_rows, num_columns) = (height.div_ceil(block), width.div_ceil(block));
    let cell = |errors: &[f64], row: usize, column: usize| {
        let pixels = (row * block..height.min((row + 1) * block))
            .flat_map(|y| (column * block..width.min((column + 1) * block)).map(move |x| y * width + x));
        let values: Vec<f64> = pixels
            .flat_map(|pixel| (0..channels).map(move |channel| errors[channel * height * width + pixel]))
            .filter(|error| error.is_finite())
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let mut values = Vec::with_capacity(num_rows * (2 * num_columns + GAP));
    for row in 0..num_rows {
        values.extend((0..num_columns).map(|column| cell(kinds[0], row, column)));
        values.extend([f64::NAN; GAP]);
        values.extend((0..num_columns).map(|column| cell(kinds[1], row, column)));
    }
    let names = |num: usize| (0..num).map(|index| (index * block).to_string());
    let columns = names(num_columns).chain((0..GAP).map(|_| String::new())).chain(names(num_columns)).collect();
    let axes = [
        "row of pixels".to_owned(),
        "column of pixels: normal test images on the left, anomalies on the right".to_owned(),
        axis.to_owned(),
    ];
    let content = PictureContent::Heatmap { rows: names(num_rows).collect(), columns, values, axes };
    Picture::new("anomaly_features", "error of each pixel", content)
}

/// A number with three digits that count.
fn rounded(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e5).contains(&size) => format!("{value:.*}", (2 - size.log10().floor() as i32).max(0) as usize),
        _ => format!("{value:.2e}"),
    }
}

/// The normal test examples with the highest scores and the anomalies with the lowest, beside their reconstructions.
pub(super) fn of_mistakes(
    context: &EvaluationContext<'_>,
    detector: &Detector,
    is_anomaly: &[bool],
) -> Result<Vec<Picture>, EvaluationError> {
    let data = context.test.spec();
    if data.image_shape().is_none() && data.event_shape.len() != 2 {
        return Ok(Vec::new());
    }
    let scores = &detector.scores.test;
    let extreme = |kind: bool| -> Vec<usize> {
        let mut examples: Vec<usize> = (0..scores.len()).filter(|&example| is_anomaly[example] == kind).collect();
        let order = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]);
        examples.sort_by(|a, b| if kind { order(a, b) } else { order(b, a) });
        examples.truncate(NUM_SHOWN);
        examples
    };
    let title = |kind: bool| {
        let (what, scores, side) = match kind {
            false => ("normal examples with the highest", &detector.normal, "above"),
            true => ("anomalies with the lowest", &detector.anomalies, "not above"),
        };
        // Which they are is no matter of the threshold: where there are no mistakes, these are the nearest to one.
        let mistaken = detector.threshold.map(|threshold| {
            let num = scores.iter().filter(|score| (**score > threshold) != kind).count();
            format!(": {num} of {} {side} the threshold, {}", scores.len(), rounded(threshold))
        });
        format!("{what} scores ({}){}", detector.caption.trim_start_matches("model, "), mistaken.unwrap_or_default())
    };
    let class = |label: &u32| {
        let name = context.test.class_names().and_then(|names| names.get(*label as usize));
        name.cloned().unwrap_or_else(|| label.to_string())
    };
    [(false, "anomaly_false_alarms"), (true, "anomaly_overlooked")]
        .into_iter()
        .map(|(kind, name)| {
            let rows = Rows::gather(context.test, &extreme(kind), &mut Draw::Pictures.stream(context.seed));
            // What is not decoded without its class is shown alone.
            let mut reconstructions = match context.model.decodes_by_class_only() {
                true => None,
                false => Some(reconstruction(context, &rows)?),
            };
            let Rows { mut values, mask, labels, .. } = rows;
            let labels: Vec<String> = labels.iter().flatten().map(class).collect();
            let content = match (data.image_shape(), &data.event_shape[..]) {
                (Some(shape), _) => {
                    let mut rows = vec![ExampleRow::new("test image", values)];
                    rows.extend(reconstructions.map(|values| ExampleRow::new("reconstruction", values)));
                    PictureContent::ImageRows { rows, shape, labels }
                }
                (None, shape) => {
                    for values in [&mut values].into_iter().chain(&mut reconstructions) {
                        let missing = values.iter_mut().zip(mask.iter().flatten()).filter(|(_, observed)| **observed == 0.0);
                        missing.for_each(|(value, _)| *value = f32::NAN);
                    }
                    let mut rows = vec![ExampleRow::new("test series", values)];
                    rows.extend(reconstructions.map(|values| ExampleRow::new("reconstruction", values)));
                    let labels = labels.iter().map(|class| format!("class {class}")).collect();
                    PictureContent::SeriesRows { rows, shape: [shape[0], shape[1]], labels }
                }
            };
            Ok(Picture::new(name, title(kind), content))
        })
        .collect()
}
