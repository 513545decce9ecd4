//! `recommendation`: what was held out of each test row, predicted from the rest of it.

use std::num::NonZeroU32;

use aelab_core::{DataSpec, Domain, Examples, Stream};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::metric::ExampleMean;
use crate::metric::ease::{CoOccurrences, Ease};
use crate::metric::info::{MetricInfo, higher, lower};
use crate::metric::ranking::{ndcg, recall, ties_by_score};
use crate::metric::rating_biases::{Rating, RatingBiases, mean_rating};
use crate::pass::{Draw, Rows, for_each_batch, to_values};
use crate::registry::Measure;
use crate::{DataTable, EvaluationContext, EvaluationError, MAX_PCA_SIDE, Measurement, Outcome};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "held_out_rmse",
        "units",
        "root of the mean squared error of predictions of what was held out of test rows, over held-out values; predictions not clipped",
    ).headline(),
    lower("held_out_mae", "units", "mean absolute error of those predictions"),
    lower("mean_held_out_rmse", "units", "`held_out_rmse` of the mean of the training ratings"),
    lower("mean_held_out_mae", "units", "`held_out_mae` of that mean"),
    lower("bias_held_out_rmse", "units", "`held_out_rmse` of mean + row bias + column bias, by least squares with a price on squared biases"),
    lower("bias_held_out_mae", "units", "`held_out_mae` of those biases"),
    higher(
        "ndcg",
        "",
        "at k: normalised discounted cumulative gain of the first k items by prediction, those shown left out, the ideal cut at k too, expected over orders of equal predictions (McSherry & Najork 2008), mean over rows that hold something out",
    ).version(2).headline(),
    higher(
        "recall",
        "",
        "at k: share of a row's held-out items among the first k by prediction, of as many as there could be, min(k, held out), expected over orders of equal predictions, mean over such rows",
    ).version(2).headline(),
    higher("ease_ndcg", "", "`ndcg` of EASE (Steck 2019), fitted on the training rows").version(2),
    higher("ease_recall", "", "`recall` of that EASE").version(2),
    higher("popularity_ndcg", "", "`ndcg` of the same list for everyone: items by the number of training rows that chose them").version(2),
    higher("popularity_recall", "", "`recall` of that list").version(2),
];

/// Errors of predicted ratings, or how high what was held out is ranked, where the test split holds something out; with baselines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recommendation {
    /// For choices: lengths of the list at which `ndcg` is measured.
    #[serde(deserialize_with = "lengths")]
    ndcg: Vec<NonZeroU32>,
    /// For choices: lengths of the list at which `recall` is measured.
    #[serde(deserialize_with = "lengths")]
    recall: Vec<NonZeroU32>,
    /// For choices: prices of squared weights of EASE. The one with the best NDCG (at the first of the lengths, or 100) on validation
    /// rows is taken; the first where these hold nothing out. An empty list leaves EASE out.
    #[serde(deserialize_with = "prices")]
    ease_lambda: Vec<f64>,
    /// For ratings: prices of squared biases of the bias model; the one with the least validation RMSE is taken, the first where
    /// validation holds nothing out. An empty list leaves the model out.
    #[serde(deserialize_with = "prices")]
    bias_lambda: Vec<f64>,
}

impl Default for Recommendation {
    fn default() -> Self {
        let lengths = |lengths: &[u32]| lengths.iter().filter_map(|&k| NonZeroU32::new(k)).collect();
        Self {
            ndcg: lengths(&[100]),
            recall: lengths(&[20, 50]),
            ease_lambda: vec![250.0, 30.0, 60.0, 120.0, 500.0, 1000.0],
            bias_lambda: vec![5.0, 1.0, 2.0, 10.0, 20.0],
        }
    }
}

fn lengths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NonZeroU32>, D::Error> {
    let found = Vec::<NonZeroU32>::deserialize(deserializer)?;
    match found.iter().enumerate().find(|(at, length)| found[..*at].contains(length)) {
        Some((_, length)) => Err(D::Error::custom(format!("{length} stands twice, expected different lengths of the list"))),
        None => Ok(found),
    }
}

fn prices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let found = Vec::<f64>::deserialize(deserializer)?;
    match found.iter().find(|price| !(price.is_finite() && **price > 0.0)) {
        Some(price) => Err(D::Error::custom(format!("{price} is no price, expected finite numbers above 0"))),
        None => Ok(found),
    }
}

