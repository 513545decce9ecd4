//! Singular values, and how many of them matter.

use faer::MatRef;

use crate::EvaluationError;
use crate::threads::in_own_threads;

/// The singular values of a matrix of `num_rows` rows, row after row, largest first: as many as its smaller side.
///
/// # Panics
/// When the slice is not whole rows.
pub(crate) fn singular_values(matrix: &[f32], num_rows: usize) -> Result<Vec<f64>, EvaluationError> {
    assert!(num_rows > 0 && matrix.len().is_multiple_of(num_rows), "a matrix is whole rows");
    let num_columns = matrix.len() / num_rows;
    let values: Vec<f64> = matrix.iter().map(|&value| f64::from(value)).collect();
    let matrix = MatRef::from_row_major_slice(&values[..], num_rows, num_columns);
    let mut singular =
        in_own_threads(|| matrix.singular_values()).map_err(|_| EvaluationError::SingularValues { num_rows, num_columns })?;
    singular.sort_by(|a, b| b.total_cmp(a));
    Ok(singular)
}

/// How many of the values are above `share` of the largest; none where all are 0.
pub(crate) fn num_above(values: &[f64], share: f64) -> usize {
    let largest = values.iter().copied().fold(0.0, f64::max);
    values.iter().filter(|&&value| value > share * largest).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_values_are_those_of_known_matrices() {
        // A rotation times a diagonal matrix, beside a row of zeros.
        let (sine, cosine) = (0.6f32, 0.8f32);
        let values = singular_values(&[cosine * 3.0, -sine * 2.0, sine * 3.0, cosine * 2.0, 0.0, 0.0], 3).unwrap();
        assert_eq!(values.len(), 2);
        assert!((values[0] - 3.0).abs() < 1e-6 && (values[1] - 2.0).abs() < 1e-6, "{values:?}");
        assert_eq!(singular_values(&[0.0; 6], 2).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn only_what_is_above_its_share_of_the_largest_counts() {
        assert_eq!(num_above(&[10.0, 1.5, 1.0, 0.9], 0.1), 2);
        assert_eq!(num_above(&[0.0, 0.0], 0.1), 0);
        assert_eq!(num_above(&[], 0.1), 0);
    }
}
