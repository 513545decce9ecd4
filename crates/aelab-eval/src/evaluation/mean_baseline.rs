//! `mean_baseline`: the mean of the training split in place of every reconstruction. A model that does no
//! better has learnt nothing, or lost its code.

use aelab_core::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::bce::bce_of_probabilities;
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
        let mut errors = ReconstructionErrors::new(data);
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
            let means: Vec<f64> = train.mean.iter().copied().cycle().take(rows.values.len()).collect();
            errors.push(&rows.values, &means, rows.mask.as_deref());
            Ok(())
        })?;
        let mut measurements = errors.measurements("mean_", METRICS)?;
        if data.domain.is_unit_interval() {
            let test = Moments::of(context.test, Draw::Test.stream(context.seed))?;
            let after_mse = 2;
            measurements.insert(after_mse, Measurement::new("mean_bce", bce_of_probabilities(&test.mean, &probabilities(train)))?);
        }
        Ok(Outcome { measurements, ..Outcome::default() })
    }
}

/// The training mean as probabilities. A feature that was always 0 would make a single 1 in the test
/// split infinitely surprising, so what lies within `1 / (n + 2)` of 0 or 1 is put there: the estimate
/// that Laplace's rule of succession gives for a feature that was constant in `n` examples.
fn probabilities(train: &Moments) -> Vec<f64> {
    let least = 1.0 / (train.num_examples as f64 + 2.0);
    train.mean.iter().map(|mean| mean.clamp(least, 1.0 - least)).collect()
}
