//! `sparsity`: how few units carry a code, and whether they are the atoms that the data was made of.
//!
//! Cunningham, Ewart, Riggs, Huben & Sharkey 2023, "Sparse Autoencoders Find Highly Interpretable Features in Language Models".
//! <https://arxiv.org/abs/2309.08600>

use std::num::NonZeroUsize;

use aelab_core::{DataSpec, Noise, StreamNoise};
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::codes::Codes;
use crate::metric::ExampleMean;
use crate::metric::dictionary::{max_cosines, mean_max_cosine};
use crate::metric::info::{MetricInfo, higher, lower, neutral};
use crate::metric::sparseness::{hoyer_sparseness, treves_rolls_sparseness};
use crate::pass::{Draw, Rows, for_each_batch, to_values};
use crate::registry::Measure;
use crate::{DataTable, EvaluationContext, EvaluationError, ExampleRow, Line, Measurement, Outcome, Picture, PictureContent};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    neutral("code_l0", "units", "units of the code further from 0 than `threshold`, mean over examples").headline(),
    lower("dead_units", "%", "units of the code that are so at no test example").headline(),
    lower(
        "fvu",
        "",
        "fraction of variance unexplained: squared error of the reconstruction over squared distance to the training mean, both summed over all examples and observed features",
    )
    .version(2)
    .headline(),
    neutral("hoyer_sparseness", "", "sparseness of the code of an example (Hoyer 2004, Eq. 4), mean over examples whose code is not 0"),
    neutral(
        "treves_rolls_sparseness",
        "",
        "sparseness of the code of an example (Treves & Rolls 1991 as in Vinje & Gallant 2000), mean over examples whose code is not 0",
    ),
    higher(
        "mmcs",
        "",
        "mean max cosine similarity: the largest cosine of each true atom with a learned one, mean over true atoms (Sharkey et al. 2022); for linear decoders and data with known atoms; the sign counts",
    )
    .headline(),
    higher("mmcs_learned", "", "the same the other way: of each learned atom that is not 0 with a true one, mean over learned atoms"),
    higher("recovered_atoms", "%", "true atoms whose largest cosine with a learned one is above 0.9"),
];

/// Cosine from which on a true atom counts as recovered.
const RECOVERED: f64 = 0.9;
/// Codes of examples, and random ones, that the decoder's linearity is tried on.
const NUM_TRIED: usize = 64;
/// How far a decoder may be from the sum of its atoms, in lengths of that sum.
const LINEAR_WITHIN: f64 = 1e-3;
/// What rounding to single precision may add, in lengths of what is decoded and of what a code of zeros is decoded as.
const ROUNDED_WITHIN: f64 = 1e-4;
/// Rows that are decoded at once.
const ROWS_AT_ONCE: usize = 1024;

/// Active and dead units, unexplained variance, sparseness, recovery of known atoms, and the examples that units answer to most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sparsity {
    /// A unit is active where the magnitude of its value is above this.
    #[serde(deserialize_with = "not_negative")]
    threshold: f64,
    /// Units in the picture of examples, those most often active.
    num_units: NonZeroUsize,
    /// Test images of each of these units, those with the largest values.
    num_images: NonZeroUsize,
}

impl Default for Sparsity {
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).expect("the number is not 0");
        Self { threshold: 0.0, num_units: number(12), num_images: number(10) }
    }
}

fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("`threshold` is a magnitude, 0 or more, but is {value}")))
    }
}

