//! `jacobian`: how the code answers to small changes of an example.
//!
//! Rifai, Vincent, Muller, Glorot & Bengio 2011, "Contractive Auto-Encoders: Explicit Invariance During Feature Extraction", section
//! 5. <https://icml.cc/2011/papers/455_icmlpaper.pdf>

use std::num::NonZeroUsize;

use aelab_core::{DataSpec, Noise, StreamNoise, TrainedModel};
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::metric::ExampleMean;
use crate::metric::info::{MetricInfo, lower, neutral};
use crate::metric::spectrum::{num_above, singular_values};
use crate::pass::{Draw, Rows, for_each_batch_of_first, to_values};
use crate::registry::Measure;
use crate::{DataTable, EvaluationContext, EvaluationError, Line, Measurement, Outcome, Picture, PictureContent};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "jacobian_norm",
        "",
        "Frobenius norm of the matrix of derivatives of the code (before any sampling) by the features of the example, in validation mode, mean over the first `num_examples` test examples (Rifai et al. 2011, Eq. 1)",
    )
    .headline(),
    lower("squared_jacobian_norm", "", "the same norm squared, mean over those examples; the penalty of the contractive autoencoder"),
    neutral(
        "local_dimension",
        "",
        "singular values of that matrix above 0.1 of the largest of the example, mean over those examples (0 where all are 0)",
    )
    .headline(),
    neutral(
        "saturated_units",
        "%",
        "share of units of the codes of those examples below 0.05 or above 0.95; only where all of them lie in [0, 1]",
    )
    .headline(),
    neutral("pca_jacobian_norm", "", "`jacobian_norm` of PCA: the root of its number of components, which are orthonormal"),
];

/// Rows of one backward pass.
const ROWS_AT_ONCE: usize = 1024;
/// Of the largest singular value: what is above counts for the local dimension.
const RELATIVE_THRESHOLD: f64 = 0.1;

/// Derivatives of the code by the example: norm, singular values, saturation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Jacobian {
    /// Test examples, the first ones; all where there are fewer.
    num_examples: NonZeroUsize,
    /// Codes of up to this size have their Jacobian computed exactly, by one backward pass for each unit.
    max_units: usize,
    /// Random projections of the code that the norm is estimated from where it is larger; there are no singular values then.
    num_projections: NonZeroUsize,
}

impl Default for Jacobian {
    fn default() -> Self {
        let positive = |number| NonZeroUsize::new(number).expect("the number is not 0");
        Self { num_examples: positive(100), max_units: 1024, num_projections: positive(256) }
    }
}

impl Measure for Jacobian {
    const NAME: &'static str = "jacobian";
    const SUMMARY: &'static str = "derivatives of the code by the example: norm, singular values, saturation; asked for by name only";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        METRICS.iter().map(|metric| metric.name.to_owned()).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let Some(model) = context.model.differentiable() else {
            let warning = "`jacobian` measures nothing: the model has no derivatives".to_owned();
            return Ok(Outcome { warnings: vec![warning], ..Outcome::default() });
        };
        let mut found = Found::default();
        // One example after another: a batch is made of the rows of its Jacobian.
        for_each_batch_of_first(context.test, self.num_examples.get(), Draw::Test.stream(context.seed), 1, |rows| {
            context.beat()?;
            self.measure_one(model.as_ref(), rows, context, &mut found)
        })?;
        self.outcome(found, context)
    }
}

/// What is known of the examples so far.
#[derive(Default)]
struct Found {
    norm: ExampleMean,
    squared_norm: ExampleMean,
    local_dimension: ExampleMean,
    saturated: ExampleMean,
    /// Whether a unit was outside [0, 1].
    is_unbounded: bool,
    code_size: usize,
    /// Singular values of each example, largest first.
    spectra: Vec<Vec<f64>>,
}

impl Jacobian {
    fn measure_one(
        &self,
        model: &dyn TrainedModel,
        rows: &Rows,
        context: &EvaluationContext<'_>,
        found: &mut Found,
    ) -> Result<(), EvaluationError> {
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let code = conditioned.as_deref().unwrap_or(context.model).encode(batch.x);
        let code_size = code.dims()[1];
        if code_size == 0 {
            return Err(EvaluationError::Shape { what: "code", expected: [1, context.code_size], found: [1, 0] });
        }
        for value in to_values(code, [1, code_size], "code")? {
            found.is_unbounded |= !(0.0..=1.0).contains(&value);
            found.saturated.push(if !(0.05..=0.95).contains(&value) { 100.0 } else { 0.0 });
        }
        found.code_size = code_size;
        let is_exact = code_size <= self.max_units;
        let directions = if is_exact {
            Directions::Units(code_size)
        } else {
            // The same directions for every example.
            let mut noise = StreamNoise(Draw::Jacobian.stream(context.seed));
            let drawn = noise.normal([self.num_projections.get(), code_size], context.device);
            Directions::Drawn(to_values(drawn, [self.num_projections.get(), code_size], "directions")?, code_size)
        };
        let jacobian = vector_jacobian_products(model, rows, &directions, context)?;
        let sum: f64 = jacobian.iter().map(|&value| f64::from(value).powi(2)).sum();
        // |u J|^2 for a standard normal u has the expectation |J|_F^2.
        let squared = if is_exact { sum } else { sum / directions.num() as f64 };
        if !squared.is_finite() {
            return Err(EvaluationError::NonFinite { metric: "jacobian_norm".to_owned(), value: squared });
        }
        found.norm.push(squared.sqrt());
        found.squared_norm.push(squared);
        if is_exact {
            let values = singular_values(&jacobian, code_size)?;
            found.local_dimension.push(num_above(&values, RELATIVE_THRESHOLD) as f64);
            found.spectra.push(values);
        }
        Ok(())
    }

