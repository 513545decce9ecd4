//! The Friedman test.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::statistics::ranks::mean_ranks;

/// Outcome of a Friedman test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Friedman {
    /// The statistic, corrected for ties.
    pub statistic: f64,
    /// Probability of such a statistic or a larger one if all configurations are alike, by the chi-squared distribution with one
    /// degree of freedom less than there are configurations; an approximation for few blocks.
    pub p_value: f64,
    /// Number of blocks.
    pub num_blocks: usize,
}

/// Friedman's test (Friedman 1937) of whether the configurations differ at all, from their ranks within each block; `blocks`
/// holds one slice of values per block, a value per configuration. `None` for fewer than three configurations or two blocks; where
/// everything ties the statistic is 0.
pub fn friedman(blocks: &[Vec<f64>]) -> Option<Friedman> {
    let num_configurations = blocks.first().map_or(0, Vec::len);
    if num_configurations < 3 || blocks.len() < 2 {
        return None;
    }
    let (n, k) = (blocks.len() as f64, num_configurations as f64);
    let mut sums = vec![0.0; num_configurations];
    let mut ties = 0.0;
    for block in blocks {
        let mut ranks = mean_ranks(block);
        sums.iter_mut().zip(&ranks).for_each(|(sum, rank)| *sum += rank);
        ranks.sort_by(f64::total_cmp);
        ties += ranks.chunk_by(|left, right| left == right).map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64).sum::<f64>();
    }
    let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
    let uncorrected = 12.0 / (n * k * (k + 1.0)) * squares - 3.0 * n * (k + 1.0);
    let correction = 1.0 - ties / (n * k * (k * k - 1.0));
    let statistic = if correction > 0.0 { (uncorrected / correction).max(0.0) } else { 0.0 };
    let p_value = ChiSquared::new(k - 1.0).ok()?.sf(statistic);
    Some(Friedman { statistic, p_value, num_blocks: blocks.len() })
}
