//! Corruption of the input: what a denoising autoencoder is asked to undo.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Noise, Progress, Scheduled};

/// A stochastic map from an observation to a corrupted one.
///
/// It stands in the core because two sides draw it: the denoising model in training, and the data
/// pipeline that makes corrupted test sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Corruption {
    /// Each feature is set to 0 with probability `rate` (Vincent et al. 2008).
    Masking {
        /// Probability of a feature to be hidden.
        rate: Scheduled,
    },
    /// Adds independent noise from N(0, `sigma`^2); the result is not clipped.
    Gaussian {
        /// Standard deviation in data units.
        sigma: Scheduled,
    },
    /// Each feature is, with probability `rate`, set to 0 or 1 with equal chance.
    SaltAndPepper {
        /// Probability of a feature to be replaced.
        rate: Scheduled,
    },
}

impl Corruption {
    /// A corrupted copy of `x`, `[batch, feature]`.
    pub fn apply(&self, x: Tensor<2>, progress: Progress, noise: &mut dyn Noise) -> Tensor<2> {
        self.apply_and_tell(x, progress, noise).0
    }

    /// The same, and 1 where a feature was chosen to be corrupted, whether or not its value changed by it, 0 elsewhere;
    /// `None` where the noise spares no feature.
    pub fn apply_and_tell(&self, x: Tensor<2>, progress: Progress, noise: &mut dyn Noise) -> (Tensor<2>, Option<Tensor<2>>) {
        let shape = x.dims();
        let device = x.device();
        match self {
            Corruption::Masking { rate } => {
                let kept = noise.bernoulli(shape, 1.0 - rate.at(progress), &device);
                (x * kept.clone(), Some(kept * -1.0 + 1.0))
            }
            Corruption::Gaussian { sigma } => (x + noise.normal(shape, &device) * sigma.at(progress), None),
            Corruption::SaltAndPepper { rate } => {
                let replaced = noise.bernoulli(shape, rate.at(progress), &device);
                let value = noise.bernoulli(shape, 0.5, &device);
                (x * (replaced.clone() * -1.0 + 1.0) + replaced.clone() * value, Some(replaced))
            }
        }
    }

    /// Rejects rates outside [0, 1] and negative noise.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (kind, key, value, high) = match self {
            Corruption::Masking { rate } => ("masking", "rate", rate, 1.0),
            Corruption::Gaussian { sigma } => ("gaussian", "sigma", sigma, f64::MAX),
            Corruption::SaltAndPepper { rate } => ("salt_and_pepper", "rate", rate, 1.0),
        };
        let checked = value.check().and_then(|()| match value.first_outside(0.0, high) {
            None => Ok(()),
            Some(found) if high == 1.0 => {
                Err(ConfigError::new("", format!("a corruption rate is a probability in [0, 1], but is {found}")))
            }
            Some(found) => Err(ConfigError::new("", format!("a standard deviation cannot be negative, but is {found}"))),
        });
        checked.map_err(|error| error.within(key).within(kind))
    }
}
