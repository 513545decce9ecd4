//! EASE: the best linear autoencoder of choices that may not recommend an item for itself, in closed form.
//!
//! Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", Eq. 8. <https://doi.org/10.1145/3308558.3313710>

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Accum, Mat, MatRef, Side, get_global_parallelism};

use crate::EvaluationError;
use crate::threads::in_own_threads;

/// How often each two items were chosen together, `X^T X`.
#[derive(Debug, Clone)]
pub struct CoOccurrences(Mat<f64>);

impl CoOccurrences {
    /// Of no rows yet.
    pub fn new(num_items: usize) -> Self {
        Self(Mat::zeros(num_items, num_items))
    }

    /// Adds rows of choices `[row, item]`.
    ///
    /// # Panics
    /// When `rows` is not whole rows.
    pub fn add(&mut self, rows: &[f32]) {
        let num_items = self.0.nrows();
        assert!(rows.len().is_multiple_of(num_items.max(1)), "choices are whole rows");
        let values: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
        let x = MatRef::from_row_major_slice(&values[..], rows.len() / num_items.max(1), num_items);
        in_own_threads(|| matmul(self.0.as_mut(), Accum::Add, x.transpose(), x, 1.0, get_global_parallelism()));
    }
}

/// Weights between items.
#[derive(Debug, Clone, PartialEq)]
pub struct Ease {
    /// `[chosen, recommended]`, 0 on the diagonal.
    weights: Vec<f64>,
    num_items: usize,
}

impl Ease {
    /// The `B` of least `|X - X B|^2 + lambda |B|^2` with a diagonal of 0: `B = I - P diag(1 / diag P)`, `P = (X^T X + lambda I)^-1`,
    /// for `lambda > 0`.
    pub fn fit(together: &CoOccurrences, lambda: f64) -> Result<Self, EvaluationError> {
        let num_items = together.0.nrows();
        let mut regularised = together.0.clone();
        for item in 0..num_items {
            regularised[(item, item)] += lambda;
        }
        let inverse = in_own_threads(|| regularised.llt(Side::Lower).map(|factor| factor.inverse()))
            .map_err(|_| EvaluationError::Decomposition { size: num_items })?;
        let mut weights = Vec::with_capacity(num_items * num_items);
        for chosen in 0..num_items {
            // Symmetric: columns lie together in memory.
            let column = inverse.col(chosen);
            weights.extend((0..num_items).map(|item| if item == chosen { 0.0 } else { -column[item] / inverse[(item, item)] }));
        }
        Ok(Self { weights, num_items })
    }

    /// What choosing `chosen` says for `recommended`.
    pub fn weight(&self, chosen: usize, recommended: usize) -> f64 {
        self.weights[chosen * self.num_items + recommended]
    }

    /// The score of every item for rows of choices: `[row, item]` for `[row, item]`.
    ///
    /// # Panics
    /// When `rows` is not whole rows.
    pub fn scores(&self, rows: &[f32]) -> Vec<f64> {
        assert!(rows.len().is_multiple_of(self.num_items.max(1)), "choices are whole rows");
        let mut scores = vec![0.0; rows.len()];
        for (row, scores) in rows.chunks_exact(self.num_items.max(1)).zip(scores.chunks_exact_mut(self.num_items.max(1))) {
            for (chosen, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                let weights = &self.weights[chosen * self.num_items..][..self.num_items];
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += f64::from(value) * weight);
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(rows: &[f32], num_items: usize, lambda: f64) -> Ease {
        let mut together = CoOccurrences::new(num_items);
        rows.chunks(num_items).for_each(|row| together.add(row));
        Ease::fit(&together, lambda).unwrap()
    }

    #[test]
    fn two_items_are_two_ridge_regressions_by_hand() {
        // Chosen together twice, the first alone once: b = 2 / (3 + lambda) towards the second, 2 / (2 + lambda) back.
        let ease = fit(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], 2, 0.5);
        assert!((ease.weight(0, 1) - 2.0 / 3.5).abs() < 1e-12 && (ease.weight(1, 0) - 2.0 / 2.5).abs() < 1e-12);
        assert_eq!((ease.weight(0, 0), ease.weight(1, 1)), (0.0, 0.0));
        let scores = ease.scores(&[1.0, 0.0, 0.0, 0.0]);
        assert_eq!(scores, [0.0, ease.weight(0, 1), 0.0, 0.0]);
    }

    #[test]
    fn no_weight_can_be_changed_to_lower_the_objective() {
        let rows: Vec<f32> = (0..60).map(|i| f32::from(u8::from(i * 5 % 7 < 3 || i % 11 == 0))).collect();
        let (num_items, lambda) = (5, 2.0);
        let ease = fit(&rows, num_items, lambda);
        // The gradient of the constrained ridge regression, X^T (X B - X) + lambda B, off the diagonal.
        for item in 0..num_items {
            for recommended in (0..num_items).filter(|other| *other != item) {
                let residual = |row: &[f32]| -> f64 {
                    (0..num_items).map(|i| f64::from(row[i]) * ease.weight(i, recommended)).sum::<f64>() - f64::from(row[recommended])
                };
                let gradient: f64 = rows.chunks(num_items).map(|row| f64::from(row[item]) * residual(row)).sum();
                assert!((gradient + lambda * ease.weight(item, recommended)).abs() < 1e-10);
            }
        }
    }
}
