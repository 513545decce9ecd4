//! `memorisation`: whether a model does better on what it was trained on, and whether its samples are copies of it.

use std::num::NonZeroUsize;

use aelab_core::{DataSpec, Examples, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::samples::{conditioned_on_classes, whole_rows};
use crate::metric::ExampleMean;
use crate::metric::data_copying::{copied_share, copying_probability, copying_score};
use crate::metric::info::{MetricInfo, SQUARED_UNITS, lower, neutral};
use crate::pass::{Draw, Rows, for_each_batch_of_first, to_values};
use crate::registry::Measure;
use crate::{
    DataTable, EvaluationContext, EvaluationError, ExampleRow, MAX_PCA_SIDE, Measurement, Neighbour, Outcome, Picture, PictureContent,
    nearest_neighbours,
};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "memorisation_train_sse",
        SQUARED_UNITS,
        "`sse` of the first training examples, as many as test examples are used (at most `num_examples`)",
    ),
    lower("memorisation_test_sse", SQUARED_UNITS, "`sse` of the first test examples, as many"),
    lower("sse_gap", SQUARED_UNITS, "`memorisation_test_sse` less `memorisation_train_sse`").headline(),
    lower("pca_sse_gap", SQUARED_UNITS, "`sse_gap` of PCA with as many components as the model's code has dimensions"),
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
        "samples nearer to a training example than the nearest 1 % of test examples are (`quantile`); about 1 % for samples like test data",
    ),
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
    let num_features = examples.spec().num_features();
    let mut means = [ExampleMean::default(), ExampleMean::default()];
    // PCA knows of no missing values.
    let mut has_pca = num_features.min(context.train.len()) <= MAX_PCA_SIDE;
    for_each_batch_of_first(examples, num, draw.stream(context.seed), context.batch_size, |rows| {
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let reconstruction = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
        let reconstruction: Vec<f64> = reconstruction.into_iter().map(f64::from).collect();
        push_squares(rows, &reconstruction, &mut means[0]);
        has_pca &= rows.mask.is_none();
        if has_pca {
            let (pca, _) = context.pca(Memorisation::NAME)?;
            push_squares(rows, &pca.reconstruct(&rows.values, context.code_size), &mut means[1]);
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
        let samples = to_values(model.decode(codes), [num, num_features], "decoded samples")?;
        if let Some(&value) = samples.iter().find(|value| !value.is_finite()) {
            return Err(EvaluationError::NonFinite { metric: "copying_probability".to_owned(), value: f64::from(value) });
        }
        let of_split = |examples: &dyn Examples, num: usize, draw: Draw| {
            Rows::gather(examples, &(0..num).collect::<Vec<_>>(), &mut draw.stream(context.seed))
        };
        let train = of_split(context.train, context.train.len(), Draw::Train);
        let test = of_split(context.test, self.num_examples.get().min(context.test.len()), Draw::Test);
        if train.mask.is_some() || test.mask.is_some() {
            outcome
                .warnings
                .push("`memorisation` compares no samples: distances between examples with missing values mean little".to_owned());
            return Ok(());
        }
        let nearest = |queries: &[f32]| -> Vec<Neighbour> {
            nearest_neighbours(queries, &train.values, num_features, 1, false).into_iter().flatten().collect()
        };
        let of_samples = nearest(&samples);
        let distances = |neighbours: &[Neighbour]| -> Vec<f64> { neighbours.iter().map(|neighbour| neighbour.distance).collect() };
        let (sample_distances, test_distances) = (distances(&of_samples), distances(&nearest(&test.values)));
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
            let shown = NUM_SHOWN.min(num);
            let originals =
                of_samples[..shown].iter().flat_map(|neighbour| &train.values[neighbour.index * num_features..][..num_features]);
            let rows = vec![
                ExampleRow::new("sample", samples[..shown * num_features].to_vec()),
                ExampleRow::new("nearest training image", originals.copied().collect()),
            ];
            let content = PictureContent::ImageRows { rows, shape, labels: Vec::new() };
            let title = "samples and the training images nearest to them";
            outcome.pictures.push(Picture::new("nearest_training_images", title, content));
        }
        Ok(())
    }
}
