//! MSE: squared error averaged over features and examples.

use super::sse::sse;

/// [`sse`] divided by the number of features.
///
/// # Panics
/// When the slices are not equally many whole examples.
pub fn mse<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R], num_features: usize) -> f64 {
    sse(x, reconstruction, num_features) / num_features as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_mean_of_all_squared_differences() {
        assert_eq!(mse(&[0.0, 1.0, 0.5, 0.5], &[0.0f32; 4], 2), 1.5 / 4.0);
    }
}
