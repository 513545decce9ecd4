//! The paired t-test.

use statrs::function::beta::checked_beta_reg;

use crate::summary::Spread;

/// Smallest deviation of differences beside their mean.
const ROUNDING: f64 = 1e-9;

/// Two-sided p-value of the paired t-test of `differences` against a mean of 0 (Student 1908); exact for normal differences.
///
/// `None` for fewer than two differences, and for differences that are all the same and not 0 (up to rounding). Of normal values
/// that never happens. Of accuracies, which are counts, it does: three equal seeds agree in a difference of a count or two by
/// chance, and p = 0 would claim a difference in far more than the promised share of comparisons. Differences that are all 0 have
/// p = 1.
pub fn paired_t(differences: &[f64]) -> Option<f64> {
    let Spread { mean, deviation, num } = Spread::of(differences)?;
    let deviation = deviation.filter(|deviation| deviation.is_finite())?;
    if mean == 0.0 {
        return Some(1.0);
    }
    // What remains of equal differences is rounding; normal differences come so near to each other less often than once in 10^8.
    if deviation <= ROUNDING * mean.abs() {
        return None;
    }
    let freedom = num as f64 - 1.0;
    let t = mean / (deviation / (num as f64).sqrt());
    // The tail itself, not 1 minus the rest: a small p keeps its digits.
    checked_beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)).ok()
}
