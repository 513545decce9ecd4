//! `mean_baseline`: the mean of the training split in place of every reconstruction. A model that does no
//! better has learnt nothing, or lost its code.

use aelab_core::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::baseline_cache::cached_measurements;
use crate::metric::ExampleMean;
use crate::metric::bce::cross_entropy_of_logarithms;
use crate::metric::errors::{ReconstructionErrors, applicable};
use crate::pass::{Draw, for_each_batch};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Measurement, Moments, Outcome};

const METRICS: &[&str] = &["mean_sse", "mean_mse", "mean_bce", "mean_psnr", "mean_ssim", "mean_ms_ssim"];

/// Errors of a constant reconstruction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MeanBaseline {}

impl Measure for MeanBaseline {
    const NAME: &'static str = "mean_baseline";
    const SUMMARY: &'static str = "the errors of reconstructing everything as the training mean";
    const IS_DEFAULT: bool = true;

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        applicable(METRICS, data)
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let train = context.train_moments(Self::NAME)?;
        let measurements = cached_measurements(context, Self::NAME, "", METRICS, || {
            let mut errors = ReconstructionErrors::new(data);
            let mut cross_entropies = ExampleMean::default();
            let logarithms = data.domain.is_unit_interval().then(|| logarithms(train));
            let size = data.num_features().max(1);
            for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
                context.beat()?;
                let means: Vec<f64> = train.mean.iter().copied().cycle().take(rows.values.len()).collect();
                errors.push(&rows.values, &means, rows.mask.as_deref());
                let Some(logarithms) = &logarithms else { return Ok(()) };
                for (index, row) in rows.values.chunks_exact(size).enumerate() {
                    cross_entropies.push(if rows.mask.is_none() {
                        cross_entropy_of_logarithms(row, logarithms)
                    } else {
                        let (x, observed) = rows.observed(index);
                        cross_entropy_of_logarithms(&x, observed.into_iter().map(|feature| &logarithms[feature]))
                    });
                }
                Ok(())
            })?;
            let mut measurements = errors.measurements("mean_", METRICS)?;
            if logarithms.is_some() {
                let after_mse = 2;
                measurements.insert(after_mse, Measurement::new("mean_bce", cross_entropies.mean())?);
            }
            Ok(measurements)
        })?;
        Ok(Outcome { measurements, warnings: context.measured_on_training_values(Self::NAME).into_iter().collect(), ..Outcome::default() })
    }
}

/// The logarithms of the training mean as probabilities, `[ln p, ln(1 - p)]` of each feature. One that was always 0 would make a
/// single 1 in the test split infinitely surprising, so what lies within `1 / (n + 2)` of 0 or 1 is put there: the estimate
/// that Laplace's rule of succession gives for a feature that was constant in the `n` examples that it was observed in.
fn logarithms(train: &Moments) -> Vec<[f64; 2]> {
    let of_feature = |(mean, &num): (&f64, &usize)| {
        let least = 1.0 / (num as f64 + 2.0);
        let probability = mean.clamp(least, 1.0 - least);
        [probability.ln(), (-probability).ln_1p()]
    };
    train.mean.iter().zip(&train.num_observed).map(of_feature).collect()
}
