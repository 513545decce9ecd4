//! SSE: squared error summed over the features of an example, averaged over examples.

use super::{mean_over_rows, sum_over_features};

/// Mean over examples of `sum_j (x_j - reconstruction_j)^2`; both slices are `[example, feature]` in rows
/// of `num_features`. NaN without examples.
///
/// # Panics
/// When the slices are not equally many whole examples.
pub fn sse<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R], num_features: usize) -> f64 {
    mean_over_rows(x, reconstruction, num_features, squared_error)
}

/// `sum_j (x_j - reconstruction_j)^2` of one example.
pub(crate) fn squared_error<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R]) -> f64 {
    sum_over_features(x, reconstruction, |x, reconstruction| (x - reconstruction) * (x - reconstruction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_features_and_averages_over_examples() {
        assert_eq!(sse(&[0.0, 1.0, 0.5, 0.5], &[0.0f32, 0.0, 0.0, 0.0], 2), (1.0 + 0.5) / 2.0);
        assert_eq!(sse(&[0.0, 1.0, 0.5, 0.5], &[0.0f64, 1.0, 0.5, 0.5], 2), 0.0);
    }
}
