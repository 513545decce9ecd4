//! The best affine denoiser in closed form: what a linear denoising autoencoder can reach at most, and what any other has to
//! beat.
//!
//! With clean examples of mean `m` and covariance `S`, and a corruption that treats every feature on its own with
//!
//! ```text
//! E[corrupted_j | x] = scale * x_j + offset        E[Var(corrupted_j | x)] = variance_j
//! ```
//!
//! the corrupted examples have mean `c = scale * m + offset` and covariance `K = scale^2 S + diag(variance)`, their covariance
//! with the clean ones is `scale * S`, and the affine map of least expected squared error is the linear regression
//!
//! ```text
//! x = m + scale * S K^+ (corrupted - c)
//! ```
//!
//! | corruption | `scale` | `offset` | `variance_j` |
//! |---|---|---|---|
//! | Gaussian, `sigma` | 1 | 0 | `sigma^2` |
//! | masking, `rate` r | 1 - r | 0 | `r (1 - r) E[x_j^2]` |
//! | salt and pepper, `rate` r | 1 - r | r / 2 | `r (1 - r) (E[x_j^2] - m_j) + r / 2 (1 - r / 2)` |
//!
//! `K^+` is the pseudo-inverse: in a direction in which corrupted training examples never vary, a deviation says nothing.

use aelab_core::Corruption;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Side, get_global_parallelism};

use crate::threads::in_own_threads;
use crate::{EvaluationError, Pca};

/// An affine map from corrupted to clean examples.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineDenoiser {
    /// Mean of clean examples, `[feature]`.
    mean: Vec<f64>,
    /// Mean of corrupted examples, `[feature]`.
    corrupted_mean: Vec<f64>,
    /// `[clean feature, corrupted feature]`.
    weights: Mat<f64>,
}

/// What a corruption does to one feature, on average and around it.
struct Channel {
    scale: f64,
    offset: f64,
    /// Of each feature.
    variance: Vec<f64>,
}

impl Channel {
    fn new(corruption: &Corruption, mean: &[f64], mean_square: &[f64]) -> Self {
        let moments = mean.iter().zip(mean_square);
        match corruption {
            Corruption::Gaussian { sigma } => Self { scale: 1.0, offset: 0.0, variance: vec![sigma.last(1.0).powi(2); mean.len()] },
            Corruption::Masking { rate } => {
                let rate = rate.last(1.0);
                Self { scale: 1.0 - rate, offset: 0.0, variance: mean_square.iter().map(|square| rate * (1.0 - rate) * square).collect() }
            }
            Corruption::SaltAndPepper { rate } => {
                let rate = rate.last(1.0);
                let variance = |(mean, square): (&f64, &f64)| rate * (1.0 - rate) * (square - mean) + rate / 2.0 * (1.0 - rate / 2.0);
                Self { scale: 1.0 - rate, offset: rate / 2.0, variance: moments.map(variance).collect() }
            }
        }
    }
}

impl AffineDenoiser {
    /// The best one for examples with the mean and the covariance that `pca` was fitted to. A rate or deviation that is a
    /// schedule counts with its last value. The cost grows with the cube of the number of features.
    pub fn fit(pca: &Pca, corruption: &Corruption) -> Result<Self, EvaluationError> {
        let mean = pca.mean().to_vec();
        let size = mean.len();
        let covariance = pca.covariance();
        let mean_square: Vec<f64> = mean.iter().enumerate().map(|(feature, mean)| covariance[(feature, feature)] + mean * mean).collect();
        let Channel { scale, offset, variance } = Channel::new(corruption, &mean, &mean_square);
        let corrupted_mean = mean.iter().map(|mean| scale * mean + offset).collect();
        let weights = in_own_threads(|| -> Result<Mat<f64>, EvaluationError> {
            let noise = |row: usize, column: usize| if row == column { variance[row] } else { 0.0 };
            let corrupted = Mat::from_fn(size, size, |row, column| scale * scale * covariance[(row, column)] + noise(row, column));
            let decomposition = corrupted.self_adjoint_eigen(Side::Lower).map_err(|_| EvaluationError::Decomposition { size })?;
            let (values, vectors) = (decomposition.S().column_vector(), decomposition.U());
            let largest = (0..size).map(|index| values[index]).fold(0.0, f64::max);
            let negligible = largest * size as f64 * f64::EPSILON;
            let parallelism = get_global_parallelism();
            let mut projected = Mat::zeros(size, size);
            matmul(projected.as_mut(), Accum::Replace, covariance.as_ref(), vectors, scale, parallelism);
            let shrunk =
                Mat::from_fn(
                    size,
                    size,
                    |row, column| {
                        if values[column] > negligible { projected[(row, column)] / values[column] } else { 0.0 }
                    },
                );
            let mut weights = Mat::zeros(size, size);
            matmul(weights.as_mut(), Accum::Replace, shrunk.as_ref(), vectors.transpose(), 1.0, parallelism);
            Ok(weights)
        })?;
        Ok(Self { mean, corrupted_mean, weights })
    }

    /// Clean examples from corrupted ones, `[example, feature]` both; not clipped.
    ///
    /// # Panics
    /// When `rows` is not whole examples.
    pub fn denoise(&self, rows: &[f32]) -> Vec<f64> {
        let size = self.mean.len();
        assert!(rows.len().is_multiple_of(size.max(1)), "whole examples are denoised");
        let num_examples = rows.len() / size.max(1);
        let centred: Vec<f64> = rows
            .chunks_exact(size.max(1))
            .flat_map(|row| row.iter().zip(&self.corrupted_mean).map(|(&value, mean)| f64::from(value) - mean))
            .collect();
        let mut clean = self.mean.repeat(num_examples);
        let out = MatMut::from_row_major_slice_mut(&mut clean[..], num_examples, size);
        let centred = MatRef::from_row_major_slice(&centred[..], num_examples, size);
        in_own_threads(|| matmul(out, Accum::Add, centred, self.weights.transpose(), 1.0, get_global_parallelism()));
        clean
    }
}
