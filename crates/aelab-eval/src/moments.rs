//! Mean and mean square of every feature over what was observed of it: the simplest model of the data, and a fingerprint of it.

use aelab_core::{Examples, Stream};
use aelab_kernels::add_moments;
use sha2::{Digest, Sha256};

use crate::EvaluationError;
use crate::pass::{chunk_rows, for_each_batch};

/// First and second moments of every feature of a split.
///
/// A feature that was observed in no example has the moments of all observed values together.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Number of examples.
    pub num_examples: usize,
    /// Number of examples that each feature was observed in: all of them where nothing is missing and no series is padded.
    pub num_observed: Vec<usize>,
    /// Mean of each feature, over the examples that it was observed in.
    pub mean: Vec<f64>,
    /// Mean square of each feature, over the same.
    pub mean_square: Vec<f64>,
}

impl Moments {
    /// The moments of a split that is not empty; what is drawn at access is drawn from `stream`.
    pub fn of(examples: &dyn Examples, stream: Stream) -> Result<Self, EvaluationError> {
        let num_features = examples.spec().num_features();
        let mut mean = vec![0.0f64; num_features];
        let mut mean_square = vec![0.0f64; num_features];
        let mut num_observed = vec![0usize; num_features];
        for_each_batch(examples, stream, chunk_rows(num_features), |rows| {
            let Some(mask) = &rows.mask else {
                add_moments(&rows.values, &mut mean, &mut mean_square);
                num_observed.iter_mut().for_each(|num| *num += rows.shape()[0]);
                return Ok(());
            };
            for (row, mask) in rows.values.chunks_exact(num_features.max(1)).zip(mask.chunks_exact(num_features.max(1))) {
                for (feature, &value) in row.iter().enumerate().filter(|(feature, _)| mask[*feature] > 0.0) {
                    let value = f64::from(value);
                    mean[feature] += value;
                    mean_square[feature] += value * value;
                    num_observed[feature] += 1;
                }
            }
            Ok(())
        })?;
        // A NaN or infinity anywhere in a column is in its sum of squares.
        if let Some(feature) = mean_square.iter().position(|square| !square.is_finite()) {
            return Err(EvaluationError::NonFiniteData { feature });
        }
        let num_values = num_observed.iter().sum::<usize>().max(1) as f64;
        for sums in [&mut mean, &mut mean_square] {
            let of_all = sums.iter().sum::<f64>() / num_values;
            sums.iter_mut().zip(&num_observed).for_each(|(sum, &num)| *sum = if num > 0 { *sum / num as f64 } else { of_all });
        }
        Ok(Self { num_examples: examples.len(), num_observed, mean, mean_square })
    }

    /// A digest of every bit: two training splits of one data set share it only if they hold the same
    /// examples.
    pub(crate) fn digest(&self, label: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update((label.len() as u64).to_le_bytes());
        hash.update(label.as_bytes());
        hash.update((self.num_examples as u64).to_le_bytes());
        hash.update((self.mean.len() as u64).to_le_bytes());
        for value in self.mean.iter().chain(&self.mean_square) {
            hash.update(value.to_le_bytes());
        }
        hash.finalize().into()
    }
}
