//! What people look at: curves, histograms, where the error is, and which examples were mistaken.

use aelab_core::DataSpec;

use super::Detector;
use super::scores::FeatureErrors;
use crate::pass::{Draw, Rows, to_values};
use crate::{BarSeries, Detected, EvaluationContext, EvaluationError, ExampleRow, Line, Picture, PictureContent, detections};

/// Points of a curve; more would not be seen.
const NUM_POINTS: usize = 500;
/// Bins of a histogram.
const NUM_BINS: usize = 60;
/// Examples in a picture.
const NUM_SHOWN: usize = 10;
/// Features that bars are drawn for; more are a line.
const MAX_BARS: usize = 40;
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
pub(super) fn of_features(features: &FeatureErrors<'_>, data: &DataSpec) -> Option<Picture> {
    const AXIS: &str = "mean squared error";
    let means = |of_anomalies| -> Vec<f64> { features.means(of_anomalies).into_iter().map(|mean| mean.unwrap_or(f64::NAN)).collect() };
    let (normal, anomalies) = (means(false), means(true));
    if let Some(shape) = data.image_shape() {
        let largest = normal.iter().chain(&anomalies).copied().filter(|mean| mean.is_finite()).fold(0.0, f64::max);
        let shade = |mean: &f64| if largest > 0.0 && mean.is_finite() { (mean / largest) as f32 } else { 0.0 };
        let images = normal.iter().chain(&anomalies).map(shade).collect();
        let title = format!("squared error of each pixel: normal images, anomalies; white is {largest:.3}");
        return Some(Picture::new("anomaly_features", title, PictureContent::ImageGrid { images, shape, columns: Some(2) }));
    }
    let title = "squared error of each feature";
    if data.event_shape.len() == 1 && normal.len() <= MAX_BARS {
        let series = |name: &str, heights| BarSeries { name: name.to_owned(), heights, half_widths: Vec::new() };
        let content = PictureContent::Bars {
            groups: (0..normal.len()).map(|feature| feature.to_string()).collect(),
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
    [
        (false, "anomaly_false_alarms", "the normal test examples with the highest scores"),
        (true, "anomaly_overlooked", "the anomalies with the lowest scores"),
    ]
    .into_iter()
    .map(|(kind, name, title)| {
        let rows = Rows::gather(context.test, &extreme(kind), &mut Draw::Pictures.stream(context.seed));
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let mut reconstructions = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
        let Rows { mut values, mask, labels, .. } = rows;
        let labels = labels.iter().flatten().map(|label| format!("class {label}")).collect();
        let content = match (data.image_shape(), &data.event_shape[..]) {
            (Some(shape), _) => {
                let labels: Vec<String> = labels;
                let labels = labels.iter().map(|label| label.replace("class ", "")).collect();
                let rows = vec![ExampleRow::new("test image", values), ExampleRow::new("reconstruction", reconstructions)];
                PictureContent::ImageRows { rows, shape, labels }
            }
            (None, shape) => {
                for values in [&mut values, &mut reconstructions] {
                    let missing = values.iter_mut().zip(mask.iter().flatten()).filter(|(_, observed)| **observed == 0.0);
                    missing.for_each(|(value, _)| *value = f32::NAN);
                }
                let rows = vec![ExampleRow::new("test series", values), ExampleRow::new("reconstruction", reconstructions)];
                PictureContent::SeriesRows { rows, shape: [shape[0], shape[1]], labels }
            }
        };
        Ok(Picture::new(name, title, content))
    })
    .collect()
}
