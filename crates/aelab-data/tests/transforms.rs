//! Laws of splits, scaling and binarization, seen from outside.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use aelab_core::{Domain, Examples, Purpose, Stream, stream};
use aelab_data::{DataError, DataSplit, Dataset, LoadContext, find};
use proptest::prelude::*;
use serde_json::{Value, json};

fn load_from(folder: &std::path::Path, name: &str, section: Value) -> Result<Dataset, DataError> {
    let config = (find(name).unwrap().parse)(section).unwrap();
    config.check().unwrap();
    config.load(&LoadContext { base_dir: folder.to_owned(), cache_dir: folder.join("cache"), offline: true })
}

fn digits(section: Value) -> Dataset {
    load_from("".as_ref(), "digits", section).unwrap()
}

/// A table with one column, training and test rows apart, nothing held out.
fn column(train: &[f32], test: &[f32], mut section: Value) -> Result<Dataset, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let lines = |values: &[f32]| values.iter().map(|value| format!("{value}\n")).collect::<String>();
    std::fs::write(folder.path().join("train.csv"), lines(train)).unwrap();
    std::fs::write(folder.path().join("test.csv"), lines(test)).unwrap();
    section["path"] = json!("train.csv");
    section["test_path"] = json!("test.csv");
    section["num_valid"] = json!(0);
    section["header"] = json!(false);
    load_from(folder.path(), "csv", section)
}

fn some_stream(step: u64) -> Stream {
    stream(3, Purpose::Training, 0, step)
}

fn rows(split: &DataSplit, indices: &[usize], step: u64) -> Vec<f32> {
    let mut out = Vec::new();
    split.gather(indices, &mut some_stream(step), &mut out);
    out
}

fn all(split: &DataSplit) -> Vec<f32> {
    rows(split, &(0..split.len()).collect::<Vec<_>>(), 0)
}

/// Mean and standard deviation of feature `at` of rows of `width`, or of everything.
fn moments(values: &[f32], at: Option<usize>, width: usize) -> (f64, f64) {
    let chosen: Vec<f64> =
        values.iter().enumerate().filter(|(index, _)| at.is_none_or(|at| index % width == at)).map(|(_, &v)| f64::from(v)).collect();
    let mean = chosen.iter().sum::<f64>() / chosen.len() as f64;
    let variance = chosen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / chosen.len() as f64;
    (mean, variance.sqrt())
}

#[test]
fn every_feature_of_a_standardized_training_split_has_mean_0_and_deviation_1_or_is_constant() {
    let dataset = digits(json!({"scale": "standardize"}));
    assert_eq!(dataset.spec().domain, Domain::Real);
    let values = all(&dataset.train);
    let grey = all(&digits(json!({})).train);
    for feature in 0..64 {
        let (mean, deviation) = moments(&values, Some(feature), 64);
        let constant = moments(&grey, Some(feature), 64).1 == 0.0;
        assert!(mean.abs() < 1e-5, "feature {feature} has mean {mean}");
        assert!((deviation - if constant { 0.0 } else { 1.0 }).abs() < 1e-4, "feature {feature} has deviation {deviation}");
    }
}

#[test]
fn standardizing_over_the_whole_set_keeps_the_contrast_between_features() {
    let values = all(&digits(json!({"scale": {"standardize": {"per": "dataset"}}})).train);
    let (mean, deviation) = moments(&values, None, 64);
    assert!(mean.abs() < 1e-5 && (deviation - 1.0).abs() < 1e-4);
    assert!(moments(&values, Some(0), 64).0 < -0.7, "the corner is always dark");
}

#[test]
fn statistics_come_from_the_training_split_alone() {
    // Mean 2, standard deviation sqrt(8/3) = 1.632993.
    let dataset = column(&[0.0, 2.0, 4.0], &[10.0, 2.0], json!({"scale": "standardize"})).unwrap();
    let expected = [4.898_98, 0.0];
    assert!(all(&dataset.test).iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{:?}", all(&dataset.test));
    let dataset = column(&[0.0, 2.0, 4.0], &[10.0, 1.0, -3.0], json!({"scale": "unit_interval"})).unwrap();
    assert_eq!(all(&dataset.train), [0.0, 0.5, 1.0]);
    assert_eq!(all(&dataset.test), [1.0, 0.25, 0.0], "what lies outside the training range is clamped");
    assert_eq!(dataset.spec().domain, Domain::UnitInterval);
}

#[test]
fn the_unit_interval_of_each_feature_or_of_the_whole_set() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.csv"), "0,10\n5,30\n").unwrap();
    let load = |per: &str| {
        let section = json!({"path": "t.csv", "num_valid": 0, "num_test": 0, "scale": {"unit_interval": {"per": per}}});
        all(&load_from(folder.path(), "csv", section).unwrap().train)
    };
    assert_eq!(load("feature"), [0.0, 0.0, 1.0, 1.0]);
    let expected = [0.0, 10.0 / 30.0, 5.0 / 30.0, 1.0];
    assert!(load("dataset").iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
}

#[test]
fn a_known_range_is_fitted_to_nothing_and_left_by_nothing() {
    let section = json!({"scale": {"known_range": {"low": 0, "high": 16}}});
    let dataset = column(&[4.0, 8.0], &[16.0], section.clone()).unwrap();
    assert_eq!((all(&dataset.train), all(&dataset.test)), (vec![0.25, 0.5], vec![1.0]));
    let error = column(&[4.0, 8.0], &[1.0, 17.0], section).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "test.csv: row 1, column 0 is 17, outside [0, 16], which `scale: known_range` needs (rows and columns count from 0)"
        ),
        "{error}"
    );
}

