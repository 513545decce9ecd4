//! `recommendation`: what was held out of each test row, predicted from the rest of it.

use aelab_core::{DataSpec, Domain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::ExampleMean;
use crate::metric::info::{MetricInfo, higher, lower};
use crate::metric::ranking::{ndcg, recall};
use crate::pass::{Draw, for_each_batch, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Measurement, Outcome};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "held_out_rmse",
        "units",
        "root of the mean squared error of predictions of what was held out of test rows, over held-out values; predictions not clipped",
    ).headline(),
    lower("held_out_mae", "units", "mean absolute error of those predictions"),
    higher(
        "ndcg_100",
        "",
        "normalised discounted cumulative gain of the first 100 items by prediction, those shown left out, mean over rows that hold something out",
    ).headline(),
    higher(
        "recall_20",
        "",
        "share of a row's held-out items among the first 20 by prediction, of as many as there could be, mean over such rows",
    ).headline(),
    higher("recall_50", "", "the same of the first 50"),
];

/// Errors of predicted ratings, or how high what was held out is ranked, where the test split holds something out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recommendation {}

impl Measure for Recommendation {
    const NAME: &'static str = "recommendation";
    const SUMMARY: &'static str = "held-out ratings or choices of test rows, predicted from the rest of the row; asked for by name only";

    fn applies(&self, data: &DataSpec) -> bool {
        data.event_shape.len() == 1
    }

    fn is_default(&self, _data: &DataSpec) -> bool {
        false
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let names: &[&str] =
            if data.domain == Domain::Binary { &["ndcg_100", "recall_20", "recall_50"] } else { &["held_out_rmse", "held_out_mae"] };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let num_features = data.num_features();
        let ranked = data.domain == Domain::Binary;
        let (mut squared, mut absolute) = (ExampleMean::default(), ExampleMean::default());
        let mut rankings: [ExampleMean; 3] = Default::default();
        let (mut holds_out, mut start) = (true, 0);
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
            let batch = rows.batch(context.device);
            let indices: Vec<usize> = (start..start + batch.size()).collect();
            start += batch.size();
            let (mut values, mut held_out) = (Vec::new(), Vec::new());
            holds_out &= context.test.gather_held_out(&indices, &mut values, &mut held_out);
            if !holds_out {
                return Ok(());
            }
            let conditioned = context.model.conditioned(&batch);
            let model = conditioned.as_deref().unwrap_or(context.model);
            let predictions = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
            for (row, shown) in rows.values.chunks_exact(num_features).enumerate() {
                let part = row * num_features..(row + 1) * num_features;
                let (predictions, values, held_out) = (&predictions[part.clone()], &values[part.clone()], &held_out[part]);
                if ranked {
                    let wanted: Vec<bool> = values.iter().zip(held_out).map(|(value, held_out)| value * held_out > 0.0).collect();
                    if wanted.contains(&true) {
                        // What the row shows is not recommended again.
                        let order = ranking(predictions, shown);
                        let hits: Vec<bool> = order.iter().map(|&item| wanted[item]).collect();
                        for (mean, value) in rankings.iter_mut().zip([ndcg(&hits, 100), recall(&hits, 20), recall(&hits, 50)]) {
                            mean.push(value);
                        }
                    }
                } else {
                    for ((prediction, value), _) in predictions.iter().zip(values).zip(held_out).filter(|(_, held_out)| **held_out > 0.0) {
                        let error = f64::from(*prediction) - f64::from(*value);
                        squared.push(error * error);
                        absolute.push(error.abs());
                    }
                }
            }
            Ok(())
        })?;
        if !holds_out {
            let warning = "`recommendation` measures nothing: the test split holds nothing out".to_owned();
            return Ok(Outcome { warnings: vec![warning], ..Outcome::default() });
        }
        let means: Vec<f64> =
            if ranked { rankings.iter().map(ExampleMean::mean).collect() } else { vec![squared.mean().sqrt(), absolute.mean()] };
        let named = Measure::metric_names(self, data).into_iter().zip(means);
        let measurements = named.map(|(name, value)| Measurement::new(&name, value)).collect::<Result<_, _>>()?;
        Ok(Outcome { measurements, ..Outcome::default() })
    }
}

/// Items by falling prediction, without those that are shown; ties in the order of the items.
fn ranking(predictions: &[f32], shown: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..predictions.len()).filter(|&item| shown[item] == 0.0).collect();
    order.sort_by(|&a, &b| predictions[b].total_cmp(&predictions[a]));
    order
}
