//! The scores of examples: higher is more anomalous, and always finite.
//!
//! No score may know the class of its example, which says whether it is an anomaly: a model that conditions on classes is asked without.

use aelab_core::{Examples, Stream, StreamNoise};
use serde_json::json;

use crate::codes::{Codes, Told};
use crate::evaluation::log_likelihood::{bound, log_weights};
use crate::pass::{Draw, Rows, chunk_rows, for_each_batch, to_values};
use crate::{DataTable, EvaluationContext, EvaluationError, Pca};

/// Examples whose samples are drawn together. It is no option: the noise that each example gets depends on it.
const EXAMPLES_AT_ONCE: usize = 32;
/// The largest code that a Gaussian is fitted to: its cost grows with the cube.
const MAX_CODE_SIZE: usize = 1024;
/// Part of the mean variance that is added to every variance, so that codes which do not vary in some direction have a density.
const RIDGE: f64 = 1e-6;

/// One score of all validation and test examples.
#[derive(Debug)]
pub(super) struct Scores {
    pub(super) valid: Vec<f64>,
    pub(super) test: Vec<f64>,
}

impl Scores {
    fn new(name: &str, valid: Vec<f64>, test: Vec<f64>) -> Result<Self, EvaluationError> {
        match valid.iter().chain(&test).find(|score| !score.is_finite()) {
            Some(&value) => Err(EvaluationError::NonFinite { metric: name.to_owned(), value }),
            None => Ok(Self { valid, test }),
        }
    }

    /// Mean squared errors; `features` takes in those of each feature of test examples.
    pub(super) fn of_reconstruction(context: &EvaluationContext<'_>, features: &mut FeatureErrors) -> Result<Self, EvaluationError> {
        let reconstruct = |rows: &Rows| reconstruction(context, rows);
        let valid = mean_errors(context.valid, Draw::Anomaly.stream(context.seed), context.batch_size, reconstruct, |_, _, _| {})?;
        let test = mean_errors(context.test, Draw::Test.stream(context.seed), context.batch_size, reconstruct, |example, errors, mask| {
            features.push(example, errors, mask);
        })?;
        Self::new("reconstruction_error", valid, test)
    }

    /// Mean squared errors of PCA.
    pub(super) fn of_pca(context: &EvaluationContext<'_>, pca: &Pca, num_components: usize) -> Result<Self, EvaluationError> {
        let reconstruct = |rows: &Rows| Ok(pca.reconstruct(&rows.values, num_components));
        let errors = |examples: &dyn Examples, draw: Draw| {
            let at_once = chunk_rows(examples.spec().num_features());
            mean_errors(examples, draw.stream(context.seed), at_once, reconstruct, |_, _, _| {})
        };
        Self::new("pca", errors(context.valid, Draw::Anomaly)?, errors(context.test, Draw::Test)?)
    }

    /// Negative bounds on the log-likelihood from `num_samples` samples; `None` where the model has none.
    pub(super) fn of_likelihood(context: &EvaluationContext<'_>, num_samples: usize) -> Result<Option<Self>, EvaluationError> {
        let of = |examples: &dyn Examples, draw: Draw| -> Result<Option<Vec<f64>>, EvaluationError> {
            let mut noise = StreamNoise(Draw::Anomaly.stream(context.seed));
            let mut scores = Some(Vec::with_capacity(examples.len()));
            for_each_batch(examples, draw.stream(context.seed), EXAMPLES_AT_ONCE, |rows| {
                context.beat()?;
                let Some(found) = &mut scores else { return Ok(()) };
                let batch = rows.batch_without_labels(context.device);
                let conditioned = context.model.conditioned(&batch);
                let model = conditioned.as_deref().unwrap_or(context.model);
                match log_weights(model, &batch, num_samples, EXAMPLES_AT_ONCE, &mut noise)? {
                    Some(weights) => found.extend(weights.iter().map(|weights| -bound(weights, num_samples))),
                    None => scores = None,
                }
                Ok(())
            })?;
            Ok(scores)
        };
        match (of(context.valid, Draw::Anomaly)?, of(context.test, Draw::Test)?) {
            (Some(valid), Some(test)) => Self::new("likelihood", valid, test).map(Some),
            _ => Ok(None),
        }
    }

    /// Mahalanobis distances from a Gaussian that is fitted to the codes of the training examples.
    pub(super) fn of_codes(context: &EvaluationContext<'_>, warnings: &mut Vec<String>) -> Result<Option<Self>, EvaluationError> {
        let train = context.train_codes("anomaly")?;
        if train.size > MAX_CODE_SIZE {
            let size = train.size;
            warnings.push(format!("`anomaly` has no score `latent_density`: codes of {size} values are more than {MAX_CODE_SIZE}"));
            return Ok(None);
        }
        let gaussian = Gaussian::fit(train)?;
        let distances = |codes: &Codes| (0..codes.len()).map(|index| gaussian.distance(codes.row(index))).collect();
        let valid = Codes::of(
            context.model,
            context.valid,
            Told::Nothing,
            Draw::Anomaly.stream(context.seed),
            context.batch_size,
            context.device,
            context.pulse,
        )?;
        Self::new("latent_density", distances(&valid), distances(context.test_codes("anomaly")?)).map(Some)
    }
}

