//! The Fréchet distance between two sets of points as Gaussians see them.
//!
//! Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
//! Equilibrium", Eq. 6. <https://arxiv.org/abs/1706.08500>

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Side, get_global_parallelism};

use crate::EvaluationError;
use crate::threads::in_own_threads;

/// `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` of the means `m` and the covariances `C` (divided by one less than the number of
/// points) of two sets of points, rows of `size` values; in squared units of the values.
///
/// The trace of the root is the sum of the singular values of `C1^(1/2) C2^(1/2)`, each root from a symmetric
/// eigendecomposition: nothing complex can come of it, and singular covariances (fewer points than values) do no harm.
///
/// # Panics
/// When the slices are not whole rows, at least two each.
pub fn frechet_distance(first: &[f32], second: &[f32], size: usize) -> Result<f64, EvaluationError> {
    for points in [first, second] {
        assert!(
            size > 0 && points.len().is_multiple_of(size) && points.len() / size >= 2,
            "a covariance is that of two whole rows or more"
        );
    }
    // Roots of the same covariance would leave rounding.
    if first == second {
        return Ok(0.0);
    }
    in_own_threads(|| {
        let (first, second) = (Gaussian::of(first, size)?, Gaussian::of(second, size)?);
        let of_means: f64 = first.mean.iter().zip(&second.mean).map(|(a, b)| (a - b).powi(2)).sum();
        let product = first.root.as_ref() * second.root.as_ref();
        let shared: f64 = product.singular_values().map_err(|_| EvaluationError::Decomposition { size })?.iter().sum();
        // A distance of nothing may be rounded below 0.
        Ok((of_means + first.trace + second.trace - 2.0 * shared).max(0.0))
    })
}

/// The Gaussian with the mean and the covariance of some points.
struct Gaussian {
    mean: Vec<f64>,
    /// Of the covariance.
    trace: f64,
    /// Symmetric root of the covariance.
    root: Mat<f64>,
}

impl Gaussian {
    fn of(points: &[f32], size: usize) -> Result<Self, EvaluationError> {
        let num = points.len() / size;
        let mut mean = vec![0.0f64; size];
        for point in points.chunks_exact(size) {
            mean.iter_mut().zip(point).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        mean.iter_mut().for_each(|sum| *sum /= num as f64);
        let mut centred: Vec<f64> = Vec::with_capacity(points.len());
        for point in points.chunks_exact(size) {
            centred.extend(point.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean));
        }
        let centred = MatRef::from_row_major_slice(&centred[..], num, size);
        let mut covariance = Mat::<f64>::zeros(size, size);
        let weight = 1.0 / (num - 1) as f64;
        matmul(covariance.as_mut(), Accum::Replace, centred.transpose(), centred, weight, get_global_parallelism());
        let decomposition = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| EvaluationError::Decomposition { size })?;
        let eigenvalues: Vec<f64> = decomposition.S().column_vector().iter().copied().collect();
        let vectors = decomposition.U();
        // Below this an eigenvalue is rounding, and its root would not be small.
        let negligible = eigenvalues.iter().copied().fold(0.0, f64::max) * size as f64 * f64::EPSILON;
        let mut scaled = vec![0.0; size * size];
        let mut columns = MatMut::from_column_major_slice_mut(&mut scaled[..], size, size);
        for (index, &eigenvalue) in eigenvalues.iter().enumerate() {
            let root = if eigenvalue > negligible { eigenvalue.sqrt() } else { 0.0 };
            for row in 0..size {
                columns[(row, index)] = vectors[(row, index)] * root;
            }
        }
        let root = columns.as_ref() * vectors.transpose();
        let trace = (0..size).map(|index| covariance[(index, index)]).sum();
        Ok(Self { mean, trace, root })
    }
}
