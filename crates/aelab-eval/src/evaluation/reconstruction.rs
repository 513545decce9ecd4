//! `reconstruction`: how far what comes out is from what went in.

use std::collections::BTreeMap;

use aelab_core::{DataSpec, StepContext, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metric::ExampleMean;
use crate::metric::bce::cross_entropy;
use crate::metric::errors::{ErrorMeans, ExampleErrors, ReconstructionErrors, applicable};
use crate::pass::{Draw, Rows, for_each_batch, to_values};
use crate::registry::Measure;
use crate::{BarSeries, DataTable, EvaluationContext, EvaluationError, ExampleRow, Measurement, Outcome, Pca, Picture, PictureContent};

const METRICS: &[&str] = &["sse", "mse", "mae", "bce", "psnr", "ssim", "ms_ssim"];
/// Up to this many classes, the picture shows two images of each.
const MAX_CLASSES_SHOWN: usize = 10;
/// Images in the picture otherwise.
const NUM_SHOWN: usize = 10;
/// Examples of either kind in the picture of the worst and the best.
const NUM_EXTREMES: usize = 10;
/// Series of either kind: a panel takes more room than an image.
const NUM_EXTREME_SERIES: usize = 4;
/// Examples that are measured at once at most: all that is computed of them, partly in double precision, stays in the caches.
const EXAMPLES_AT_ONCE: usize = 256;
/// Classes in the picture of bars.
const MAX_BARS: usize = 30;

/// Reconstruction errors on the test split, and test images beside their reconstructions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reconstruction {
    /// Whether pictures and the table by class show what PCA of the same code size makes of the examples.
    pca: bool,
}

impl Default for Reconstruction {
    fn default() -> Self {
        Self { pca: true }
    }
}

impl Measure for Reconstruction {
    const NAME: &'static str = "reconstruction";
    const DISPLAY_ONLY: &'static [&'static str] = &["pca"];
    const SUMMARY: &'static str = "errors between test examples and their reconstructions, by class, too, and pictures of both";
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
        let mut errors = ReconstructionErrors::new(data);
        let mut cross_entropies = ExampleMean::default();
        let mut has_logits = data.domain.is_unit_interval();
        let is_compared = self.pca && (context.test.labels().is_some() || data.image_shape().is_some());
        let mut warnings: Vec<String> = context.measured_on_training_values(Self::NAME).into_iter().collect();
        if let Some(reason) = context.pca_impossible().filter(|_| is_compared) {
            warnings.push(format!("`reconstruction` has no PCA beside the model: {reason}"));
        }
        let pca = if is_compared && context.has_pca() { Some(&context.pca(Self::NAME)?.0) } else { None };
        let mut classes = Classes::new(data, pca.is_some());
        let mut extremes = Extremes::new(if data.image_shape().is_some() { NUM_EXTREMES } else { NUM_EXTREME_SERIES });
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size.min(EXAMPLES_AT_ONCE), |rows| {
            context.beat()?;
            let batch = rows.batch(context.device);
            let conditioned = context.model.conditioned(&batch);
            let model = conditioned.as_deref().unwrap_or(context.model);
            if has_logits {
                match model.decode_logits(model.encode(batch.x.clone())) {
                    Some(logits) => push_cross_entropies(rows, &to_values(logits, rows.shape(), "logits")?, &mut cross_entropies),
                    None => has_logits = false,
                }
            }
            let reconstruction = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
            let of_examples = errors.push(&rows.values, &reconstruction, rows.mask.as_deref());
            if rows.labels.is_some() {
                classes.push(rows, &of_examples, pca, context.code_size);
            }
            extremes.push(rows, &reconstruction, &of_examples);
            Ok(())
        })?;
        let mut measurements = errors.measurements("", METRICS)?;
        if has_logits {
            let after_mae = 3;
            measurements.insert(after_mae, Measurement::new("bce", cross_entropies.mean())?);
        }
        let mut pictures = match data.image_shape() {
            Some(shape) => vec![self.picture(context, shape, pca)?],
            None => Vec::new(),
        };
        pictures.extend(extremes.picture(context, pca));
        let names = context.test.class_names().unwrap_or_default();
        pictures.extend(classes.picture(names, context));
        Ok(Outcome { measurements, pictures, tables: classes.table(names).into_iter().collect(), warnings, ..Outcome::default() })
    }
}

