//! What is hidden of an example, predicted from the rest of it by the Gaussian of the training split: the best linear inpainting.
//!
//! With mean `m` and covariance `S`, parts `h` hidden and `o` observed (Bishop 2006, "Pattern Recognition and Machine Learning",
//! Eq. 2.81, with a ridge):
//!
//! ```text
//! x_h = m_h + S_ho (S_oo + ridge I)^-1 (x_o - m_o)
//! ```
//!
//! Without the ridge `S_oo` would be singular wherever a feature never varies (the border of an image) or follows from others.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatMut, MatRef, Side, get_global_parallelism};

use crate::threads::in_own_threads;
use crate::{EvaluationError, Pca};

/// Mean and covariance of the training split.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

impl Gaussian {
    /// The Gaussian with the mean and the covariance that `pca` was fitted to.
    pub fn of(pca: &Pca) -> Self {
        Self { mean: pca.mean().to_vec(), covariance: pca.covariance() }
    }

    /// Variance of a feature, mean over features, in squared units.
    pub fn mean_variance(&self) -> f64 {
        (0..self.mean.len()).map(|feature| self.covariance[(feature, feature)]).sum::<f64>() / self.mean.len() as f64
    }

    /// The predictor of the features that `is_hidden` marks from the others; `ridge`, in squared units, is added to the variance of
    /// each observed one.
    ///
    /// # Panics
    /// When `is_hidden` is not one mark per feature.
    pub fn conditional(&self, is_hidden: &[bool], ridge: f64) -> Result<ConditionalGaussian, EvaluationError> {
        assert_eq!(is_hidden.len(), self.mean.len(), "a mark per feature says whether it is hidden");
        let marked = |mark: bool| -> Vec<usize> { (0..is_hidden.len()).filter(|&feature| is_hidden[feature] == mark).collect() };
        let (hidden, observed) = (marked(true), marked(false));
        let weights = if observed.is_empty() || self.mean_variance() == 0.0 {
            // Nothing to go by: no observed feature, or none that ever varies.
            Mat::zeros(observed.len(), hidden.len())
        } else {
            in_own_threads(|| -> Result<Mat<f64>, EvaluationError> {
                let of_observed = Mat::from_fn(observed.len(), observed.len(), |row, column| {
                    self.covariance[(observed[row], observed[column])] + if row == column { ridge } else { 0.0 }
                });
                let with_hidden =
                    Mat::from_fn(observed.len(), hidden.len(), |row, column| self.covariance[(observed[row], hidden[column])]);
                let factor = of_observed.llt(Side::Lower).map_err(|_| EvaluationError::Decomposition { size: observed.len() })?;
                Ok(factor.solve(with_hidden))
            })?
        };
        let of = |features: &[usize]| features.iter().map(|&feature| self.mean[feature]).collect();
        Ok(ConditionalGaussian {
            hidden_mean: of(&hidden),
            observed_mean: of(&observed),
            hidden,
            observed,
            num_features: self.mean.len(),
            weights,
        })
    }
}

/// The mean of some features given the others.
#[derive(Debug, Clone, PartialEq)]
pub struct ConditionalGaussian {
    num_features: usize,
    hidden: Vec<usize>,
    observed: Vec<usize>,
    hidden_mean: Vec<f64>,
    observed_mean: Vec<f64>,
    /// `[observed, hidden]`.
    weights: Mat<f64>,
}

impl ConditionalGaussian {
    /// The features that are predicted, in rising order.
    pub fn hidden(&self) -> &[usize] {
        &self.hidden
    }

    /// Predictions, `[example, hidden feature]`, for whole examples, `[example, feature]`, whose hidden values are not looked at; not
    /// clipped.
    ///
    /// # Panics
    /// When `rows` is not whole examples.
    pub fn predict(&self, rows: &[f32]) -> Vec<f64> {
        assert!(rows.len().is_multiple_of(self.num_features.max(1)), "the rest of whole examples is predicted");
        let num_examples = rows.len() / self.num_features.max(1);
        let mut predictions = self.hidden_mean.repeat(num_examples);
        let centred: Vec<f64> = rows
            .chunks_exact(self.num_features.max(1))
            .flat_map(|row| self.observed.iter().zip(&self.observed_mean).map(|(&feature, mean)| f64::from(row[feature]) - mean))
            .collect();
        let out = MatMut::from_row_major_slice_mut(&mut predictions[..], num_examples, self.hidden.len());
        let centred = MatRef::from_row_major_slice(&centred[..], num_examples, self.observed.len());
        in_own_threads(|| matmul(out, Accum::Add, centred, self.weights.as_ref(), 1.0, get_global_parallelism()));
        predictions
    }
}