impl Measure for Sparsity {
    const NAME: &'static str = "sparsity";
    const DISPLAY_ONLY: &'static [&'static str] = &["num_units", "num_images"];
    const SUMMARY: &'static str = "active and dead units, unexplained variance, recovery of known atoms; asked for by name only";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        METRICS.iter().map(|metric| metric.name.to_owned()).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let codes = context.test_codes(Self::NAME)?;
        if codes.size == 0 {
            let warning = "`sparsity` measures nothing: the code has no units".to_owned();
            return Ok(Outcome { warnings: vec![warning], ..Outcome::default() });
        }
        let activity = Activity::of(codes, self.threshold);
        let mut outcome = Outcome { warnings: context.measured_on_training_values(Self::NAME).into_iter().collect(), ..Outcome::default() };
        let mut add = |name: &str, value: f64| -> Result<(), EvaluationError> {
            outcome.measurements.push(Measurement::new(name, value)?);
            Ok(())
        };
        add("code_l0", activity.l0)?;
        add("dead_units", 100.0 * activity.units.iter().filter(|unit| unit.num_active == 0).count() as f64 / codes.size as f64)?;
        let (mut hoyer, mut treves_rolls) = (ExampleMean::default(), ExampleMean::default());
        for code in codes.values.chunks_exact(codes.size) {
            hoyer_sparseness(code).into_iter().for_each(|value| hoyer.push(value));
            treves_rolls_sparseness(code).into_iter().for_each(|value| treves_rolls.push(value));
        }
        if hoyer.mean().is_finite() {
            add("hoyer_sparseness", hoyer.mean())?;
            add("treves_rolls_sparseness", treves_rolls.mean())?;
        }
        match unexplained(context)? {
            Some(fvu) => outcome.measurements.push(Measurement::new("fvu", fvu)?),
            None => outcome.warnings.push("`sparsity` gives no `fvu`: the test examples are all equal to the training mean".to_owned()),
        }
        if let Some(atoms) = context.test.dictionary() {
            recovery(context, atoms, codes, &mut outcome)?;
        }
        outcome.tables.push(activity.table(codes));
        outcome.pictures.push(activity.picture(codes.len()));
        if let Some(shape) = context.test.spec().image_shape() {
            outcome.pictures.extend(self.examples(context, codes, &activity, shape));
        }
        Ok(outcome)
    }
}

/// What one unit does over a split.
#[derive(Debug, Clone, Default)]
struct Unit {
    num_active: usize,
    /// Of magnitudes where it is active.
    sum: f64,
    /// Magnitude.
    largest: f32,
    /// Where that is, the first of equals.
    at: usize,
}

/// What all units do.
struct Activity {
    l0: f64,
    units: Vec<Unit>,
}

impl Activity {
    fn of(codes: &Codes, threshold: f64) -> Self {
        let mut units = vec![Unit::default(); codes.size];
        for (example, code) in codes.values.chunks_exact(codes.size).enumerate() {
            for (unit, &value) in units.iter_mut().zip(code) {
                let magnitude = value.abs();
                if magnitude > unit.largest {
                    (unit.largest, unit.at) = (magnitude, example);
                }
                if f64::from(magnitude) > threshold {
                    unit.num_active += 1;
                    unit.sum += f64::from(magnitude);
                }
            }
        }
        let num_active: usize = units.iter().map(|unit| unit.num_active).sum();
        Self { l0: num_active as f64 / codes.len() as f64, units }
    }

    fn table(&self, codes: &Codes) -> DataTable {
        let mut table = DataTable::new("unit_activity", ["unit", "active", "mean_where_active", "largest", "example_of_largest"]);
        for (index, unit) in self.units.iter().enumerate() {
            let share = unit.num_active as f64 / codes.len() as f64;
            let mean = if unit.num_active > 0 { json!(unit.sum / unit.num_active as f64) } else { Value::Null };
            let at = if unit.largest > 0.0 { json!(unit.at) } else { Value::Null };
            table.push([json!(index + 1), json!(share), mean, json!(unit.largest), at]);
        }
        table
    }

    fn picture(&self, num_examples: usize) -> Picture {
        let mut shares: Vec<f64> = self.units.iter().map(|unit| 100.0 * unit.num_active as f64 / num_examples as f64).collect();
        shares.sort_by(|a, b| b.total_cmp(a));
        let points = shares.iter().enumerate().map(|(rank, &share)| [(rank + 1) as f64, share]).collect();
        let content = PictureContent::Lines {
            lines: vec![Line { name: "units".to_owned(), points, is_baseline: false }],
            axes: ["unit, by activity".to_owned(), "test examples at which it is active (%)".to_owned()],
            logarithmic: [false, false],
        };
        Picture::new("unit_activity", "how often the units of the code are active", content)
    }
}