    fn outcome(&self, found: Found, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let num_features = context.test.spec().num_features();
        let mut outcome = Outcome::default();
        outcome.measurements.push(Measurement::new("jacobian_norm", found.norm.mean())?);
        outcome.measurements.push(Measurement::new("squared_jacobian_norm", found.squared_norm.mean())?);
        if found.spectra.is_empty() {
            outcome.warnings.push(format!(
                "`jacobian` estimates the norm from {} random projections and gives no singular values: the code has {} units, more than \
                 `max_units` ({})",
                self.num_projections, found.code_size, self.max_units
            ));
        } else {
            outcome.measurements.push(Measurement::new("local_dimension", found.local_dimension.mean())?);
            let (table, picture) = spectrum(&found.spectra);
            outcome.tables.push(table);
            outcome.pictures.push(picture);
        }
        if !found.is_unbounded {
            outcome.measurements.push(Measurement::new("saturated_units", found.saturated.mean())?);
        }
        // Centring leaves one direction less than there are examples.
        let num_components = context.code_size.min(num_features).min(context.train.len().saturating_sub(1));
        outcome.measurements.push(Measurement::new("pca_jacobian_norm", (num_components as f64).sqrt())?);
        Ok(outcome)
    }
}

/// Rows that a Jacobian is multiplied by from the left.
enum Directions {
    /// Each unit of a code of that size: the Jacobian itself.
    Units(usize),
    /// Row after row, of a code of that size.
    Drawn(Vec<f32>, usize),
}

impl Directions {
    fn num(&self) -> usize {
        match self {
            Directions::Units(code_size) => *code_size,
            Directions::Drawn(values, code_size) => values.len() / code_size,
        }
    }

    /// Rows `start..end`, `[row, code]`.
    fn rows(&self, start: usize, end: usize) -> TensorData {
        match self {
            Directions::Units(code_size) => {
                let mut values = vec![0.0f32; (end - start) * code_size];
                (start..end).enumerate().for_each(|(row, unit)| values[row * code_size + unit] = 1.0);
                TensorData::new(values, [end - start, *code_size])
            }
            Directions::Drawn(values, code_size) => {
                TensorData::new(values[start * code_size..end * code_size].to_vec(), [end - start, *code_size])
            }
        }
    }
}

/// The products of the directions with the Jacobian of the code of one example, `[direction, feature]`.
///
/// The example is repeated, one row per direction: rows do not touch each other, so that one backward pass gives all.
fn vector_jacobian_products(
    model: &dyn TrainedModel,
    rows: &Rows,
    directions: &Directions,
    context: &EvaluationContext<'_>,
) -> Result<Vec<f32>, EvaluationError> {
    let device = context.device.clone().autodiff();
    let [_, num_features] = rows.shape();
    let mut products = Vec::with_capacity(directions.num() * num_features);
    for start in (0..directions.num()).step_by(ROWS_AT_ONCE) {
        let end = directions.num().min(start + ROWS_AT_ONCE);
        let batch = rows.repeat_each(end - start).batch(&device);
        let conditioned = model.conditioned(&batch);
        let x = batch.x.require_grad();
        let codes = conditioned.as_deref().unwrap_or(model).encode(x.clone());
        let along = (codes * Tensor::from_data(directions.rows(start, end), &device)).sum();
        // A code that does not depend on the example has no tape of its own, and the derivative 0.
        let gradients = (along + x.clone().sum() * 0.0).backward();
        let gradient = x.grad(&gradients).unwrap_or_else(|| Tensor::zeros([end - start, num_features], context.device));
        products.extend(to_values(gradient, [end - start, num_features], "derivative")?);
    }
    Ok(products)
}

/// Mean, least and largest of each singular value over the examples, as a table and a picture.
fn spectrum(spectra: &[Vec<f64>]) -> (DataTable, Picture) {
    let mut table = DataTable::new("jacobian_spectrum", ["index", "mean", "least", "largest"]);
    let mut lines: [Vec<[f64; 2]>; 3] = Default::default();
    for index in 0..spectra[0].len() {
        let of_examples = || spectra.iter().map(|values| values[index]);
        let mean = of_examples().sum::<f64>() / spectra.len() as f64;
        let least = of_examples().fold(f64::INFINITY, f64::min);
        let largest = of_examples().fold(0.0, f64::max);
        table.push([json!(index + 1), json!(mean), json!(least), json!(largest)]);
        for (line, value) in lines.iter_mut().zip([mean, least, largest]) {
            line.push([(index + 1) as f64, value]);
        }
    }
    let [mean, least, largest] = lines;
    let line = |name: &str, points, is_baseline| Line { name: name.to_owned(), points, is_baseline };
    let content = PictureContent::Lines {
        lines: vec![line("mean over examples", mean, false), line("least", least, true), line("largest", largest, true)],
        axes: ["index".to_owned(), "singular value".to_owned()],
        logarithmic: [false, false],
    };
    (table, Picture::new("jacobian_spectrum", "singular values of the Jacobian of the encoder", content))
}
