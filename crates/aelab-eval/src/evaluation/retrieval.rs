//! `retrieval`: whether what is near a query is of its class, by codes and by codes of bits.
//!
//! Bits as in semantic hashing (Salakhutdinov & Hinton 2009): each dimension is cut at a threshold.

use std::num::NonZeroU32;

use aelab_core::DataSpec;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear_probe::has_classes;
use super::reconstruction::shown;
use crate::metric::ExampleMean;
use crate::metric::info::{MetricInfo, higher};
use crate::registry::Measure;
use crate::representation::{Representation, Representations, first_labels, is_affordable};
use crate::{
    EvaluationContext, EvaluationError, ExampleRow, Measurement, Outcome, Picture, PictureContent, Tie, average_precision_with_ties,
    nearest_neighbours, precision_at, ties_by_distance,
};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    higher(
        "retrieval_precision",
        "",
        "share of the query's class among the k training codes nearest to the code of a test example, expected over orders of ties (McSherry & Najork 2008); \
         mean over the first test examples (1,000 by default), among the first training examples (10,000 by default)",
    ),
    higher(
        "retrieval_map",
        "",
        "average precision of the ranking of all those training codes by distance (Euclidean by default), ties as there, mean over queries whose class is among them",
    )
    .headline()
    .version(2),
    higher("hamming_precision", "", "`retrieval_precision` by Hamming distance of codes of bits: whether each dimension is above its median over those training codes").version(2),
    higher("hamming_map", "", "`retrieval_map` by that distance").headline()
    .version(2),
    higher(
        "hamming_radius_2_precision",
        "",
        "share of the query's class among training codes at a Hamming distance of at most 2; 0 for a query without any, mean over queries",
    ).version(2),
    higher("pca_retrieval_precision", "", "`retrieval_precision` of the codes of PCA with as many components as the model's code has dimensions"),
    higher("pca_retrieval_map", "", "`retrieval_map` of those codes"),
    higher("pca_hamming_precision", "", "`hamming_precision` of those codes, cut at their medians"),
    higher("pca_hamming_map", "", "`hamming_map` of those codes"),
    higher("pca_hamming_radius_2_precision", "", "`hamming_radius_2_precision` of those codes"),
];

/// Codes further apart are not looked at.
const RADIUS: u32 = 2;
/// Neighbours of each query in the picture.
const NUM_NEIGHBOURS_SHOWN: usize = 7;
/// Cosine distances are compared at this resolution: differences below are rounding.
const COSINE_STEP: f64 = 1e-12;

/// How codes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distance {
    /// Length of the difference.
    #[default]
    Euclidean,
    /// 1 less the cosine of the angle; 1 where a code is 0.
    Cosine,
}

/// Precision of what lies near test codes among training codes, as they are and as bits, beside PCA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retrieval {
    /// Test examples that are looked for, from the first on.
    num_queries: NonZeroU32,
    /// Training examples that are found, from the first on.
    num_database: NonZeroU32,
    /// For each of these, the precision among so many nearest.
    k: Vec<NonZeroU32>,
    /// How codes are compared; codes of bits by Hamming distance in any case.
    distance: Distance,
}

impl Default for Retrieval {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("it is not 0");
        Self {
            num_queries: number(1000),
            num_database: number(10_000),
            k: [1, 10, 100].map(number).to_vec(),
            distance: Distance::Euclidean,
        }
    }
}

impl Measure for Retrieval {
    const NAME: &'static str = "retrieval";
    const SUMMARY: &'static str =
        "precision of the training codes nearest to test codes, as they are and as bits, beside PCA; asked for by name only";
    const NEEDS: &'static str = "data with two classes or more";