/// What the model makes of examples whose classes it is not told.
pub(super) fn reconstruction(context: &EvaluationContext<'_>, rows: &Rows) -> Result<Vec<f32>, EvaluationError> {
    context.beat()?;
    let batch = rows.batch_without_labels(context.device);
    let conditioned = context.model.conditioned(&batch);
    to_values(conditioned.as_deref().unwrap_or(context.model).reconstruct(batch.x), rows.shape(), "reconstruction")
}

/// The mean squared error of each example over what was observed of it, 0 where nothing was; `visit` gets the position of each, the
/// squared error of each feature and its mask.
fn mean_errors<R: Copy + Into<f64>>(
    examples: &dyn Examples,
    stream: Stream,
    batch_size: usize,
    reconstruct: impl Fn(&Rows) -> Result<Vec<R>, EvaluationError>,
    mut visit: impl FnMut(usize, &[f64], Option<&[f32]>),
) -> Result<Vec<f64>, EvaluationError> {
    let mut means = Vec::with_capacity(examples.len());
    for_each_batch(examples, stream, batch_size, |rows| {
        let size = rows.shape()[1].max(1);
        let reconstructions = reconstruct(rows)?;
        for (index, (x, reconstruction)) in rows.values.chunks_exact(size).zip(reconstructions.chunks_exact(size)).enumerate() {
            let errors: Vec<f64> = x.iter().zip(reconstruction).map(|(&x, &value)| (f64::from(x) - value.into()).powi(2)).collect();
            let mask = rows.mask.as_deref().map(|mask| &mask[index * size..][..size]);
            visit(means.len(), &errors, mask);
            let observed = errors.iter().enumerate().filter(|(feature, _)| is_observed(mask, *feature));
            let (sum, num) = observed.fold((0.0, 0usize), |(sum, num), (_, error)| (sum + error, num + 1));
            means.push(if num == 0 { 0.0 } else { sum / num as f64 });
        }
        Ok(())
    })?;
    Ok(means)
}

fn is_observed(mask: Option<&[f32]>, feature: usize) -> bool {
    mask.is_none_or(|mask| mask[feature] > 0.0)
}

/// Squared error of each time step of each test series, mean over observed channels; `None` where nothing was observed.
pub(super) fn step_errors(context: &EvaluationContext<'_>, num_channels: usize) -> Result<Vec<Vec<Option<f64>>>, EvaluationError> {
    let mut all = Vec::with_capacity(context.test.len());
    let reconstruct = |rows: &Rows| reconstruction(context, rows);
    mean_errors(context.test, Draw::Test.stream(context.seed), context.batch_size, reconstruct, |_, errors, mask| {
        let of_step = |step: usize| {
            let features = step * num_channels..(step + 1) * num_channels;
            let observed = features.filter(|feature| is_observed(mask, *feature));
            let (sum, num) = observed.fold((0.0, 0usize), |(sum, num), feature| (sum + errors[feature], num + 1));
            (num > 0).then(|| sum / num as f64)
        };
        all.push((0..errors.len() / num_channels.max(1)).map(of_step).collect());
    })?;
    Ok(all)
}

/// Squared errors of each feature, for normal test examples and for anomalies.
#[derive(Debug)]
pub(super) struct FeatureErrors<'a> {
    is_anomaly: &'a [bool],
    /// Of normal examples and of anomalies: sum and number of observed values of each feature.
    sums: [Vec<(f64, usize)>; 2],
}

impl<'a> FeatureErrors<'a> {
    pub(super) fn new(num_features: usize, is_anomaly: &'a [bool]) -> Self {
        Self { is_anomaly, sums: [vec![(0.0, 0); num_features], vec![(0.0, 0); num_features]] }
    }

    fn push(&mut self, example: usize, errors: &[f64], mask: Option<&[f32]>) {
        let sums = &mut self.sums[usize::from(self.is_anomaly[example])];
        for (_, ((sum, num), error)) in sums.iter_mut().zip(errors).enumerate().filter(|(feature, _)| is_observed(mask, *feature)) {
            *sum += error;
            *num += 1;
        }
    }

    /// Mean squared error of each feature; `None` where it was never observed.
    pub(super) fn means(&self, of_anomalies: bool) -> Vec<Option<f64>> {
        self.sums[usize::from(of_anomalies)].iter().map(|&(sum, num)| (num > 0).then(|| sum / num as f64)).collect()
    }