impl Measure for Recommendation {
    const NAME: &'static str = "recommendation";
    const SUMMARY: &'static str = "held-out ratings or choices of test rows, predicted from the rest of the row, beside EASE, popularity or biases; asked for by name only";
    const NEEDS: &'static str = "rows of a table";

    fn applies(&self, data: &DataSpec) -> bool {
        data.event_shape.len() == 1
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let prefixes = |baselines: [(&'static str, bool); 3]| baselines.into_iter().filter(|(_, there)| *there).map(|(prefix, _)| prefix);
        if data.domain == Domain::Binary {
            let ease = !self.ease_lambda.is_empty() && data.num_features() <= MAX_PCA_SIDE;
            prefixes([("", true), ("ease_", ease), ("popularity_", true)]).flat_map(|prefix| self.ranking_names(prefix)).collect()
        } else {
            prefixes([("", true), ("mean_", true), ("bias_", !self.bias_lambda.is_empty())])
                .flat_map(|prefix| ERRORS.map(|name| format!("{prefix}{name}")))
                .collect()
        }
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let ranked = context.test.spec().domain == Domain::Binary;
        let mut outcome = Outcome::default();
        let outcome_of_model = predict_with_model(context, |predict| {
            let stream = Draw::Test.stream(context.seed);
            if ranked { self.rankings(context.test, stream, context, predict) } else { errors(context.test, stream, context, predict) }
        })?;
        let Some(values) = outcome_of_model else {
            outcome.warnings.push("`recommendation` measures nothing: the test split holds nothing out".to_owned());
            return Ok(outcome);
        };
        if context.train.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation: Self::NAME, split: "training" });
        }
        self.push(&mut outcome, "", ranked, &values)?;
        if ranked {
            self.ranking_baselines(context, &mut outcome)?
        } else {
            self.rating_baselines(context, &mut outcome)?
        }
        Ok(outcome)
    }
}

const ERRORS: [&str; 2] = ["held_out_rmse", "held_out_mae"];

/// Scores or ratings of every item for the rows of a batch, `[row, item]`.
type Predict<'a> = &'a mut dyn FnMut(&Rows) -> Result<Vec<f64>, EvaluationError>;

/// Runs `measure` with the predictions of the model at hand.
fn predict_with_model<T>(
    context: &EvaluationContext<'_>,
    measure: impl FnOnce(Predict<'_>) -> Result<T, EvaluationError>,
) -> Result<T, EvaluationError> {
    measure(&mut |rows| {
        context.beat()?;
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let predictions = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
        match predictions.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(EvaluationError::NonFinite { metric: "prediction".to_owned(), value: f64::from(value) }),
            None => Ok(predictions.into_iter().map(f64::from).collect()),
        }
    })
}