    fn applies(&self, data: &DataSpec) -> bool {
        has_classes(data)
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        if !has_classes(data) {
            return Vec::new();
        }
        let prefixes: &[&str] = if is_affordable(data.num_features()) { &["", "pca_"] } else { &[""] };
        let of_kind = |kind: String| {
            let precisions = self.numbers().into_iter().map(|k| format!("{kind}_precision@{k}")).collect::<Vec<_>>();
            precisions.into_iter().chain([format!("{kind}_map")]).collect::<Vec<_>>()
        };
        let of_prefix = |prefix: &&str| {
            let kinds = [format!("{prefix}retrieval"), format!("{prefix}hamming")];
            kinds.into_iter().flat_map(of_kind).chain([format!("{prefix}hamming_radius_2_precision")]).collect::<Vec<_>>()
        };
        prefixes.iter().flat_map(of_prefix).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let (num_database, num_queries) = (self.num_database.get() as usize, self.num_queries.get() as usize);
        let all = Representations::of_first(context, Self::NAME, num_database, num_queries)?;
        let mut outcome = Outcome { warnings: all.warnings.clone(), ..Outcome::default() };
        let labels = match first_labels(context, Self::NAME, num_database, num_queries) {
            Ok(labels) => labels,
            Err(warning) => {
                outcome.warnings.push(warning);
                return Ok(outcome);
            }
        };
        let (numbers, too_large): (Vec<usize>, Vec<usize>) = self.numbers().into_iter().partition(|&k| k <= labels.0.len());
        if !too_large.is_empty() {
            let too_large: Vec<String> = too_large.iter().map(usize::to_string).collect();
            outcome.warnings.push(format!(
                "`retrieval` has no precision at k = {}: there are {} training examples to find",
                too_large.join(", "),
                labels.0.len()
            ));
        }
        for codes in all.of_code_size() {
            let found = match self.distance {
                Distance::Euclidean => by_distance(codes, labels, &numbers, euclidean),
                Distance::Cosine => by_distance(codes, labels, &numbers, cosine),
            };
            push(&format!("{}retrieval", codes.prefix), &numbers, &found, &mut outcome)?;
            let found = by_hamming_distance(codes, labels, &numbers);
            push(&format!("{}hamming", codes.prefix), &numbers, &found, &mut outcome)?;
            let name = format!("{}hamming_radius_2_precision", codes.prefix);
            outcome.measurements.push(Measurement::new(&name, mean(found.iter().map(|query| query.near)))?);
        }
        if let Some(shape) = context.test.spec().image_shape().filter(|_| all.codes.size > 0) {
            outcome.pictures.push(picture(&all, labels.1, shape));
        }
        Ok(outcome)
    }
}

