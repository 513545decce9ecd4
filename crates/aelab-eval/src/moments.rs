//! Mean and mean square of every feature: the simplest model of the data, and a fingerprint of it.

use aelab_core::{Examples, Stream};
use sha2::{Digest, Sha256};

use crate::EvaluationError;
use crate::pass::{chunk_rows, for_each_batch};

/// First and second moments of every feature of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Number of examples.
    pub num_examples: usize,
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// Mean square of each feature.
    pub mean_square: Vec<f64>,
}

impl Moments {
    /// The moments of a split that is not empty; what is drawn at access is drawn from `stream`.
    pub fn of(examples: &dyn Examples, stream: Stream) -> Result<Self, EvaluationError> {
        let num_features = examples.spec().num_features();
        let mut mean = vec![0.0f64; num_features];
        let mut mean_square = vec![0.0f64; num_features];
        for_each_batch(examples, stream, chunk_rows(num_features), |rows| {
            for row in rows.values.chunks_exact(num_features.max(1)) {
                for ((sum, square), &value) in mean.iter_mut().zip(&mut mean_square).zip(row) {
                    let value = f64::from(value);
                    *sum += value;
                    *square += value * value;
                }
            }
            Ok(())
        })?;
        let num = examples.len() as f64;
        for (sum, square) in mean.iter_mut().zip(&mut mean_square) {
            *sum /= num;
            *square /= num;
        }
        // A NaN or infinity anywhere in a column is in its sum of squares.
        if let Some(feature) = mean_square.iter().position(|square| !square.is_finite()) {
            return Err(EvaluationError::NonFiniteData { feature });
        }
        Ok(Self { num_examples: examples.len(), mean, mean_square })
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