impl Reconstruction {
    fn picture(&self, context: &EvaluationContext<'_>, shape: [usize; 3], pca: Option<&Pca>) -> Result<Picture, EvaluationError> {
        let indices = shown(context.test.len(), context.test.labels());
        let rows = Rows::gather(context.test, &indices, &mut Draw::Pictures.stream(context.seed));
        let size = rows.shape();
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let mut noise = StreamNoise(Draw::Corruption.stream(context.seed));
        let mut step = StepContext { progress: context.progress, learning_rate: 0.0, noise: &mut noise };
        let corrupted = model.corrupted(batch.x.clone(), &mut step);
        let reconstructions = to_values(model.reconstruct(corrupted.clone().unwrap_or(batch.x)), size, "reconstruction")?;
        let corrupted = corrupted.map(|tensor| to_values(tensor, size, "corrupted input")).transpose()?;
        let pca = pca.map(|pca| pca_rows(pca, &rows.values, context.code_size));
        let mut shown = vec![ExampleRow::new("test image", rows.values)];
        shown.extend(corrupted.map(|values| ExampleRow::new("corrupted", values)));
        shown.push(ExampleRow::new("reconstruction", reconstructions));
        shown.extend(pca.map(|values| ExampleRow::new(context.pca_caption(), values)));
        let labels = rows.labels.iter().flatten().map(u32::to_string).collect();
        let title = format!("test examples and their reconstructions, {}-dimensional code", context.code_size);
        Ok(Picture::new("reconstruction", title, PictureContent::ImageRows { rows: shown, shape, labels }))
    }
}

/// What PCA makes of examples.
fn pca_rows(pca: &Pca, values: &[f32], code_size: usize) -> Vec<f32> {
    pca.reconstruct(values, code_size).into_iter().map(|value| value as f32).collect()
}

/// The errors of each class.
struct Classes<'a> {
    data: &'a DataSpec,
    has_pca: bool,
    /// Class, number of its examples, their errors, and those of PCA.
    classes: BTreeMap<u32, (u64, ErrorMeans, ExampleMean)>,
}

impl<'a> Classes<'a> {
    fn new(data: &'a DataSpec, has_pca: bool) -> Self {
        Self { data, has_pca, classes: BTreeMap::new() }
    }

    fn push(&mut self, rows: &Rows, errors: &[ExampleErrors], pca: Option<&Pca>, code_size: usize) {
        let of_pca = pca.map_or_else(Vec::new, |pca| pca.squared_errors(&rows.values, code_size));
        for (index, (class, errors)) in rows.labels.iter().flatten().zip(errors).enumerate() {
            let (num, means, pca) = self.classes.entry(*class).or_insert_with(|| (0, ErrorMeans::new(self.data), ExampleMean::default()));
            *num += 1;
            means.push(errors);
            if let Some(&error) = of_pca.get(index) {
                pca.push(error);
            }
        }
    }

    fn table(&self, names: &[String]) -> Option<DataTable> {
        let (_, first, _) = self.classes.values().next()?;
        // PSNR may be absent for one class only: its column depends on the data.
        let is_shown = |name: &str, value: Option<f64>| if name == "psnr" { self.data.domain.is_unit_interval() } else { value.is_some() };
        let shown: Vec<&str> = first.values().into_iter().filter(|(name, value)| is_shown(name, *value)).map(|(name, _)| name).collect();
        let columns = ["class", "name", "number"].into_iter().chain(shown.iter().copied()).chain(self.has_pca.then_some("pca_sse"));
        let mut table = DataTable::new("reconstruction_per_class", columns);
        for (&class, (num, means, pca)) in &self.classes {
            let name = names.get(class as usize).map_or(Value::Null, |name| Value::from(name.as_str()));
            let values = means
                .values()
                .into_iter()
                .filter(|(name, _)| shown.contains(name))
                .map(|(_, value)| value.map_or(Value::Null, Value::from));
            let pca = self.has_pca.then(|| Value::from(pca.mean()));
            table.push([Value::from(class), name, Value::from(*num)].into_iter().chain(values).chain(pca));
        }
        Some(table)
    }

    /// Bars of the squared error, for two classes or more.
    fn picture(&self, names: &[String], context: &EvaluationContext<'_>) -> Option<Picture> {
        if !(2..=MAX_BARS).contains(&self.classes.len()) {
            return None;
        }
        let groups = self.classes.keys().map(|&class| names.get(class as usize).cloned().unwrap_or_else(|| class.to_string())).collect();
        let bars = |name: String, heights: Vec<f64>| BarSeries { name, heights, half_widths: Vec::new() };
        let mut series =
            vec![bars("model".to_owned(), self.classes.values().map(|(_, means, _)| means.values()[0].1.unwrap_or(f64::NAN)).collect())];
        if self.has_pca {
            series.push(bars(context.pca_caption(), self.classes.values().map(|(.., pca)| pca.mean()).collect()));
        }
        let axis = "SSE (squared units per example)".to_owned();
        Some(Picture::new("reconstruction_per_class", "error by class", PictureContent::Bars { groups, series, axis }))
    }
}

/// The examples with the largest and the smallest squared error, as they were drawn for the metrics.
struct Extremes {
    num: usize,
    /// The largest error first.
    worst: Vec<Extreme>,
    /// The smallest error first.
    best: Vec<Extreme>,
}

#[derive(Clone)]
struct Extreme {
    error: f64,
    x: Vec<f32>,
    reconstruction: Vec<f32>,
    mask: Option<Vec<f32>>,
}

impl Extremes {
    fn new(num: usize) -> Self {
        Self { num, worst: Vec::new(), best: Vec::new() }
    }