/// Squared error over squared distance to the training mean; `None` where the latter is 0.
fn unexplained(context: &EvaluationContext<'_>) -> Result<Option<f64>, EvaluationError> {
    let moments = context.train_moments(Sparsity::NAME)?;
    let num_features = context.test.spec().num_features();
    let (mut error, mut variance) = (0.0f64, 0.0f64);
    for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
        context.beat()?;
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let reconstruction = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
        for (index, (x, reconstruction)) in
            rows.values.chunks_exact(num_features).zip(reconstruction.chunks_exact(num_features)).enumerate()
        {
            let weight = |feature: usize| rows.mask.as_ref().map_or(1.0, |mask| f64::from(mask[index * num_features + feature]));
            let (mut of_example, mut from_mean) = (0.0, 0.0);
            for feature in 0..num_features {
                let x = f64::from(x[feature]);
                of_example += weight(feature) * (x - f64::from(reconstruction[feature])).powi(2);
                from_mean += weight(feature) * (x - moments.mean[feature]).powi(2);
            }
            error += of_example;
            variance += from_mean;
        }
        Ok(())
    })?;
    Ok((variance > 0.0).then(|| error / variance))
}

/// Compares the atoms of the model's decoder with those the data was made of.
fn recovery(context: &EvaluationContext<'_>, atoms: &[f32], codes: &Codes, outcome: &mut Outcome) -> Result<(), EvaluationError> {
    let num_features = context.test.spec().num_features();
    let Some(learned) = decoder_atoms(context, codes)? else {
        let warning = "`sparsity` gives no `mmcs`: the decoder is not linear, so that it has no atoms to compare with the true ones";
        outcome.warnings.push(warning.to_owned());
        return Ok(());
    };
    let alive: Vec<f32> =
        learned.chunks_exact(num_features).filter(|atom| atom.iter().any(|&value| value != 0.0)).flatten().copied().collect();
    let cosines = max_cosines(atoms, &learned, num_features);
    let recovered = cosines.iter().filter(|&&cosine| cosine > RECOVERED).count();
    outcome.measurements.push(Measurement::new("mmcs", mean_max_cosine(atoms, &learned, num_features))?);
    if !alive.is_empty() {
        outcome.measurements.push(Measurement::new("mmcs_learned", mean_max_cosine(&alive, atoms, num_features))?);
    }
    outcome.measurements.push(Measurement::new("recovered_atoms", 100.0 * recovered as f64 / cosines.len() as f64)?);
    let mut table = DataTable::new("dictionary_recovery", ["atom", "max_cosine"]);
    for (atom, &cosine) in cosines.iter().enumerate() {
        table.push([json!(atom), json!(cosine)]);
    }
    outcome.tables.push(table);
    Ok(())
}

