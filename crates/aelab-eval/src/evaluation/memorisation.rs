//! `memorisation`: whether a model does better on what it was trained on, and whether its samples are copies of it.

use std::num::NonZeroUsize;

use aelab_core::{DataSpec, Examples, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::generation::decoded;
use super::samples::{conditioned_on_classes, whole_rows};
use crate::metric::ExampleMean;
use crate::metric::data_copying::{copied_share, copying_probability, copying_score, copying_threshold};
use crate::metric::info::{MetricInfo, SQUARED_UNITS, lower, neutral};
use crate::pass::{Draw, Rows, chunk_rows, for_each_batch, for_each_batch_of_first, has_mask, to_values};
use crate::registry::Measure;
use crate::{
    DataTable, EvaluationContext, EvaluationError, ExampleRow, Measurement, Neighbour, Outcome, Picture, PictureContent, nearest_neighbours,
};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "memorisation_train_sse",
        SQUARED_UNITS,
        "`sse` of the first training examples, as many as test examples are used (at most `num_examples`)",
    ),
    lower("memorisation_test_sse", SQUARED_UNITS, "`sse` of the first test examples, as many"),
    neutral("sse_gap", SQUARED_UNITS, "`memorisation_test_sse` less `memorisation_train_sse`: near 0 for a model that memorised nothing, one that learnt nothing among them").headline(),
    neutral("pca_sse_gap", SQUARED_UNITS, "`sse_gap` of PCA with as many components as the model's code has dimensions"),
    neutral(
        "copying_probability",
        "",
        "that a sample of the prior is nearer to its nearest training example than a test example to its own, ties half: 0.5 for samples like test data, 1 for copies (Meehan et al. 2020, the Mann-Whitney statistic over pairs)",
    )
    .headline(),
    neutral("copying_score", "", "the same as a standard score, `Z_U` of Meehan et al. 2020 without cells: negative for copies"),
    lower(
        "copied_samples",
        "%",
        "samples nearer to a training example than the nearest 1 % of test examples are (`quantile`), those exactly as near half; about 1 % for samples like test data",
    )
    .version(2),
];

/// Samples in the picture.
const NUM_SHOWN: usize = 10;

/// Errors on training examples beside those on test examples, and distances of samples to their nearest training example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Memorisation {
    /// Training and test examples that errors are compared on, and test examples that samples are compared with: the first ones.
    num_examples: NonZeroUsize,
    /// Samples of the prior, where the model has one.
    num_samples: NonZeroUsize,
    /// Share of test examples, the nearest to training examples, within whose distances a sample counts as copied.
    #[serde(deserialize_with = "share")]
    quantile: f64,
}

impl Default for Memorisation {
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).expect("the number is not 0");
        Self { num_examples: number(1000), num_samples: number(1000), quantile: 0.01 }
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value > 0.0 && value < 1.0 {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("`quantile` is a share between 0 and 1, but is {value}")))
    }
}

impl Measure for Memorisation {
    const NAME: &'static str = "memorisation";
    const SUMMARY: &'static str =
        "errors on training beside test examples, and how near samples are to training examples; asked for by name only";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        METRICS.iter().map(|metric| metric.name.to_owned()).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        if context.train.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation: Self::NAME, split: "training" });
        }
        let mut outcome = Outcome::default();
        if context.test_shows_training_values() {
            outcome.warnings.push("`memorisation` measures nothing: the rows of the test split are those of the training split".to_owned());
            return Ok(outcome);
        }
        let num = self.num_examples.get().min(context.test.len()).min(context.train.len());
        let [train, test] =
            [(context.train, Draw::Train), (context.test, Draw::Test)].map(|(examples, draw)| errors(examples, draw, num, context));
        let (train, test) = (train?, test?);
        outcome.measurements.push(Measurement::new("memorisation_train_sse", train.model)?);
        outcome.measurements.push(Measurement::new("memorisation_test_sse", test.model)?);
        outcome.measurements.push(Measurement::new("sse_gap", test.model - train.model)?);
        if let (Some(train), Some(test)) = (train.pca, test.pca) {
            outcome.measurements.push(Measurement::new("pca_sse_gap", test - train)?);
        }
        self.samples(context, &mut outcome)?;
        Ok(outcome)
    }
}

/// Squared errors, mean over examples.
struct Errors {
    model: f64,
    pca: Option<f64>,
}

fn errors(examples: &dyn Examples, draw: Draw, num: usize, context: &EvaluationContext<'_>) -> Result<Errors, EvaluationError> {
    let mut means = [ExampleMean::default(), ExampleMean::default()];
    let has_pca = context.has_pca();
    for_each_batch_of_first(examples, num, draw.stream(context.seed), context.batch_size, |rows| {
        context.beat()?;
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let reconstruction = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
        let reconstruction: Vec<f64> = reconstruction.into_iter().map(f64::from).collect();
        push_squares(rows, &reconstruction, &mut means[0]);
        if has_pca {
            let (pca, _) = context.pca(Memorisation::NAME)?;
            pca.squared_errors(&rows.values, context.code_size).into_iter().for_each(|error| means[1].push(error));
        }
        Ok(())
    })?;
    Ok(Errors { model: means[0].mean(), pca: has_pca.then(|| means[1].mean()) })
}