impl Retrieval {
    /// What precision is measured at, each once.
    fn numbers(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self.k.iter().map(|k| k.get() as usize).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// What is kept of the ranking of one query: rankings of all queries would be as large as all their distances.
struct Found {
    /// One for each of the numbers asked for.
    precisions: Vec<f64>,
    /// None where no training example is right.
    average_precision: Option<f64>,
    /// The share of right ones within [`RADIUS`], for distances in bits.
    near: f64,
}

impl Found {
    /// From what there is at each distance, nearest first; there may be nothing.
    fn of(ties: &[Tie], numbers: &[usize]) -> Self {
        Self {
            precisions: numbers.iter().map(|&k| precision_at(ties, k)).collect(),
            average_precision: average_precision_with_ties(ties),
            near: precision_within(ties, RADIUS),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let mut mean = ExampleMean::default();
    values.for_each(|value| mean.push(value));
    mean.mean()
}

fn push(kind: &str, numbers: &[usize], found: &[Found], outcome: &mut Outcome) -> Result<(), EvaluationError> {
    for (at, k) in numbers.iter().enumerate() {
        let precision = mean(found.iter().map(|query| query.precisions[at]));
        outcome.measurements.push(Measurement::new(&format!("{kind}_precision@{k}"), precision)?);
    }
    let average = mean(found.iter().filter_map(|query| query.average_precision));
    if average.is_nan() {
        outcome.warnings.push(format!("`{kind}_map` is not measured: no query has a training example of its class"));
    } else {
        outcome.measurements.push(Measurement::new(&format!("{kind}_map"), average)?);
    }
    Ok(())
}

/// What each test code finds among all training codes.
fn by_distance(
    codes: &Representation,
    (train_labels, test_labels): (&[u32], &[u32]),
    numbers: &[usize],
    distance: impl Fn(&[f32], &[f32]) -> f64 + Sync,
) -> Vec<Found> {
    let of_query = |(query, label): (&[f32], &u32)| {
        let distances: Vec<f64> = codes.train.chunks_exact(codes.size).map(|code| distance(query, code)).collect();
        let is_right: Vec<bool> = train_labels.iter().map(|other| other == label).collect();
        Found::of(&ties_by_distance(&distances, &is_right), numbers)
    };
    codes.test.par_chunks_exact(codes.size).zip(test_labels).map(of_query).collect()
}

/// The square of the distance: the order is the same.
fn euclidean(a: &[f32], b: &[f32]) -> f64 {
    crate::neighbours::squared_distance(a, b)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    let distance = if lengths > 0.0 { 1.0 - dot(a, b) / lengths } else { 1.0 };
    (distance / COSINE_STEP).round()
}

/// The same by Hamming distance: tie `d` holds the training codes at distance `d`.
fn by_hamming_distance(codes: &Representation, (train_labels, test_labels): (&[u32], &[u32]), numbers: &[usize]) -> Vec<Found> {
    let thresholds = medians(&codes.train, codes.size);
    let words = |rows: &[f32]| -> Vec<u64> { rows.chunks_exact(codes.size).flat_map(|row| bits(row, &thresholds)).collect() };
    let num_words = codes.size.div_ceil(64);
    let database = words(&codes.train);
    let of_query = |(query, label): (&[u64], &u32)| {
        let mut ties = vec![Tie::default(); codes.size + 1];
        for (code, other) in database.chunks_exact(num_words).zip(train_labels) {
            let distance: u32 = query.iter().zip(code).map(|(a, b)| (a ^ b).count_ones()).sum();
            let tie = &mut ties[distance as usize];
            tie.num += 1;
            tie.num_right += usize::from(other == label);
        }
        Found::of(&ties, numbers)
    };
    words(&codes.test).par_chunks_exact(num_words).zip(test_labels).map(of_query).collect()
}

/// Whether each value is above its threshold, 64 to a word.
fn bits(row: &[f32], thresholds: &[f64]) -> Vec<u64> {
    let word = |(values, thresholds): (&[f32], &[f64])| {
        let above = values.iter().zip(thresholds).map(|(&value, &threshold)| u64::from(f64::from(value) > threshold));
        above.enumerate().fold(0, |word, (position, bit)| word | bit << position)
    };
    row.chunks(64).zip(thresholds.chunks(64)).map(word).collect()
}

/// The median of each column: of an even number, the mean of the two in the middle.
fn medians(rows: &[f32], size: usize) -> Vec<f64> {
    let of_column = |column: usize| {
        let mut values: Vec<f64> = rows.iter().skip(column).step_by(size).map(|&value| f64::from(value)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
    };
    (0..size).map(of_column).collect()
}

/// The share of right ones within a Hamming distance; 0 where nothing is.
fn precision_within(ties: &[Tie], radius: u32) -> f64 {
    let near = ties.iter().take(radius as usize + 1);
    let (num, num_right) = near.fold((0, 0), |(num, right), tie| (num + tie.num, right + tie.num_right));
    if num > 0 { num_right as f64 / num as f64 } else { 0.0 }
}

/// Some queries and, below each, the images of the nearest training codes.
fn picture(all: &Representations, test_labels: &[u32], shape: [usize; 3]) -> Picture {
    let (codes, raw) = (&all.codes, &all.raw);
    let queries = shown(test_labels.len(), Some(test_labels));
    let rows: Vec<f32> = queries.iter().flat_map(|&index| &codes.test[index * codes.size..][..codes.size]).copied().collect();
    let neighbours = nearest_neighbours(&rows, &codes.train, codes.size, NUM_NEIGHBOURS_SHOWN, false);
    let image = |images: &[f32], index: usize| images[index * raw.size..][..raw.size].to_vec();
    let mut shown = vec![ExampleRow::new("query", queries.iter().flat_map(|&index| image(&raw.test, index)).collect())];
    for place in 0..neighbours.first().map_or(0, Vec::len) {
        let images = neighbours.iter().flat_map(|near| image(&raw.train, near[place].index)).collect();
        shown.push(ExampleRow::new(format!("neighbour {}", place + 1), images));
    }
    let labels = queries.iter().map(|&index| test_labels[index].to_string()).collect();
    let title = format!("test images and the training images with the nearest codes ({} dimensions)", codes.size);
    Picture::new("retrieval", title, PictureContent::ImageRows { rows: shown, shape, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_those_of_columns_and_bits_are_above_them() {
        assert_eq!(medians(&[1.0, 5.0, 3.0, 5.0, 2.0, 7.0], 2), [2.0, 5.0]);
        assert_eq!(medians(&[1.0, 4.0], 1), [2.5]);
        assert_eq!(bits(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0]), [0b110]);
        let mut row = vec![0.0; 70];
        row[64] = 1.0;
        assert_eq!(bits(&row, &[0.5; 70]), [0, 1]);
    }
}
