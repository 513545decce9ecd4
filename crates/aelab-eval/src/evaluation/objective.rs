//! `objective`: the training objective's own terms on the test split.

use aelab_core::{DataSpec, StepContext, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pass::{Draw, for_each_batch};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Measurement, Outcome};

/// Every unweighted term of the objective, their weighted sum and what else the model logs of itself, with fixed noise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ObjectiveTerms {}

impl Measure for ObjectiveTerms {
    const NAME: &'static str = "objective";
    const SUMMARY: &'static str =
        "the training objective on the test split, term by term, what the model logs beside it, and the ELBO where there is one";
    const IS_DEFAULT: bool = true;

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        vec!["loss".to_owned()]
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let mut noise = StreamNoise(Draw::Objective.stream(context.seed));
        let mut sums: Vec<(&'static str, f64)> = Vec::new();
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
            context.beat()?;
            let batch = rows.batch(context.device);
            let weight = batch.size() as f64;
            let mut step = StepContext { progress: context.progress, learning_rate: 0.0, noise: &mut noise };
            let terms = context.model.objective(&batch, &mut step).values();
            let values = [("loss", terms.loss)].into_iter().chain(terms.terms.iter().map(|term| (term.name, term.value)));
            for (name, value) in values.chain(terms.diagnostics.iter().copied()) {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += weight * value,
                    None => sums.push((name, weight * value)),
                }
            }
            Ok(())
        })?;
        let num = context.test.len() as f64;
        let mut measurements = Vec::with_capacity(sums.len() + 1);
        for (name, sum) in &sums {
            measurements.push(Measurement::new(name, sum / num)?);
        }
        let mean = |name: &str| sums.iter().find(|(known, _)| *known == name).map(|(_, sum)| sum / num);
        if let (Some(nll), Some(kl)) = (mean("nll"), mean("kl")) {
            measurements.push(Measurement::new("elbo", -(nll + kl))?);
        }
        Ok(Outcome { measurements, warnings: context.measured_on_training_values(Self::NAME).into_iter().collect(), ..Outcome::default() })
    }
}