    /// Of every feature, in the order of the flattened example.
    pub(super) fn table(&self, names: Option<&[String]>) -> DataTable {
        let mut table = DataTable::new("anomaly_features", ["feature", "name", "mse_normal", "mse_anomalies"]);
        for (feature, (normal, anomalies)) in self.means(false).iter().zip(self.means(true)).enumerate() {
            let name = names.and_then(|names| names.get(feature));
            table.push([json!(feature), json!(name), json!(normal), json!(anomalies)]);
        }
        table
    }
}

/// A Gaussian in the space of codes.
#[derive(Debug)]
struct Gaussian {
    mean: Vec<f64>,
    /// Lower triangle `L`, row after row: `L L^T` is the covariance with its ridge.
    cholesky: Vec<f64>,
}

impl Gaussian {
    /// Mean and covariance (divided by n) of codes, with [`RIDGE`] times the mean variance added to the diagonal; 1 where nothing varies.
    fn fit(codes: &Codes) -> Result<Self, EvaluationError> {
        let (size, num) = (codes.size, codes.len() as f64);
        let mut mean = vec![0.0; size];
        for index in 0..codes.len() {
            mean.iter_mut().zip(codes.row(index)).for_each(|(sum, &value)| *sum += f64::from(value) / num);
        }
        let mut matrix = vec![0.0; size * size];
        for index in 0..codes.len() {
            let centred: Vec<f64> = codes.row(index).iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean).collect();
            for (row, left) in centred.iter().enumerate() {
                matrix[row * size..][..=row].iter_mut().zip(&centred).for_each(|(sum, right)| *sum += left * right / num);
            }
        }
        let mean_variance = (0..size).map(|index| matrix[index * size + index]).sum::<f64>() / size as f64;
        let ridge = if mean_variance > 0.0 { RIDGE * mean_variance } else { 1.0 };
        (0..size).for_each(|index| matrix[index * size + index] += ridge);
        for row in 0..size {
            for column in 0..=row {
                let (above, below) = matrix.split_at(row * size);
                let before: f64 = if column < row {
                    above[column * size..][..column].iter().zip(below).map(|(left, right)| left * right).sum()
                } else {
                    below[..column].iter().map(|left| left * left).sum()
                };
                let left = matrix[row * size + column] - before;
                matrix[row * size + column] = if column < row { left / matrix[column * size + column] } else { left.sqrt() };
                if !matrix[row * size + column].is_finite() {
                    return Err(EvaluationError::Decomposition { size });
                }
            }
        }
        Ok(Self { mean, cholesky: matrix })
    }

    /// Mahalanobis distance: the length of `L^-1 (z - mean)`.
    fn distance(&self, code: &[f32]) -> f64 {
        let size = self.mean.len();
        let mut whitened: Vec<f64> = Vec::with_capacity(size);
        for (row, (&value, mean)) in code.iter().zip(&self.mean).enumerate() {
            let line = &self.cholesky[row * size..][..=row];
            let before: f64 = line.iter().zip(&whitened).map(|(left, right)| left * right).sum();
            whitened.push((f64::from(value) - mean - before) / line[row]);
        }
        whitened.iter().map(|value| value * value).sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(values: Vec<f32>, size: usize) -> Codes {
        Codes { values, size }
    }

    #[test]
    fn distances_are_those_of_the_inverse_covariance() {
        // Covariance [[1, 0.5], [0.5, 1.25]], its inverse [[1.25, -0.5], [-0.5, 1]]; the ridge changes the sixth digit.
        let gaussian = Gaussian::fit(&codes(vec![1.0, 1.5, 1.0, -0.5, -1.0, 0.5, -1.0, -1.5], 2)).unwrap();
        for (code, square) in [([1.0, 0.0], 1.25), ([0.0, 1.0], 1.0), ([1.0, 1.0], 1.25), ([2.0, -1.0], 8.0), ([0.0, 0.0], 0.0f64)] {
            assert!((gaussian.distance(&code).powi(2) - square).abs() < 1e-4, "{code:?}: {}", gaussian.distance(&code));
        }
    }

    #[test]
    fn codes_that_do_not_vary_or_repeat_each_other_have_distances() {
        let same = Gaussian::fit(&codes(vec![2.0; 6], 2)).unwrap();
        assert_eq!((same.distance(&[2.0, 2.0]), same.distance(&[2.0, 5.0])), (0.0, 3.0));
        let line = Gaussian::fit(&codes(vec![0.0, 0.0, 1.0, 1.0, 2.0, 2.0], 2)).unwrap();
        assert!(line.distance(&[1.0, 2.0]) > 100.0 * line.distance(&[2.0, 2.0]));
        assert!(Gaussian::fit(&codes(vec![1.0], 1)).unwrap().distance(&[1.0]) == 0.0);
    }
}
