//! Ratings as a mean, a bias of the row and a bias of the column: what there is to predict without looking at tastes.
//!
//! Koren, Bell & Volinsky 2009, "Matrix Factorization Techniques for Recommender Systems", Eq. 3 and 4 without factors.
//! <https://doi.org/10.1109/MC.2009.263>

/// Sweeps until no bias moves by more than this share of the ratings' spread.
const TOLERANCE: f64 = 1e-10;
/// Each sweep lowers a convex function; far fewer are needed where `lambda` is not tiny.
const MAX_SWEEPS: usize = 10_000;

/// The rating of a column by a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Position of the row.
    pub row: usize,
    /// Position of the column.
    pub column: usize,
    /// The rating.
    pub value: f64,
}

/// A regularised model of biases.
#[derive(Debug, Clone, PartialEq)]
pub struct RatingBiases {
    mean: f64,
    columns: Vec<f64>,
    lambda: f64,
}

impl RatingBiases {
    /// The biases of least `sum (r - mean - row - column)^2 + lambda (sum row^2 + sum column^2)` over the ratings, for `lambda > 0`, where
    /// the mean is that of the ratings; 0 without ratings.
    pub fn fit(ratings: &[Rating], num_rows: usize, num_columns: usize, lambda: f64) -> Self {
        let mean = mean_rating(ratings);
        let spread = ratings.iter().map(|rating| (rating.value - mean).abs()).fold(0.0, f64::max);
        let mut columns = vec![0.0; num_columns];
        for _ in 0..MAX_SWEEPS {
            let rows = of_side(ratings, num_rows, lambda, |rating| (rating.row, rating.value - mean - columns[rating.column]));
            let next = of_side(ratings, num_columns, lambda, |rating| (rating.column, rating.value - mean - rows[rating.row]));
            let moved = next.iter().zip(&columns).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            columns = next;
            if moved <= TOLERANCE * spread {
                break;
            }
        }
        Self { mean, columns, lambda }
    }

    /// Mean of the ratings.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Bias of each column.
    pub fn columns(&self) -> &[f64] {
        &self.columns
    }

    /// Predictions of all columns for a row of which `shown` (column and rating) is known, whether or not it was fitted.
    pub fn predict(&self, shown: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
        let (mut sum, mut num) = (0.0, 0.0);
        for (column, value) in shown {
            sum += value - self.mean - self.columns[column];
            num += 1.0;
        }
        let row = sum / (self.lambda + num);
        self.columns.iter().map(|column| self.mean + row + column).collect()
    }
}

/// Mean of ratings; 0 without any.
pub fn mean_rating(ratings: &[Rating]) -> f64 {
    ratings.iter().map(|rating| rating.value).sum::<f64>() / (ratings.len() as f64).max(1.0)
}

/// The best biases of one side, given those of the other.
fn of_side(ratings: &[Rating], num: usize, lambda: f64, residual: impl Fn(&Rating) -> (usize, f64)) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; num], vec![lambda; num]);
    for rating in ratings {
        let (at, value) = residual(rating);
        sums[at] += value;
        counts[at] += 1.0;
    }
    sums.iter().zip(counts).map(|(sum, count)| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rating_of_each_is_shrunk_by_hand() {
        let ratings = [Rating { row: 0, column: 0, value: 4.0 }, Rating { row: 1, column: 1, value: 2.0 }];
        let model = RatingBiases::fit(&ratings, 2, 3, 1.0);
        // Of the residual 1, row and column take a third each: b = (1 - a) / 2 on both sides.
        assert!((model.columns()[0] - 1.0 / 3.0).abs() < 1e-9 && model.columns()[2] == 0.0 && model.mean() == 3.0);
        let predictions = model.predict([(0, 4.0)].into_iter());
        assert!((predictions[0] - (3.0 + 2.0 / 3.0)).abs() < 1e-9 && (predictions[2] - (3.0 + 1.0 / 3.0)).abs() < 1e-9);
        assert_eq!(RatingBiases::fit(&[], 0, 2, 1.0).predict(std::iter::empty()), [0.0, 0.0]);
    }

    #[test]
    fn the_biases_have_no_gradient() {
        let ratings: Vec<Rating> = (0..40).map(|i| Rating { row: i * i % 8, column: i * 3 % 5, value: (i * 7 % 5) as f64 }).collect();
        let (num_rows, num_columns, lambda) = (8, 5, 0.7);
        let model = RatingBiases::fit(&ratings, num_rows, num_columns, lambda);
        let row = |row: usize| {
            let shown = ratings.iter().filter(move |rating| rating.row == row).map(|rating| (rating.column, rating.value));
            model.predict(shown)
        };
        for column in 0..num_columns {
            let residuals: f64 =
                ratings.iter().filter(|rating| rating.column == column).map(|rating| row(rating.row)[column] - rating.value).sum();
            assert!((residuals + lambda * model.columns()[column]).abs() < 1e-8);
        }
    }
}
