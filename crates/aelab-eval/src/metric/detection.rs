//! What a detector finds at each threshold: curves, average precision, and precision, recall and F1 at one threshold.

use rand::RngExt;

use aelab_core::Stream;

use super::auroc::Interval;

/// How many of each kind a threshold calls anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// Anomalies called so.
    pub num_anomalies: usize,
    /// Normal examples called anomalous.
    pub num_normal: usize,
}

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classification {
    /// Share of anomalies among what was called anomalous; 0 where nothing was.
    pub precision: f64,
    /// Share of the anomalies that was called so; 0 where there are none.
    pub recall: f64,
    /// `2 tp / (2 tp + fp + fn)`; 0 where nothing is anomalous or called so.
    pub f1: f64,
}

impl Classification {
    fn of(detected: Detected, num_anomalies: usize) -> Self {
        let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let Detected { num_anomalies: found, num_normal: wrong } = detected;
        Self {
            precision: ratio(found, found + wrong),
            recall: ratio(found, num_anomalies),
            f1: ratio(2 * found, found + wrong + num_anomalies),
        }
    }
}

/// What calling every score above `threshold` anomalous is worth.
pub fn classify(normal: &[f64], anomalies: &[f64], threshold: f64) -> Classification {
    let above = |scores: &[f64]| scores.iter().filter(|score| **score > threshold).count();
    Classification::of(Detected { num_anomalies: above(anomalies), num_normal: above(normal) }, anomalies.len())
}

/// What lies at or above each distinct score, the highest first: the points of the receiver operating characteristic and of the
/// curve of precision and recall. `None` where a kind is missing or a score is not a number.
pub fn detections(normal: &[f64], anomalies: &[f64]) -> Option<Vec<Detected>> {
    let scores = sorted(normal, anomalies)?;
    Some(curve(&scores, &vec![1; scores.len()]))
}

/// Average precision: the sum over falling distinct thresholds of precision times the recall that is added; not interpolated.
/// `None` where a kind is missing or a score is not a number.
pub fn average_precision(normal: &[f64], anomalies: &[f64]) -> Option<f64> {
    Some(area(&detections(normal, anomalies)?))
}

/// 95 % percentile intervals of average precision and of F1 at `threshold` from `num_resamples` bootstrap samples, drawn within the
/// normal examples and within the anomalies (Efron & Tibshirani 1993, Ch. 13). `None` as for [`average_precision`].
pub fn bootstrap(
    normal: &[f64],
    anomalies: &[f64],
    threshold: Option<f64>,
    num_resamples: usize,
    stream: &mut Stream,
) -> Option<Bootstrap> {
    let scores = sorted(normal, anomalies)?;
    let positions = |kind: bool| -> Vec<usize> {
        scores.iter().enumerate().filter(|(_, (_, is_anomaly))| *is_anomaly == kind).map(|(position, _)| position).collect()
    };
    let kinds = [positions(false), positions(true)];
    let (mut areas, mut f1s) = (Vec::with_capacity(num_resamples), Vec::with_capacity(num_resamples));
    let mut counts = vec![0u32; scores.len()];
    for _ in 0..num_resamples {
        counts.fill(0);
        for positions in &kinds {
            for _ in 0..positions.len() {
                counts[positions[stream.random_range(0..positions.len() as u64) as usize]] += 1;
            }
        }
        areas.push(area(&curve(&scores, &counts)));
        if let Some(threshold) = threshold {
            let mut detected = Detected { num_anomalies: 0, num_normal: 0 };
            for (&(score, is_anomaly), &count) in scores.iter().zip(&counts) {
                if score > threshold {
                    *(if is_anomaly { &mut detected.num_anomalies } else { &mut detected.num_normal }) += count as usize;
                }
            }
            f1s.push(Classification::of(detected, anomalies.len()).f1);
        }
    }
    let interval = |value: f64, mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        Some(Interval {
            value,
            low: super::threshold::quantile_of_sorted(&values, 0.025)?,
            high: super::threshold::quantile_of_sorted(&values, 0.975)?,
        })
    };
    let average_precision = interval(average_precision(normal, anomalies)?, areas)?;
    let f1 = threshold.and_then(|threshold| interval(classify(normal, anomalies, threshold).f1, f1s));
    Some(Bootstrap { average_precision, f1 })
}

/// Intervals by resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Of average precision.
    pub average_precision: Interval,
    /// Of F1 at the threshold, where there is one.
    pub f1: Option<Interval>,
}

/// All scores, falling, and whether each is that of an anomaly.
fn sorted(normal: &[f64], anomalies: &[f64]) -> Option<Vec<(f64, bool)>> {
    if normal.is_empty() || anomalies.is_empty() || normal.iter().chain(anomalies).any(|score| score.is_nan()) {
        return None;
    }
    // Adding 0 makes one zero of two.
    let kind = |scores: &[f64], is_anomaly: bool| scores.iter().map(|&score| (score + 0.0, is_anomaly)).collect::<Vec<_>>();
    let mut scores = [kind(normal, false), kind(anomalies, true)].concat();
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    Some(scores)
}

/// Running counts after each distinct score, each example as often as `counts` says.
fn curve(scores: &[(f64, bool)], counts: &[u32]) -> Vec<Detected> {
    let mut running = Detected { num_anomalies: 0, num_normal: 0 };
    let mut points = Vec::new();
    for (index, (&(score, is_anomaly), &count)) in scores.iter().zip(counts).enumerate() {
        *(if is_anomaly { &mut running.num_anomalies } else { &mut running.num_normal }) += count as usize;
        if scores.get(index + 1).is_none_or(|next| next.0 != score) {
            points.push(running);
        }
    }
    points
}

fn area(points: &[Detected]) -> f64 {
    let num_anomalies = points.last().map_or(0, |last| last.num_anomalies) as f64;
    let (mut sum, mut before) = (0.0, 0);
    for point in points {
        if point.num_anomalies > before {
            let precision = point.num_anomalies as f64 / (point.num_anomalies + point.num_normal) as f64;
            sum += precision * (point.num_anomalies - before) as f64;
            before = point.num_anomalies;
        }
    }
    sum / num_anomalies
}
