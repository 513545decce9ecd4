//! Disentanglement, completeness and informativeness of codes.
//!
//! Eastwood & Williams 2018, "A Framework for the Quantitative Evaluation of Disentangled Representations".
//! <https://openreview.net/forum?id=By-7dz-AZ>

use aelab_core::Stream;

use super::decision_trees::BaggedTrees;
use super::factor_codes::{FactorCodes, compact};

/// What keeps the logarithm of an importance of 0 finite, as in disentanglement_lib.
const SMALL: f64 = 1e-11;

/// How much each dimension matters for telling each factor, and how well factors are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Dci {
    /// `[latent, factor]`; each factor's sum to 1, or are 0 where it cannot be told at all.
    pub importances: Vec<f64>,
    /// Share of the test examples whose value is told, `[factor]`.
    pub accuracies: Vec<f64>,
    num_factors: usize,
}

impl Dci {
    /// Bagged trees for each factor, fitted on `train`; accuracies on `test`.
    pub fn fit(train: &FactorCodes<'_>, test: &FactorCodes<'_>, num_trees: usize, max_depth: usize, stream: &Stream) -> Self {
        let (code_size, num_factors) = (train.code_size(), train.num_factors());
        let latents: Vec<Vec<f32>> = (0..code_size).map(|latent| train.latent(latent)).collect();
        let mut importances = vec![0.0; code_size * num_factors];
        let mut accuracies = Vec::with_capacity(num_factors);
        for factor in 0..num_factors {
            let (classes, values) = compact(&train.factor(factor));
            let trees = BaggedTrees::fit(&latents, &classes, values.len(), num_trees, max_depth, stream);
            for (latent, importance) in trees.importances().into_iter().enumerate() {
                importances[latent * num_factors + factor] = importance;
            }
            let wanted = test.factor(factor);
            let right = (0..test.len()).filter(|&example| values[trees.predict(test.code(example)) as usize] == wanted[example]).count();
            accuracies.push(right as f64 / test.len() as f64);
        }
        Self { importances, accuracies, num_factors }
    }

    /// How far each dimension matters for one factor only, in [0, 1].
    pub fn disentanglement(&self) -> f64 {
        disentanglement(&self.importances, self.num_factors)
    }

    /// How far each factor needs one dimension only, in [0, 1].
    pub fn completeness(&self) -> f64 {
        completeness(&self.importances, self.num_factors)
    }

    /// Mean accuracy over factors.
    pub fn informativeness(&self) -> f64 {
        self.accuracies.iter().sum::<f64>() / self.accuracies.len() as f64
    }
}

/// One less the entropy over factors of the importances `[latent, factor]` of a dimension, in units of its maximum; mean over
/// dimensions weighted with their importance. 1 of a single factor.
pub fn disentanglement(importances: &[f64], num_factors: usize) -> f64 {
    let rows: Vec<Vec<f64>> = importances.chunks_exact(num_factors).map(<[f64]>::to_vec).collect();
    concentration(&rows)
}

/// One less the entropy over dimensions of the importances `[latent, factor]` for a factor, in units of its maximum; mean over factors
/// weighted with their importance. 1 of a single dimension.
pub fn completeness(importances: &[f64], num_factors: usize) -> f64 {
    let columns: Vec<Vec<f64>> =
        (0..num_factors).map(|factor| importances.iter().skip(factor).step_by(num_factors).copied().collect()).collect();
    concentration(&columns)
}

fn concentration(rows: &[Vec<f64>]) -> f64 {
    let total: f64 = rows.iter().flatten().sum();
    let weight = |row: &[f64]| if total == 0.0 { 1.0 / rows.len() as f64 } else { row.iter().sum::<f64>() / total };
    rows.iter().map(|row| weight(row) * (1.0 - relative_entropy(row))).sum()
}

/// Entropy of the values as shares of their sum, divided by that of equal shares.
fn relative_entropy(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let sum: f64 = values.iter().map(|value| value + SMALL).sum();
    let entropy: f64 = values.iter().map(|value| (value + SMALL) / sum).map(|share| -share * share.ln()).sum();
    entropy / (values.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn importances_say_by_hand_what_is_disentangled_and_complete() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-8, "{found} instead of {expected}");
        let one_each = [1.0, 0.0, 0.0, 1.0];
        close(disentanglement(&one_each, 2), 1.0);
        close(completeness(&one_each, 2), 1.0);
        // Four dimensions, two for each factor.
        let two_each = [0.5, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.5];
        close(disentanglement(&two_each, 2), 1.0);
        close(completeness(&two_each, 2), 0.5);
        // One dimension for both factors, another for none.
        let shared = [1.0, 1.0, 0.0, 0.0];
        close(disentanglement(&shared, 2), 0.0);
        close(completeness(&shared, 2), 1.0);
        for nothing in [disentanglement(&[0.0; 4], 2), completeness(&[0.0; 4], 2)] {
            close(nothing, 0.0);
        }
        close(disentanglement(&[0.3, 0.7], 1), 1.0);
        close(completeness(&[0.3, 0.7], 2), 1.0);
    }
}