    /// Of equal errors the earlier example stands first.
    fn push(&mut self, rows: &Rows, reconstructions: &[f32], errors: &[ExampleErrors]) {
        let [_, num_features] = rows.shape();
        for (index, errors) in errors.iter().enumerate() {
            let error = errors.squared;
            for (kept, is_before) in [(&mut self.worst, f64::gt as fn(&f64, &f64) -> bool), (&mut self.best, f64::lt)] {
                let place = kept.partition_point(|other| !is_before(&error, &other.error));
                if place < self.num {
                    let of_row = |values: &[f32]| values[index * num_features..][..num_features].to_vec();
                    let mask = rows.mask.as_deref().map(of_row);
                    kept.insert(place, Extreme { error, x: of_row(&rows.values), reconstruction: of_row(reconstructions), mask });
                    kept.truncate(self.num);
                }
            }
        }
    }

    /// The worst in order, then the best, labelled with their errors; `None` for data that are neither images nor series.
    fn picture(self, context: &EvaluationContext<'_>, pca: Option<&Pca>) -> Option<Picture> {
        let data = context.test.spec();
        let (num_worst, num_best) = (self.worst.len(), self.best.len());
        let (what, one) = if data.image_shape().is_some() { ("test images", "test image") } else { ("test series", "test series") };
        let all: Vec<Extreme> = self.worst.into_iter().chain(self.best).collect();
        let mut rows = vec![
            ExampleRow::new(one, all.iter().flat_map(|example| example.x.clone()).collect()),
            ExampleRow::new("reconstruction", all.iter().flat_map(|example| example.reconstruction.clone()).collect()),
        ];
        if let Some(pca) = pca {
            rows.push(ExampleRow::new(context.pca_caption(), pca_rows(pca, &rows[0].values, context.code_size)));
        }
        let labels = all.iter().map(|example| short(example.error)).collect();
        let content = match (data.image_shape(), &data.event_shape[..]) {
            (Some(shape), _) => PictureContent::ImageRows { rows, shape, labels },
            (None, &[num_steps, num_channels]) => {
                let is_hidden: Vec<bool> = all
                    .iter()
                    .flat_map(|example| (0..example.x.len()).map(|index| example.mask.as_ref().is_some_and(|mask| mask[index] == 0.0)))
                    .collect();
                for row in &mut rows {
                    row.values.iter_mut().zip(&is_hidden).filter(|(_, hidden)| **hidden).for_each(|(value, _)| *value = f32::NAN);
                }
                PictureContent::SeriesRows { rows, shape: [num_steps, num_channels], labels }
            }
            _ => return None,
        };
        let title = format!("the {num_worst} {what} with the largest squared errors, then the {num_best} with the smallest");
        Some(Picture::new("reconstruction_extremes", title, content))
    }
}

/// Three digits of an error.
fn short(error: f64) -> String {
    if !error.is_finite() || error == 0.0 {
        return error.to_string();
    }
    let decimals = 2 - error.abs().log10().floor() as i32;
    if (0..=5).contains(&decimals) {
        format!("{error:.*}", decimals as usize)
    } else if decimals < 0 && error.abs() < 1e7 {
        format!("{error:.0}")
    } else {
        format!("{error:.2e}")
    }
}

/// The cross-entropy of each example, summed over what was observed of it.
fn push_cross_entropies(rows: &Rows, logits: &[f32], cross_entropies: &mut ExampleMean) {
    let [_, num_features] = rows.shape();
    for (index, logits) in logits.chunks_exact(num_features).enumerate() {
        cross_entropies.push(if rows.mask.is_none() {
            cross_entropy(&rows.values[index * num_features..][..num_features], logits)
        } else {
            let (x, features) = rows.observed(index);
            let of_observed: Vec<f32> = features.into_iter().map(|feature| logits[feature]).collect();
            cross_entropy(&x, &of_observed)
        });
    }
}

/// Positions of the images to show: the first two of each class in the order of the classes, or the first
/// ten where there are no classes or too many.
pub(super) fn shown(num_examples: usize, labels: Option<&[u32]>) -> Vec<usize> {
    if let Some(labels) = labels {
        let mut classes: Vec<u32> = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() <= MAX_CLASSES_SHOWN {
            let of_class =
                |&class: &u32| labels.iter().enumerate().filter(move |&(_, &label)| label == class).map(|(index, _)| index).take(2);
            return classes.iter().flat_map(of_class).collect();
        }
    }
    (0..num_examples.min(NUM_SHOWN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_labelled_with_three_digits() {
        assert_eq!([12.345, 0.0012345, 123_456.7, 0.0, 1e-9].map(short), ["12.3", "0.00123", "123457", "0", "1.00e-9"]);
        assert_eq!(short(f64::NAN), "NaN");
    }

    #[test]
    fn two_images_of_each_class_are_shown_or_the_first_ten() {
        assert_eq!(shown(6, Some(&[1, 0, 1, 1, 2, 0])), [1, 5, 0, 2, 4]);
        assert_eq!(shown(3, None), [0, 1, 2]);
        assert_eq!(shown(100, Some(&(0..100).collect::<Vec<u32>>())), (0..10).collect::<Vec<_>>());
    }
}