/// The squared error of each example over what was observed of it.
fn push_squares(rows: &Rows, reconstruction: &[f64], mean: &mut ExampleMean) {
    let [num, num_features] = rows.shape();
    for row in 0..num {
        let part = row * num_features..(row + 1) * num_features;
        let observed = |index: usize| rows.mask.as_ref().is_none_or(|mask| mask[index] > 0.0);
        mean.push(part.filter(|&index| observed(index)).map(|index| (f64::from(rows.values[index]) - reconstruction[index]).powi(2)).sum());
    }
}

/// The nearest training example of each query, the first of equally near ones, and the examples themselves of the first `num_shown`
/// queries, row after row. The training split is gone through in chunks: it may be larger than memory has room for twice.
fn nearest_training_examples(
    context: &EvaluationContext<'_>,
    queries: &[f32],
    num_shown: usize,
) -> Result<(Vec<Neighbour>, Vec<f32>), EvaluationError> {
    let size = context.train.spec().num_features();
    let mut nearest = vec![Neighbour { index: 0, distance: f64::INFINITY }; queries.len() / size];
    let mut shown = vec![0.0f32; num_shown * size];
    let mut start = 0;
    for_each_batch(context.train, Draw::Train.stream(context.seed), chunk_rows(size), |rows| {
        context.beat()?;
        for (query, found) in nearest_neighbours(queries, &rows.values, size, 1, false).into_iter().flatten().enumerate() {
            if found.distance < nearest[query].distance {
                nearest[query] = Neighbour { index: start + found.index, distance: found.distance };
                if query < num_shown {
                    shown[query * size..][..size].copy_from_slice(&rows.values[found.index * size..][..size]);
                }
            }
        }
        start += rows.shape()[0];
        Ok(())
    })?;
    Ok((nearest, shown))
}

impl Memorisation {
    /// What concerns samples, where the model has a prior.
    fn samples(&self, context: &EvaluationContext<'_>, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let num_features = context.test.spec().num_features();
        let num = self.num_samples.get();
        let of_classes = conditioned_on_classes(num, context);
        let num = of_classes.as_ref().map_or(num, |(_, num_classes)| whole_rows(num, *num_classes));
        let model = of_classes.as_ref().map_or(context.model, |(model, _)| model.as_ref());
        let mut noise = StreamNoise(Draw::Memorisation.stream(context.seed));
        let Some(codes) = model.sample_prior(num, &mut noise, context.device) else { return Ok(()) };
        let code_size = codes.dims()[1];
        let codes = to_values(codes, [num, code_size], "samples of the prior")?;
        let classes: Option<Vec<u32>> =
            of_classes.as_ref().map(|(_, num_classes)| (0..num).map(|index| (index % num_classes) as u32).collect());
        let samples = decoded(&codes, code_size, classes.as_deref(), context)?;
        if let Some(&value) = samples.iter().find(|value| !value.is_finite()) {
            return Err(EvaluationError::NonFinite { metric: "copying_probability".to_owned(), value: f64::from(value) });
        }
        if has_mask(context.train) || has_mask(context.test) {
            outcome
                .warnings
                .push("`memorisation` compares no samples: distances between examples with missing values mean little".to_owned());
            return Ok(());
        }
        let test: Vec<usize> = (0..self.num_examples.get().min(context.test.len())).collect();
        let test = Rows::gather(context.test, &test, &mut Draw::Test.stream(context.seed)).values;
        let shown = if context.test.spec().image_shape().is_some() { NUM_SHOWN.min(num) } else { 0 };
        let (of_samples, originals) = nearest_training_examples(context, &samples, shown)?;
        let (of_test, _) = nearest_training_examples(context, &test, 0)?;
        let distances = |neighbours: &[Neighbour]| -> Vec<f64> { neighbours.iter().map(|neighbour| neighbour.distance).collect() };
        let (sample_distances, test_distances) = (distances(&of_samples), distances(&of_test));
        if copying_threshold(&test_distances, self.quantile) == Some(0.0) {
            let num = test_distances.iter().filter(|distance| **distance == 0.0).count();
            outcome.warnings.push(format!(
                "`copied_samples` counts copies half: {num} of {} test examples are copies of training examples, so that samples cannot be \
                 nearer than them; `copying_probability` compares all distances",
                test_distances.len()
            ));
        }
        for (name, value) in [
            ("copying_probability", copying_probability(&sample_distances, &test_distances)),
            ("copying_score", copying_score(&sample_distances, &test_distances)),
            ("copied_samples", copied_share(&sample_distances, &test_distances, self.quantile)),
        ] {
            outcome.measurements.extend(value.map(|value| Measurement::new(name, value)).transpose()?);
        }
        let mut table = DataTable::new("nearest_training_examples", ["kind", "index", "training_example", "distance"]);
        for (index, neighbour) in of_samples.iter().enumerate() {
            table.push([json!("sample"), json!(index), json!(neighbour.index), json!(neighbour.distance)]);
        }
        outcome.tables.push(table);
        if let Some(shape) = context.test.spec().image_shape() {
            let rows = vec![
                ExampleRow::new("sample", samples[..shown * num_features].to_vec()),
                ExampleRow::new("nearest training image", originals),
            ];
            let content = PictureContent::ImageRows { rows, shape, labels: Vec::new() };
            let title = "samples and the training images nearest to them";
            outcome.pictures.push(Picture::new("nearest_training_images", title, content));
        }
        Ok(())
    }
}
