//! The paired t-test.

use statrs::function::beta::checked_beta_reg;

use crate::summary::Spread;

/// Two-sided p-value of the paired t-test of `differences` against a mean of 0 (Student 1908); exact for normal differences.
///
/// `None` for fewer than two differences. Differences that are all 0 have p = 1; differences that are all the same and not 0
/// leave no doubt, p = 0.
pub fn paired_t(differences: &[f64]) -> Option<f64> {
    let Spread { mean, deviation, num } = Spread::of(differences)?;
    let deviation = deviation.filter(|deviation| deviation.is_finite())?;
    if mean == 0.0 {
        return Some(1.0);
    }
    let freedom = num as f64 - 1.0;
    let t = mean / (deviation / (num as f64).sqrt());
    // The tail itself, not 1 minus the rest: a small p keeps its digits.
    checked_beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)).ok()
}
