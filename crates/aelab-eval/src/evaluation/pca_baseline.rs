//! `pca_baseline`: the best linear autoencoder of the same code size, in closed form.

use aelab_core::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::baseline_cache::cached_measurements;
use crate::metric::errors::{ReconstructionErrors, applicable};
use crate::pass::{Draw, chunk_rows, for_each_batch};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, MAX_PCA_SIDE, Outcome};

const METRICS: &[&str] = &["pca_sse", "pca_mse", "pca_psnr", "pca_ssim", "pca_ms_ssim"];

/// Errors of PCA with as many components as the model's code has dimensions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PcaBaseline {}

impl Measure for PcaBaseline {
    const NAME: &'static str = "pca_baseline";
    const SUMMARY: &'static str = "the errors of exact PCA with the model's code size, fitted on the training split";
    const IS_DEFAULT: bool = true;
    const NEEDS: &'static str = "examples of at most 4,096 features";

    fn applies(&self, data: &DataSpec) -> bool {
        data.num_features() <= MAX_PCA_SIDE
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        applicable(METRICS, data)
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        if let Some(reason) = context.pca_impossible() {
            let warnings = vec![format!("`pca_baseline` measures nothing: {reason}")];
            return Ok(Outcome { warnings, ..Outcome::default() });
        }
        let data = context.test.spec();
        let mut warnings = Vec::new();
        let what = format!("{} components", context.code_size);
        let measurements = cached_measurements(context, Self::NAME, &what, METRICS, || {
            let (pca, of_cache) = context.pca(Self::NAME)?;
            warnings.clone_from(of_cache);
            let mut errors = ReconstructionErrors::new(data);
            for_each_batch(context.test, Draw::Test.stream(context.seed), chunk_rows(data.num_features()), |rows| {
                context.beat()?;
                errors.push(&rows.values, &pca.reconstruct(&rows.values, context.code_size), rows.mask.as_deref());
                Ok(())
            })?;
            errors.measurements("pca_", METRICS)
        })?;
        Ok(Outcome { measurements, warnings, ..Outcome::default() })
    }
}
