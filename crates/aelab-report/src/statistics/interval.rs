//! Confidence interval of a mean by Student's t distribution.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::summary::Spread;

/// Confidence of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// Half the length of the 95 % confidence interval of the mean, `t(n - 1, 0.975) s / sqrt(n)` with the sample
/// standard deviation `s` (Student 1908); exact for normal values. `None` for a single value, which has no interval.
pub fn half_width(spread: &Spread) -> Option<f64> {
    let deviation = spread.deviation.filter(|deviation| deviation.is_finite())?;
    let num = spread.num as f64;
    let distribution = StudentsT::new(0.0, 1.0, num - 1.0).ok()?;
    let quantile = distribution.inverse_cdf(0.5 + CONFIDENCE / 2.0);
    Some(quantile * deviation / num.sqrt())
}