#[test]
fn binarization_refuses_values_that_are_no_probabilities() {
    let error = column(&[0.5, 1.5], &[0.0], json!({"binarize": "static"})).unwrap_err().to_string();
    assert!(
        error.contains("train.csv: row 1, column 0 is 1.5, outside [0, 1], which binarization without `scale: unit_interval`"),
        "{error}"
    );
    assert_eq!(all(&column(&[0.5, 1.0], &[0.0], json!({"binarize": {"threshold": 0.5}})).unwrap().train), [0.0, 1.0]);
}

#[test]
fn a_threshold_compares_the_scaled_value() {
    let grey = all(&digits(json!({})).train);
    let dataset = digits(json!({"binarize": {"threshold": 0.25}}));
    let expected: Vec<f32> = grey.iter().map(|&value| if value > 0.25 { 1.0 } else { 0.0 }).collect();
    assert_eq!(all(&dataset.train), expected);
    assert_eq!(dataset.spec().domain, Domain::Binary);
}

#[test]
fn static_binarization_is_drawn_once_by_the_split_seed_for_each_row() {
    let dataset = digits(json!({"binarize": "static"}));
    let first = all(&dataset.train);
    assert!(first.iter().all(|&value| value == 0.0 || value == 1.0));
    let indices: Vec<usize> = (0..dataset.train.len()).collect();
    assert_eq!(first, rows(&dataset.train, &indices, 99), "another stream gives the same values");
    assert_eq!(first, all(&digits(json!({"binarize": "static"})).train), "another process would give the same values");
    assert_ne!(first, all(&digits(json!({"binarize": "static", "split_seed": 1})).train));
    // Fewer examples are the same examples with the same bits: find them by their row.
    let few = digits(json!({"binarize": "static", "num_train": 50}));
    let images: Vec<&[f32]> = first.chunks(64).collect();
    assert!(all(&few.train).chunks(64).all(|image| images.contains(&image)));
    let (drawn, grey) = (moments(&first, None, 64).0, moments(&all(&digits(json!({})).train), None, 64).0);
    // Standard deviation of the mean of 91,968 draws: below 0.0017.
    assert!((drawn - grey).abs() < 0.007, "{drawn} against {grey}");
}

#[test]
fn dynamic_binarization_follows_its_stream_and_is_right_on_average() {
    let grey = digits(json!({"num_train": 3}));
    let dataset = digits(json!({"num_train": 3, "binarize": "dynamic"}));
    let indices = [0, 1, 2];
    assert_eq!(rows(&dataset.train, &indices, 0), rows(&dataset.train, &indices, 0));
    assert_ne!(rows(&dataset.train, &indices, 0), rows(&dataset.train, &indices, 1));
    let probabilities = rows(&grey.train, &indices, 0);
    let mut sums = vec![0.0; probabilities.len()];
    let draws = 4000;
    for step in 0..draws {
        for (sum, value) in sums.iter_mut().zip(rows(&dataset.train, &indices, step)) {
            assert!(value == 0.0 || value == 1.0);
            *sum += f64::from(value);
        }
    }
    for (sum, &probability) in sums.iter().zip(&probabilities) {
        let (mean, probability) = (sum / draws as f64, f64::from(probability));
        let deviation = (probability * (1.0 - probability) / draws as f64).sqrt();
        // 192 pixels: beyond 5 standard deviations once in 10,000 runs; the streams are fixed, so never by chance.
        assert!((mean - probability).abs() <= 5.0 * deviation, "{mean} against {probability}");
    }
}

#[test]
fn the_training_split_is_left_alone_by_what_is_held_out_of_use() {
    let dataset = digits(json!({"num_train": 100, "num_valid": 20, "num_test": 30, "split_seed": 5}));
    assert_eq!((dataset.train.len(), dataset.valid.len(), dataset.test.len()), (100, 20, 30));
    assert_eq!(dataset.train.labels().unwrap().len(), 100);
    assert_eq!(dataset.test.class_names().unwrap()[9], "9");
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn an_example_that_is_not_there_is_a_mistake_of_the_program() {
    let dataset = digits(json!({"num_train": 3}));
    rows(&dataset.train, &[3], 0);
}

proptest! {
    #[test]
    fn gathering_equals_reading_row_by_row(
        indices in prop::collection::vec(0usize..200, 0..60),
        run in 0usize..150,
        section in prop::sample::select(vec![
            json!({"num_train": 200}),
            json!({"num_train": 200, "scale": "standardize"}),
            json!({"num_train": 200, "scale": "unit_interval"}),
            json!({"num_train": 200, "binarize": "static"}),
            json!({"num_train": 200, "binarize": {"threshold": 0.5}}),
        ]),
    ) {
        let train = digits(section).train;
        // A contiguous run in the middle, which takes the fast path.
        let indices: Vec<usize> = indices.iter().copied().chain(run..run + 50).chain(indices.iter().copied()).collect();
        let one_by_one: Vec<f32> = indices.iter().flat_map(|&index| rows(&train, &[index], 0)).collect();
        let mut out = vec![-1.0];
        train.gather(&indices, &mut some_stream(0), &mut out);
        prop_assert_eq!(out[0], -1.0, "gathering appends");
        prop_assert_eq!(&out[1..], one_by_one.as_slice());
    }
}
