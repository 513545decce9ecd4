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
    let variance = |doubled: &[u64], num_others: usize| {
        let num = doubled.len() as f64;
        if doubled.len() < 2 {
            return 0.0;
        }
        let placements = doubled.iter().map(|&doubled| doubled as f64 / 2.0 / num_others as f64);
        placements.map(|placement| (placement - value).powi(2)).sum::<f64>() / (num - 1.0) / num
    };
    let of_normal = variance(&placements.of_normal, placements.of_anomalies.len());
    let of_anomalies = variance(&placements.of_anomalies, placements.of_normal.len());
    let half_width = TWO_SIDED_95 * (of_normal + of_anomalies).sqrt();
    Some(Interval { value, low: (value - half_width).max(0.0), high: (value + half_width).min(1.0) })
}

/// Of each example, twice how many of the other kind stand on the right side of it, a tie being half on it: whole numbers.
struct Placements {
    /// Anomalies above each normal example.
    of_normal: Vec<u64>,
    /// Normal examples below each anomaly.
    of_anomalies: Vec<u64>,
}

impl Placements {
    fn area(&self) -> f64 {
        self.of_anomalies.iter().sum::<u64>() as f64 / (2.0 * self.of_normal.len() as f64 * self.of_anomalies.len() as f64)
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
    let twice_below = |scores: &[f64], score: f64| {
        (scores.partition_point(|other| *other < score) + scores.partition_point(|other| *other <= score)) as u64
    };
    Some(Placements {
        of_normal: normal.iter().map(|&score| 2 * anomalies.len() as u64 - twice_below(&anomalies, score)).collect(),
        of_anomalies: anomalies.iter().map(|&score| twice_below(&normal, score)).collect(),
    })
}
