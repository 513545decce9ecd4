//! AUROC: how probably an anomaly has a higher score than a normal example, ties counted half; with DeLong's interval.
//!
//! DeLong, DeLong & Clarke-Pearson 1988, "Comparing the areas under two or more correlated receiver operating characteristic
//! curves: a nonparametric approach", Biometrics 44; the mid-ranks of Sun & Xu 2014, <https://doi.org/10.1109/LSP.2014.2337313>.

/// Standard normal quantile at 0.975.
const TWO_SIDED_95: f64 = 1.959_963_984_540_054;

/// A value between 0 and 1 and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Area under the receiver operating characteristic: the probability that the score of an anomaly is above that of a normal
/// example, plus half of that of a tie. `None` where either is missing or a score is not a number.
pub fn auroc(normal: &[f64], anomalies: &[f64]) -> Option<f64> {
    Some(placements(normal, anomalies)?.area())
}

/// [`auroc`] with the 95 % interval `A -+ 1.96 s` of DeLong's variance (Eq. 5), cut off at 0 and 1. With one example of a kind the
/// variance over that kind is unknown and left out.
pub fn auroc_interval(normal: &[f64], anomalies: &[f64]) -> Option<Interval> {
    let placements = placements(normal, anomalies)?;
    let value = placements.area();
    let variance = |values: &[f64]| {
        let num = values.len() as f64;
        if values.len() < 2 {
            return 0.0;
        }
        values.iter().map(|placement| (placement - value).powi(2)).sum::<f64>() / (num - 1.0) / num
    };
    let half_width = TWO_SIDED_95 * (variance(&placements.of_normal) + variance(&placements.of_anomalies)).sqrt();
    Some(Interval { value, low: (value - half_width).max(0.0), high: (value + half_width).min(1.0) })
}

/// Of each example, the share of the other kind that stands on the right side of it.
struct Placements {
    /// Share of anomalies above each normal example.
    of_normal: Vec<f64>,
    /// Share of normal examples below each anomaly.
    of_anomalies: Vec<f64>,
}

impl Placements {
    fn area(&self) -> f64 {
        self.of_anomalies.iter().sum::<f64>() / self.of_anomalies.len() as f64
    }
}

fn placements(normal: &[f64], anomalies: &[f64]) -> Option<Placements> {
    if normal.is_empty() || anomalies.is_empty() || normal.iter().chain(anomalies).any(|score| score.is_nan()) {
        return None;
    }
    let sorted = |scores: &[f64]| {
        let mut scores = scores.to_vec();
        scores.sort_unstable_by(f64::total_cmp);
        scores
    };
    // Ascending, so that sums do not depend on the order of the examples.
    let (normal, anomalies) = (sorted(normal), sorted(anomalies));
    // -0 and 0 are equal here, unlike in the total order that sorts.
    let share_below = |scores: &[f64], score: f64| {
        let (below, up_to) = (scores.partition_point(|other| *other < score), scores.partition_point(|other| *other <= score));
        (below + up_to) as f64 / 2.0 / scores.len() as f64
    };
    Some(Placements {
        of_normal: normal.iter().map(|&score| 1.0 - share_below(&anomalies, score)).collect(),
        of_anomalies: anomalies.iter().map(|&score| share_below(&normal, score)).collect(),
    })
}