/// What each unit of the code adds to what is decoded, `[unit, feature]`; `None` where that depends on the other units.
fn decoder_atoms(context: &EvaluationContext<'_>, codes: &Codes) -> Result<Option<Vec<f32>>, EvaluationError> {
    let num_features = context.test.spec().num_features();
    let size = codes.size;
    let decode = |codes: Vec<f32>| -> Result<Vec<f32>, EvaluationError> {
        let num = codes.len() / size;
        let z = Tensor::from_data(TensorData::new(codes, [num, size]), context.device);
        to_values(context.model.decode(z), [num, num_features], "decoded units")
    };
    let origin = decode(vec![0.0; size])?;
    let mut atoms = Vec::with_capacity(size * num_features);
    for start in (0..size).step_by(ROWS_AT_ONCE) {
        let end = size.min(start + ROWS_AT_ONCE);
        let mut units = vec![0.0f32; (end - start) * size];
        (start..end).enumerate().for_each(|(row, unit)| units[row * size + unit] = 1.0);
        for decoded in decode(units)?.chunks_exact(num_features) {
            atoms.extend(decoded.iter().zip(&origin).map(|(value, origin)| value - origin));
        }
    }
    // Decoded codes are the sum of their atoms, if the decoder is linear. Codes of examples alone would not show it: those of a dead
    // model are all 0.
    let mut tried = codes.values[..codes.len().min(NUM_TRIED) * size].to_vec();
    let mut noise = StreamNoise(Draw::Sparsity.stream(context.seed));
    tried.extend(to_values(noise.normal([NUM_TRIED, size], context.device), [NUM_TRIED, size], "random codes")?);
    for (code, decoded) in tried.chunks_exact(size).zip(decode(tried.clone())?.chunks_exact(num_features)) {
        let mut sum: Vec<f64> = origin.iter().map(|&value| f64::from(value)).collect();
        for (&value, atom) in code.iter().zip(atoms.chunks_exact(num_features)).filter(|(value, _)| **value != 0.0) {
            sum.iter_mut().zip(atom).for_each(|(sum, &atom)| *sum += f64::from(value) * f64::from(atom));
        }
        let length = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let of_row = |row: &[f32]| length(&mut row.iter().map(|&value| f64::from(value)));
        let apart = length(&mut sum.iter().zip(decoded).map(|(sum, &value)| sum - f64::from(value)));
        let moved = length(&mut decoded.iter().zip(&origin).map(|(&value, &origin)| f64::from(value) - f64::from(origin)));
        if apart > LINEAR_WITHIN * moved + ROUNDED_WITHIN * (of_row(decoded) + of_row(&origin)) {
            return Ok(None);
        }
    }
    Ok(Some(atoms))
}

impl Sparsity {
    /// The test images that the most often active units answer to most; none where no unit is ever active.
    fn examples(&self, context: &EvaluationContext<'_>, codes: &Codes, activity: &Activity, shape: [usize; 3]) -> Option<Picture> {
        let mut units: Vec<usize> = (0..codes.size).filter(|&unit| activity.units[unit].num_active > 0).collect();
        units.sort_by_key(|&unit| std::cmp::Reverse(activity.units[unit].num_active));
        units.truncate(self.num_units.get());
        let num_images = self.num_images.get().min(codes.len());
        let row = |&unit: &usize| {
            let magnitude = |example: usize| codes.row(example)[unit].abs();
            let mut order: Vec<usize> = (0..codes.len()).collect();
            order.sort_by(|&a, &b| magnitude(b).total_cmp(&magnitude(a)));
            order.truncate(num_images);
            let images = Rows::gather(context.test, &order, &mut Draw::Pictures.stream(context.seed)).values;
            let share = 100.0 * activity.units[unit].num_active as f64 / codes.len() as f64;
            ExampleRow::new(format!("unit {} ({share:.0} %)", unit + 1), images)
        };
        let rows: Vec<ExampleRow> = units.iter().map(row).collect();
        let title = "test images with the largest values of the most often active units";
        let content = PictureContent::ImageRows { rows, shape, labels: Vec::new() };
        (!units.is_empty()).then(|| Picture::new("unit_examples", title, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_active_above_the_threshold_and_dead_where_it_never_is() {
        let codes = Codes { values: vec![0.0, -2.0, 0.5, 0.0, 3.0, 0.4], size: 3 };
        let activity = Activity::of(&codes, 0.0);
        assert_eq!(activity.l0, 2.0);
        assert_eq!(activity.units.iter().map(|unit| unit.num_active).collect::<Vec<_>>(), [0, 2, 2]);
        assert_eq!((activity.units[1].largest, activity.units[1].at), (3.0, 1));
        let activity = Activity::of(&codes, 0.5);
        assert_eq!((activity.l0, activity.units[2].num_active), (1.0, 0));
    }
}
