//! MAE: absolute error averaged over features and examples.

use super::{mean_over_rows, sum_over_features};

/// Mean over examples and features of `|x - reconstruction|`.
///
/// # Panics
/// When the slices are not equally many whole examples.
pub fn mae<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R], num_features: usize) -> f64 {
    mean_over_rows(x, reconstruction, num_features, absolute_error) / num_features as f64
}

/// `sum_j |x_j - reconstruction_j|` of one example.
pub(crate) fn absolute_error<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R]) -> f64 {
    sum_over_features(x, reconstruction, |x, reconstruction| (x - reconstruction).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_mean_of_all_absolute_differences() {
        assert_eq!(mae(&[0.0, 1.0, -0.5, 0.5], &[0.0f32; 4], 2), 2.0 / 4.0);
    }
}
