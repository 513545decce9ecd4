//! `log_likelihood`: how probable a generative model finds test examples, by importance sampling.
//!
//! Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", Eq. 8: the bound from `k` samples rises with `k`, to the
//! log-likelihood itself.

use std::num::NonZeroU32;

use aelab_core::{Batch, DataSpec, StreamNoise, TrainedModel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::ExampleMean;
use crate::pass::{Draw, for_each_batch_of_first, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Measurement, Outcome};

/// Examples whose samples are drawn together. It is no option: the noise that each example gets depends on it.
const EXAMPLES_AT_ONCE: usize = 16;
/// Codes that are decoded together.
const CODES_AT_ONCE: usize = 4096;
/// Bounds from fewer samples, beside that from all of them.
const FEWER: [(usize, &str); 3] = [(1, "log_likelihood_1"), (5, "log_likelihood_5"), (50, "log_likelihood_50")];

/// The importance weighted bound on the log-likelihood of test examples, from many samples and from few.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogLikelihood {
    /// Samples of the code per example; 5000 is usual for published numbers.
    num_samples: NonZeroU32,
    /// Test examples, from the first on.
    limit: NonZeroU32,
}

impl Default for LogLikelihood {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("it is not 0");
        Self { num_samples: number(50), limit: number(500) }
    }
}

impl LogLikelihood {
    fn num_samples(&self) -> usize {
        self.num_samples.get() as usize
    }

    fn fewer(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let num_samples = self.num_samples();
        FEWER.into_iter().filter(move |(num, _)| *num < num_samples)
    }
}

impl Measure for LogLikelihood {
    const NAME: &'static str = "log_likelihood";
    const SUMMARY: &'static str = "the log-likelihood of test examples by importance sampling, where the model has one";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        ["log_likelihood"].into_iter().chain(self.fewer().map(|(_, name)| name)).chain(["effective_samples"]).map(str::to_owned).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let num_samples = self.num_samples();
        let mut noise = StreamNoise(Draw::LogLikelihood.stream(context.seed));
        let mut has_likelihood = true;
        let mut bounds: Vec<ExampleMean> = vec![ExampleMean::default(); self.fewer().count() + 1];
        let mut effective = ExampleMean::default();
        let limit = self.limit.get() as usize;
        for_each_batch_of_first(context.test, limit, Draw::Test.stream(context.seed), EXAMPLES_AT_ONCE, |rows| {
            context.beat()?;
            if !has_likelihood {
                return Ok(());
            }
            let batch = rows.batch(context.device);
            let conditioned = context.model.conditioned(&batch);
            let model = conditioned.as_deref().unwrap_or(context.model);
            let Some(log_weights) = log_weights(model, &batch, num_samples, EXAMPLES_AT_ONCE, &mut noise)? else {
                has_likelihood = false;
                return Ok(());
            };
            for log_weights in &log_weights {
                for (mean, num) in bounds.iter_mut().zip(self.fewer().map(|(num, _)| num).chain([num_samples])) {
                    mean.push(bound(log_weights, num));
                }
                effective.push(effective_samples(log_weights));
            }
            Ok(())
        })?;
        if !has_likelihood {
            return Ok(Outcome::nothing(Self::NAME, "the model has no likelihood, as variational autoencoders have"));
        }
        let all = bounds.pop().expect("there is the bound from all samples");
        let mut measurements = vec![Measurement::new("log_likelihood", all.mean())?];
        for ((_, name), mean) in self.fewer().zip(&bounds) {
            measurements.push(Measurement::new(name, mean.mean())?);
        }
        measurements.push(Measurement::new("effective_samples", effective.mean())?);
        Ok(Outcome { measurements, ..Outcome::default() })
    }
}

/// Logarithms of the weights of `num_samples` samples of the code of each example, `[example][sample]`; `None` where the model has
/// none. They are drawn so many at a time that a full batch of `examples_at_once` fits in memory whatever their number.
pub(super) fn log_weights(
    model: &dyn TrainedModel,
    batch: &Batch,
    num_samples: usize,
    examples_at_once: usize,
    noise: &mut StreamNoise,
) -> Result<Option<Vec<Vec<f64>>>, EvaluationError> {
    let at_once = (CODES_AT_ONCE / examples_at_once).max(1);
    let mut all: Vec<Vec<f64>> = vec![Vec::with_capacity(num_samples); batch.size()];
    for first in (0..num_samples).step_by(at_once) {
        let num = at_once.min(num_samples - first);
        let Some(found) = model.log_importance_weights(batch, num, noise) else { return Ok(None) };
        let found = to_values(found, [batch.size(), num], "importance weights")?;
        for (all, found) in all.iter_mut().zip(found.chunks_exact(num)) {
            all.extend(found.iter().map(|&value| f64::from(value)));
        }
    }
    Ok(Some(all))
}

/// The mean over groups of `num` samples of `log 1/num sum_s w_s`; what is over after whole groups is left out.
pub(super) fn bound(log_weights: &[f64], num: usize) -> f64 {
    let mut mean = ExampleMean::default();
    for group in log_weights.chunks_exact(num) {
        mean.push(log_sum_exp(group.iter().copied()) - (num as f64).ln());
    }
    mean.mean()
}

/// `(sum_s w_s)^2 / sum_s w_s^2` (Kong 1992).
fn effective_samples(log_weights: &[f64]) -> f64 {
    (2.0 * log_sum_exp(log_weights.iter().copied()) - log_sum_exp(log_weights.iter().map(|weight| 2.0 * weight))).exp()
}

fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + values.map(|value| (value - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_logarithm_of_a_mean_weight_and_rises_with_the_size_of_the_groups() {
        let weights = [1.0f64, 3.0, 2.0, 6.0];
        let log_weights = weights.map(f64::ln);
        assert!((bound(&log_weights, 4) - 3f64.ln()).abs() < 1e-12);
        assert!((bound(&log_weights, 2) - (2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-12);
        assert!((bound(&log_weights, 3) - 2f64.ln()).abs() < 1e-12);
        assert!(bound(&log_weights, 1) < bound(&log_weights, 2) && bound(&log_weights, 2) < bound(&log_weights, 4));
        assert_eq!(bound(&[-2000.0, -2000.0], 2), -2000.0);
    }

    #[test]
    fn equal_weights_are_all_effective_and_one_large_one_is_alone() {
        assert!((effective_samples(&[-5.0; 8]) - 8.0).abs() < 1e-9);
        assert!((effective_samples(&[0.0, -1000.0, -1000.0]) - 1.0).abs() < 1e-12);
    }
}
