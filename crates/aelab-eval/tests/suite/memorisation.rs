//! `memorisation` against SciPy (values by scripts/reference/derivatives.py) and on samples that are known.

use std::collections::BTreeMap;

use aelab_eval::{PictureContent, copied_share, copying_probability, copying_score, sse};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::common::{Fixed, Setting, Table, cases};

#[derive(Deserialize)]
struct Case {
    name: String,
    samples: Vec<f64>,
    test: Vec<f64>,
    probability: f64,
    score: f64,
    shares: BTreeMap<String, f64>,
}

#[test]
fn the_statistics_of_distances_equal_scipy() {
    let cases: Vec<Case> = cases(include_str!("../golden/memorisation.json"));
    assert_eq!(cases.len(), 6);
    for Case { name, samples, test, probability, score, shares } in cases {
        let found = copying_probability(&samples, &test).unwrap();
        assert!((found - probability).abs() < 1e-12, "{name}: {found}, SciPy {probability}");
        let found = copying_score(&samples, &test).unwrap();
        assert!((found - score).abs() < 1e-9, "{name}: {found}, SciPy {score}");
        for (quantile, share) in shares {
            let found = copied_share(&samples, &test, quantile.parse().unwrap()).unwrap();
            assert!((found - share).abs() < 1e-9, "{name} at {quantile}: {found}, NumPy {share}");
        }
    }
}

#[test]
fn copies_are_certain_far_samples_impossible_and_nothing_says_nothing() {
    let test = [1.0, 2.0, 3.0];
    assert_eq!(copying_probability(&[0.0; 5], &test), Some(1.0));
    assert_eq!(copying_probability(&[9.0; 5], &test), Some(0.0));
    assert_eq!(copying_probability(&test, &test), Some(0.5));
    assert_eq!(copied_share(&[0.0; 5], &test, 0.01), Some(100.0));
    // Of test examples that are copies themselves, copies are as near.
    assert_eq!(copied_share(&[0.0; 5], &[0.0, 0.0, 3.0], 0.01), Some(50.0));
    for (samples, test) in [(&[][..], &test[..]), (&test[..], &[][..])] {
        assert_eq!(
            (copying_probability(samples, test), copying_score(samples, test), copied_share(samples, test, 0.5)),
            (None, None, None)
        );
    }
}

fn setting() -> Setting {
    let model = Fixed { variational: true, ..Fixed::new(0.9, 2, 12) };
    Setting::new(model, Table::random(50, &[1, 3, 4], 1), Table::random(30, &[1, 3, 4], 2))
}

#[test]
fn as_many_training_as_test_examples_are_compared() {
    let setting = setting();
    let values = setting.values("memorisation");
    let (train, test) = (&setting.train.values[..30 * 12], &setting.test.values);
    let scaled = |x: &[f32]| x.iter().map(|x| x * 0.9).collect::<Vec<f32>>();
    assert!((values["memorisation_train_sse"] - sse(train, &scaled(train), 12)).abs() < 1e-12);
    assert!((values["memorisation_test_sse"] - sse(test, &scaled(test), 12)).abs() < 1e-12);
    assert_eq!(values["sse_gap"], values["memorisation_test_sse"] - values["memorisation_train_sse"]);
    // What PCA was fitted on is reconstructed better than what it was not.
    assert!(values["pca_sse_gap"] > 0.0);
}

#[test]
fn samples_that_are_training_examples_are_found_to_be() {
    // Every sample of the model is 0.5 everywhere.
    let mut setting = setting();
    setting.train.values[7 * 12..8 * 12].fill(0.5);
    let outcome = setting.measure("memorisation").unwrap();
    let values = setting.values("memorisation");
    assert_eq!((values["copying_probability"], values["copied_samples"]), (1.0, 100.0));
    assert!(values["copying_score"] < -5.0);
    let PictureContent::ImageRows { rows, .. } = &outcome.pictures[0].content else { panic!("rows of images") };
    assert_eq!(rows[0].values, rows[1].values);
    assert_eq!(outcome.tables[0].rows[3][2], 7);
    setting.model.variational = false;
    let outcome = setting.measure("memorisation").unwrap();
    assert_eq!((outcome.measurements.len(), outcome.pictures.len()), (4, 0));
}

#[test]
fn copies_are_counted_and_a_warning_is_given_where_the_test_split_has_copies_of_training_examples() {
    let mut setting = setting();
    setting.train.values[7 * 12..8 * 12].fill(0.5);
    assert!(setting.measure("memorisation").unwrap().warnings.is_empty());
    setting.test.values[..12].copy_from_slice(&setting.train.values[..12]);
    let outcome = setting.measure("memorisation").unwrap();
    assert_eq!(setting.values("memorisation")["copied_samples"], 50.0);
    assert!(outcome.warnings[0].contains("1 of 30 test examples are copies"), "{:?}", outcome.warnings);
}

#[test]
fn neighbours_are_found_in_every_chunk_of_a_large_training_split() {
    // Examples of 4,096 features are gone through 512 at a time; the copy is the last but one of 1,030.
    let mut setting = setting();
    setting.model.num_features = 4096;
    setting.train = Table::random(1030, &[1, 64, 64], 1);
    setting.test = Table::random(3, &[1, 64, 64], 2);
    setting.train.values[1028 * 4096..1029 * 4096].fill(0.5);
    let outcome = setting.measure_with("memorisation", json!({"num_samples": 4})).unwrap();
    assert!(outcome.tables[0].rows.iter().all(|row| row[2] == 1028 && row[3] == 0.0), "{:?}", outcome.tables[0].rows);
    let PictureContent::ImageRows { rows, .. } = &outcome.pictures[0].content else { panic!("rows of images") };
    assert!(rows[1].values.iter().all(|value| *value == 0.5));
}

#[test]
fn missing_values_are_left_out_of_errors_and_of_comparisons() {
    let mut setting = setting();
    setting.train.num_observed = Some(6);
    setting.test.num_observed = Some(6);
    let outcome = setting.measure("memorisation").unwrap();
    let names: Vec<&str> = outcome.measurements.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["memorisation_train_sse", "memorisation_test_sse", "sse_gap"]);
    assert_eq!(outcome.warnings.len(), 1);
    let seen: Vec<f32> = setting.test.values.chunks(12).flat_map(|row| &row[..6]).copied().collect();
    let scaled: Vec<f32> = seen.iter().map(|x| x * 0.9).collect();
    assert!((setting.values("memorisation")["memorisation_test_sse"] - sse(&seen, &scaled, 6)).abs() < 1e-12);
}

proptest! {
    #[test]
    fn only_the_order_of_distances_matters_and_exchanging_the_sides_turns_the_sign(
        samples in prop::collection::vec(0u8..20, 1..30), test in prop::collection::vec(0u8..20, 1..30),
    ) {
        let as_is = |values: &[u8]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let warped = |values: &[u8]| values.iter().map(|&value| f64::from(value).exp()).collect::<Vec<_>>();
        let of = |a: &[f64], b: &[f64]| (copying_probability(a, b).unwrap(), copying_score(a, b).unwrap());
        let found = of(&as_is(&samples), &as_is(&test));
        prop_assert_eq!(found, of(&warped(&samples), &warped(&test)));
        let exchanged = of(&as_is(&test), &as_is(&samples));
        prop_assert!((found.0 + exchanged.0 - 1.0).abs() < 1e-12 && (found.1 + exchanged.1).abs() < 1e-9);
    }
}
