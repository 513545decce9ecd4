//! The Wilcoxon signed-rank test.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::statistics::ranks::mean_ranks;

/// Up to so many differences the p-value is exact.
pub const MOST_EXACT: usize = 25;

/// Two-sided p-value of the signed-rank test of `differences` against symmetry around 0 (Wilcoxon 1945).
///
/// Differences of 0 are left out (Wilcoxon's rule); equal magnitudes share the mean of their ranks. Up to [`MOST_EXACT`]
/// differences the p-value is that of all assignments of signs to these ranks, exact with ties as well; beyond, the normal
/// approximation with its variance corrected for ties and without continuity correction. `None` for fewer than two differences;
/// p = 1 where all are 0. The smallest possible p of n differences is 2^(1 - n).
pub fn wilcoxon(differences: &[f64]) -> Option<f64> {
    if differences.len() < 2 || differences.iter().any(|difference| difference.is_nan()) {
        return None;
    }
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    if differences.is_empty() {
        return Some(1.0);
    }
    let ranks = mean_ranks(&differences.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
    let positive: f64 = ranks.iter().zip(&differences).filter(|(_, difference)| **difference > 0.0).map(|(rank, _)| rank).sum();
    if differences.len() <= MOST_EXACT { Some(exact(&ranks, positive)) } else { approximate(&ranks, positive) }
}

/// Sum of the ranks of positive differences less that of negative ones: which way the signed-rank test points.
pub fn signed_rank_sum(differences: &[f64]) -> f64 {
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let ranks = mean_ranks(&differences.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
    ranks.iter().zip(&differences).map(|(rank, difference)| rank * difference.signum()).sum()
}

/// Twice the smaller tail of the distribution of the sum of positive ranks over all signs.
fn exact(ranks: &[f64], positive: f64) -> f64 {
    // Twice a mean rank is a whole number; `counts[s]` assignments have the doubled sum `s`, 2^25 of them at most.
    let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank).round() as usize).collect();
    let observed = (2.0 * positive).round() as usize;
    let mut counts = vec![0.0f64; doubled.iter().sum::<usize>() + 1];
    counts[0] = 1.0;
    for rank in doubled {
        for sum in (rank..counts.len()).rev() {
            counts[sum] += counts[sum - rank];
        }
    }
    let all: f64 = counts.iter().sum();
    let less = counts[..=observed].iter().sum::<f64>() / all;
    let greater = counts[observed..].iter().sum::<f64>() / all;
    (2.0 * less.min(greater)).min(1.0)
}

fn approximate(ranks: &[f64], positive: f64) -> Option<f64> {
    let num = ranks.len() as f64;
    let mean = num * (num + 1.0) / 4.0;
    let mut sorted = ranks.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|left, right| left == right).map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64).sum();
    let variance = num * (num + 1.0) * (2.0 * num + 1.0) / 24.0 - ties / 48.0;
    let z = (positive - mean).abs() / variance.sqrt();
    Some((2.0 * Normal::new(0.0, 1.0).ok()?.sf(z)).min(1.0))
}