/// Hands every row that holds something out to `visit`: what it shows, the predictions, the values and which of them are held out. Says
/// whether the split holds anything out.
fn for_each_held_out(
    examples: &dyn Examples,
    stream: Stream,
    batch_size: usize,
    predict: Predict<'_>,
    mut visit: impl FnMut(&[f32], &[f64], &[f32], &[f32]),
) -> Result<bool, EvaluationError> {
    let size = examples.spec().num_features();
    let (mut holds_out, mut found, mut start) = (true, false, 0);
    for_each_batch(examples, stream, batch_size, |rows| {
        let indices: Vec<usize> = (start..start + rows.shape()[0]).collect();
        start += indices.len();
        let (mut values, mut held_out) = (Vec::new(), Vec::new());
        holds_out &= examples.gather_held_out(&indices, &mut values, &mut held_out);
        if !holds_out {
            return Ok(());
        }
        let predictions = predict(rows)?;
        for (row, shown) in rows.values.chunks_exact(size).enumerate() {
            let part = row * size..(row + 1) * size;
            if held_out[part.clone()].iter().any(|mark| *mark > 0.0) {
                found = true;
                visit(shown, &predictions[part.clone()], &values[part.clone()], &held_out[part]);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Root mean squared and mean absolute error of held-out ratings; `None` where there are none.
fn errors(
    examples: &dyn Examples,
    stream: Stream,
    context: &EvaluationContext<'_>,
    predict: Predict<'_>,
) -> Result<Option<Vec<f64>>, EvaluationError> {
    let (mut squared, mut absolute) = (ExampleMean::default(), ExampleMean::default());
    let found = for_each_held_out(examples, stream, context.batch_size, predict, |_, predictions, values, held_out| {
        for ((prediction, value), _) in predictions.iter().zip(values).zip(held_out).filter(|(_, held_out)| **held_out > 0.0) {
            let error = prediction - f64::from(*value);
            squared.push(error * error);
            absolute.push(error.abs());
        }
    })?;
    Ok(found.then(|| vec![squared.mean().sqrt(), absolute.mean()]))
}

impl Recommendation {
    fn ranking_names(&self, prefix: &str) -> Vec<String> {
        let named = |name: &str, lengths: &[NonZeroU32]| -> Vec<String> { lengths.iter().map(|k| format!("{prefix}{name}@{k}")).collect() };
        [named("ndcg", &self.ndcg), named("recall", &self.recall)].concat()
    }

    fn push(&self, outcome: &mut Outcome, prefix: &str, ranked: bool, values: &[f64]) -> Result<(), EvaluationError> {
        let names = if ranked { self.ranking_names(prefix) } else { ERRORS.map(|name| format!("{prefix}{name}")).to_vec() };
        for (name, value) in names.iter().zip(values) {
            outcome.measurements.push(Measurement::new(name, *value)?);
        }
        Ok(())
    }

    /// NDCG and recall at every length; `None` where no row holds a choice out.
    fn rankings(
        &self,
        examples: &dyn Examples,
        stream: Stream,
        context: &EvaluationContext<'_>,
        predict: Predict<'_>,
    ) -> Result<Option<Vec<f64>>, EvaluationError> {
        let mut means = vec![ExampleMean::default(); self.ndcg.len() + self.recall.len()];
        let mut found = false;
        for_each_held_out(examples, stream, context.batch_size, predict, |shown, scores, values, held_out| {
            let wanted: Vec<bool> = values.iter().zip(held_out).map(|(value, held_out)| value * held_out > 0.0).collect();
            if wanted.contains(&true) {
                found = true;
                // What the row shows is not recommended again.
                let ties = ties_by_score(scores, shown, &wanted);
                let gains = self.ndcg.iter().map(|k| ndcg(&ties, k.get() as usize));
                let recalls = self.recall.iter().map(|k| recall(&ties, k.get() as usize));
                means.iter_mut().zip(gains.chain(recalls)).for_each(|(mean, value)| mean.push(value));
            }
        })?;
        Ok(found.then(|| means.iter().map(ExampleMean::mean).collect()))
    }

    fn ranking_baselines(&self, context: &EvaluationContext<'_>, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let num_items = context.test.spec().num_features();
        let with_ease = !self.ease_lambda.is_empty() && num_items <= MAX_PCA_SIDE;
        if !with_ease && !self.ease_lambda.is_empty() {
            outcome.warnings.push(format!("EASE of {num_items} items is not attempted: at most {MAX_PCA_SIDE}"));
        }
        let mut together = CoOccurrences::new(if with_ease { num_items } else { 0 });
        let mut popularity = vec![0.0; num_items];
        for_each_batch(context.train, Draw::Train.stream(context.seed), context.batch_size.max(1024), |rows| {
            context.beat()?;
            for row in rows.values.chunks_exact(num_items) {
                popularity.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            if with_ease {
                together.add(&rows.values);
            }
            Ok(())
        })?;
        if with_ease {
            self.ease(context, &together, outcome)?;
        }
        let predict: Predict<'_> = &mut |rows| Ok(popularity.repeat(rows.shape()[0]));
        if let Some(values) = self.rankings(context.test, Draw::Test.stream(context.seed), context, predict)? {
            self.push(outcome, "popularity_", true, &values)?;
        }
        Ok(())
    }

    /// EASE at the price that is best on validation rows, and a table of what each price reaches there.
    fn ease(&self, context: &EvaluationContext<'_>, together: &CoOccurrences, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let first = self.ndcg.first().copied().or(NonZeroU32::new(100));
        let watched = Self { ndcg: first.into_iter().collect(), recall: Vec::new(), ..self.clone() };
        let mut tried: Vec<(f64, Option<f64>, Option<Vec<f64>>)> = Vec::new();
        for &lambda in &self.ease_lambda {
            let ease = Ease::fit(together, lambda)?;
            let valid = watched
                .rankings(context.valid, Draw::Recommendation.stream(context.seed), context, &mut |rows| Ok(ease.scores(&rows.values)))?;
            let valid = valid.map(|values| values[0]);
            let is_best = tried.iter().all(|(_, other, _)| valid > *other);
            // Test rows are ranked by the best so far only: no other value is ever seen.
            let test = if is_best {
                self.rankings(context.test, Draw::Test.stream(context.seed), context, &mut |rows| Ok(ease.scores(&rows.values)))?
            } else {
                None
            };
            tried.push((lambda, valid, test));
            if valid.is_none() {
                break;
            }
        }
        let best = tried.iter().rposition(|(_, _, test)| test.is_some());
        let mut table = DataTable::new(
            "ease_lambda",
            ["lambda".to_owned(), format!("valid_ndcg@{}", first.map_or(100, NonZeroU32::get)), "is_chosen".to_owned()],
        );
        for (at, (lambda, valid, _)) in tried.iter().enumerate() {
            table.push([json!(lambda), json!(valid), json!(Some(at) == best)]);
        }
        outcome.tables.push(table);
        if let Some(values) = best.and_then(|best| tried[best].2.as_ref()) {
            self.push(outcome, "ease_", true, values)?;
        }
        Ok(())
    }

    /// The mean of the training ratings, and biases at the price that is best on validation.
    fn rating_baselines(&self, context: &EvaluationContext<'_>, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let num_columns = context.test.spec().num_features();
        let mut ratings = Vec::new();
        let mut start = 0;
        for_each_batch(context.train, Draw::Train.stream(context.seed), context.batch_size, |rows| {
            context.beat()?;
            for row in 0..rows.shape()[0] {
                ratings.extend(observed(rows, row).map(|(column, value)| Rating { row: start + row, column, value }));
            }
            start += rows.shape()[0];
            Ok(())
        })?;
        let of_test = |predict: Predict<'_>| errors(context.test, Draw::Test.stream(context.seed), context, predict);
        let mean = mean_rating(&ratings);
        if let Some(values) = of_test(&mut |rows| Ok(vec![mean; rows.values.len()]))? {
            self.push(outcome, "mean_", false, &values)?;
        }
        let mut table = DataTable::new("bias_lambda", ["lambda", "valid_rmse", "is_chosen"]);
        let mut best: Option<(usize, Option<f64>, RatingBiases)> = None;
        let predictions = |model: &RatingBiases, rows: &Rows| -> Vec<f64> {
            (0..rows.shape()[0]).flat_map(|row| model.predict(observed(rows, row))).collect()
        };
        let mut tried = Vec::new();
        for (at, &lambda) in self.bias_lambda.iter().enumerate() {
            let model = RatingBiases::fit(&ratings, start, num_columns, lambda);
            let stream = Draw::Recommendation.stream(context.seed);
            let valid = errors(context.valid, stream, context, &mut |rows| Ok(predictions(&model, rows)))?.map(|values| values[0]);
            tried.push((lambda, valid));
            if best.as_ref().is_none_or(|(_, other, _)| valid < *other) {
                best = Some((at, valid, model));
            }
            if valid.is_none() {
                break;
            }
        }
        let Some((chosen, _, model)) = best else { return Ok(()) };
        for (at, (lambda, valid)) in tried.into_iter().enumerate() {
            table.push([json!(lambda), json!(valid), json!(at == chosen)]);
        }
        outcome.tables.push(table);
        if let Some(values) = of_test(&mut |rows| Ok(predictions(&model, rows)))? {
            self.push(outcome, "bias_", false, &values)?;
        }
        Ok(())
    }
}

/// Columns and values that a row of a batch shows.
fn observed(rows: &Rows, row: usize) -> impl Iterator<Item = (usize, f64)> {
    let size = rows.shape()[1];
    let is_there = move |column: usize| rows.mask.as_ref().is_none_or(|mask| mask[row * size + column] > 0.0);
    (0..size).filter(move |&column| is_there(column)).map(move |column| (column, f64::from(rows.values[row * size + column])))
}
