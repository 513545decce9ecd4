//! Mutual information of dimensions of codes with factors, from histograms; and the scores made of it.

use super::factor_codes::{FactorCodes, compact};

/// Mutual information between every dimension of the codes, cut into `num_bins` bins of equal width between its least and its
/// largest value, and every factor: `[latent, factor]`, in nats. A plug-in estimate: it is biased upwards, by about
/// `(bins - 1)(values - 1) / 2n`.
pub fn mutual_information(data: &FactorCodes<'_>, num_bins: usize) -> Vec<f64> {
    let factors: Vec<Vec<u32>> = (0..data.num_factors()).map(|factor| data.factor(factor)).collect();
    let mut matrix = Vec::with_capacity(data.code_size() * factors.len());
    for latent in 0..data.code_size() {
        let bins = equal_width_bins(&data.latent(latent), num_bins);
        matrix.extend(factors.iter().map(|factor| discrete_mutual_information(&bins, factor)));
    }
    matrix
}

/// Entropy of every factor, `[factor]`, in nats.
pub fn factor_entropies(data: &FactorCodes<'_>) -> Vec<f64> {
    (0..data.num_factors()).map(|factor| data.factor(factor)).map(|factor| discrete_mutual_information(&factor, &factor)).collect()
}

/// Mutual information gap (Chen, Li, Grosse & Duvenaud 2018, "Isolating Sources of Disentanglement in VAEs", Eq. 6): by how much the
/// most informative dimension of a factor is ahead of the next, in entropies of the factor, mean over factors; in [0, 1]. The next
/// of a single dimension has none. Factors without entropy are left out; NaN where all are.
///
/// `matrix` is the [`mutual_information`] `[latent, factor]`, `entropies` are those of the factors.
pub fn mig(matrix: &[f64], entropies: &[f64]) -> f64 {
    let gaps: Vec<f64> =
        gaps(matrix, entropies.len()).into_iter().zip(entropies).filter(|(_, h)| **h > 0.0).map(|(gap, h)| gap / h).collect();
    gaps.iter().sum::<f64>() / gaps.len() as f64
}

/// Modularity (Ridgeway & Mozer 2018, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", Sec. 3): how far a
/// dimension informs about one factor only: one less the mean squared information about the other factors in units of the squared
/// largest one, mean over dimensions; in [0, 1]. A dimension that informs about nothing counts 0; of a single factor every other
/// dimension counts 1.
///
/// `matrix` is the [`mutual_information`] `[latent, factor]`.
pub fn modularity(matrix: &[f64], num_factors: usize) -> f64 {
    let of_one = |row: &[f64]| {
        let largest = row.iter().map(|value| value * value).fold(0.0, f64::max);
        let others = row.iter().map(|value| value * value).sum::<f64>() - largest;
        if largest == 0.0 { 0.0 } else { 1.0 - others / (largest * (num_factors as f64 - 1.0).max(1.0)) }
    };
    let scores: Vec<f64> = matrix.chunks_exact(num_factors).map(of_one).collect();
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// For each column of `[latent, factor]`, by how much the largest value is ahead of the second, which is 0 where there is no second.
pub(crate) fn gaps(matrix: &[f64], num_factors: usize) -> Vec<f64> {
    let of_one = |factor: usize| {
        let mut column: Vec<f64> = matrix.iter().skip(factor).step_by(num_factors).copied().collect();
        column.sort_by(|a, b| b.total_cmp(a));
        column[0] - column.get(1).copied().unwrap_or(0.0)
    };
    (0..num_factors).map(of_one).collect()
}

/// The bin of each value, as NumPy's `histogram` and `digitize` find it.
fn equal_width_bins(values: &[f32], num_bins: usize) -> Vec<u32> {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (start, step) = (f64::from(least), (f64::from(largest) - f64::from(least)) / num_bins as f64);
    let edges: Vec<f64> = (0..num_bins).map(|edge| edge as f64 * step + start).collect();
    values.iter().map(|&value| if step == 0.0 { 0 } else { edges.partition_point(|edge| *edge <= f64::from(value)) as u32 }).collect()
}

/// Mutual information of two assignments of the same examples, in nats.
fn discrete_mutual_information(first: &[u32], second: &[u32]) -> f64 {
    let ((first, first_values), (second, second_values)) = (compact(first), compact(second));
    let (rows, columns) = (first_values.len(), second_values.len());
    let mut counts = vec![0u64; rows * columns];
    for (&row, &column) in first.iter().zip(&second) {
        counts[row as usize * columns + column as usize] += 1;
    }
    let of_row: Vec<u64> = counts.chunks(columns.max(1)).map(|row| row.iter().sum()).collect();
    let of_column: Vec<u64> = (0..columns).map(|column| counts.iter().skip(column).step_by(columns).sum()).collect();
    let num = first.len() as f64;
    let mut sum = 0.0;
    for (at, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // Exactly 1, and its logarithm 0, where one side is constant.
        let ratio = (count as f64 * num) / (of_row[at / columns] as f64 * of_column[at % columns] as f64);
        sum += count as f64 / num * ratio.ln();
    }
    sum.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_is_the_entropy_of_what_is_equal_and_0_of_what_is_independent_or_constant() {
        let first = [0, 1, 0, 1];
        assert!((discrete_mutual_information(&first, &first) - 2f64.ln()).abs() < 1e-15);
        assert_eq!(discrete_mutual_information(&first, &[0, 0, 1, 1]), 0.0);
        assert_eq!(discrete_mutual_information(&first, &[3; 4]), 0.0);
        assert_eq!(discrete_mutual_information(&[], &[]), 0.0);
    }

    #[test]
    fn bins_have_equal_width_and_the_last_holds_its_upper_edge() {
        assert_eq!(equal_width_bins(&[0.0, 0.4, 0.5, 0.9, 1.0], 2), [1, 1, 2, 2, 2]);
        assert_eq!(equal_width_bins(&[3.0; 3], 20), [0; 3]);
    }
}
