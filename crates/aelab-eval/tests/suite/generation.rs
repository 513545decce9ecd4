//! Metrics of generated examples against SciPy and the formulas of the original repository (values by
//! scripts/reference/generation.py), and the evaluation on models whose every answer is known.

use aelab_core::Domain;
use aelab_eval::{Balls, EvaluationError, Outcome, PictureContent, frechet_distance, overlap};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{Fixed, Setting, Table, cases, value};

#[derive(Deserialize)]
struct Case {
    name: String,
    size: usize,
    real: Vec<f32>,
    fake: Vec<f32>,
    frechet_distance: f64,
    overlaps: Vec<ExpectedOverlap>,
}

#[derive(Deserialize)]
struct ExpectedOverlap {
    k: usize,
    precision: f64,
    recall: f64,
    density: f64,
    coverage: f64,
}

fn golden() -> Vec<Case> {
    let cases: Vec<Case> = cases(include_str!("../golden/generation.json"));
    assert!(cases.len() >= 20);
    cases
}

#[test]
fn the_frechet_distance_equals_the_reference_also_where_covariances_are_singular() {
    for Case { name, size, real, fake, frechet_distance: expected, .. } in golden() {
        for (first, second) in [(&real, &fake), (&fake, &real)] {
            let found = frechet_distance(first, second, size).unwrap();
            assert!((found - expected).abs() < 1e-10 * (1.0 + expected), "{name}, {size}: {found}, expected {expected}");
        }
    }
}

#[test]
fn equal_sets_are_at_distance_0_and_shifted_ones_at_the_square_of_the_shift() {
    let points: Vec<f32> = Table::random(50, &[64], 1).values;
    // Fewer points than values, too.
    for points in [&points[..], &points[..10 * 64]] {
        assert!(frechet_distance(points, points, 64).unwrap() < 1e-12);
        let shifted: Vec<f32> = points.iter().map(|value| (value * 1024.0).round() / 1024.0 + 0.5).collect();
        let rounded: Vec<f32> = shifted.iter().map(|value| value - 0.5).collect();
        assert!((frechet_distance(&rounded, &shifted, 64).unwrap() - 16.0).abs() < 1e-12);
    }
    assert_eq!(frechet_distance(&[1.0; 6], &[3.0; 4], 2).unwrap(), 8.0);
}

#[test]
fn precision_recall_density_and_coverage_equal_the_original_formulas_ties_and_duplicates_included() {
    for Case { name, size, real, fake, overlaps, .. } in golden() {
        for expected in overlaps {
            let balls = |points| Balls::new(points, size, expected.k).unwrap();
            let found = overlap(&balls(&real), &balls(&fake));
            for (metric, found, expected) in [
                ("precision", found.precision, expected.precision),
                ("recall", found.recall, expected.recall),
                ("density", found.density, expected.density),
                ("coverage", found.coverage, expected.coverage),
            ] {
                assert!((found - expected).abs() < 1e-12, "{name}, {size}: {metric} {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn as_many_points_as_neighbours_have_no_balls() {
    assert!(Balls::new(&[0.0, 1.0, 2.0], 1, 3).is_none());
    assert!(Balls::new(&[0.0, 1.0, 2.0], 1, 0).is_none());
    assert!(Balls::new(&[], 1, 1).is_none());
    assert!(Balls::new(&[0.0, 1.0, 2.0], 1, 2).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_points_does_not_matter_and_swapping_the_sets_swaps_precision_and_recall(
        real in proptest::collection::vec(-4i8..4, 16..60), fake in proptest::collection::vec(-4i8..4, 16..60), rotation in 0usize..20,
    ) {
        let rows = |values: &[i8]| -> Vec<f32> { values[..values.len() / 2 * 2].iter().map(|&value| f32::from(value)).collect() };
        let (real, fake) = (rows(&real), rows(&fake));
        let (mut other_real, mut other_fake) = (real.clone(), fake.clone());
        other_real.rotate_left(2 * (rotation % (real.len() / 2)));
        other_fake.rotate_right(2 * (rotation % (fake.len() / 2)));
        let balls = |points| Balls::new(points, 2, 3).unwrap();
        let found = overlap(&balls(&real), &balls(&fake));
        prop_assert_eq!(found, overlap(&balls(&other_real), &balls(&other_fake)));
        let swapped = overlap(&balls(&fake), &balls(&real));
        prop_assert_eq!((found.precision, found.recall), (swapped.recall, swapped.precision));
        let (first, second) = (frechet_distance(&real, &fake, 2).unwrap(), frechet_distance(&other_real, &other_fake, 2).unwrap());
        prop_assert!((first - second).abs() < 1e-12 * (1.0 + first));
    }
}

const IMAGE: [usize; 3] = [1, 12, 12];

/// Images of which the class can be seen: that of class `c` has row `c` bright.
fn with_classes(num: usize, seed: u64) -> Table {
    let mut table = Table::random(num, &IMAGE, seed).labelled(4);
    for (index, image) in table.values.chunks_exact_mut(144).enumerate() {
        for (row, pixels) in image.chunks_exact_mut(12).enumerate() {
            let bright = if row / 3 == index % 4 { 0.8 } else { 0.0 };
            pixels.iter_mut().for_each(|pixel| *pixel = *pixel * 0.2 + bright);
        }
    }
    table
}

fn setting(model: Fixed) -> Setting {
    Setting::new(model, with_classes(200, 1), with_classes(60, 2))
}

fn variational(code_size: usize) -> Fixed {
    Fixed { variational: true, ..Fixed::new(1.0, code_size, 144) }
}

fn measure(setting: &Setting, options: Value) -> Result<Outcome, EvaluationError> {
    setting.measure_with("generation", options)
}

#[test]
fn a_perfect_reconstruction_is_at_distance_0_and_the_same_sample_over_and_over_has_no_variety() {
    let outcome = measure(&setting(variational(3)), json!({})).unwrap();
    assert_eq!(value(&outcome, "classifier_accuracy"), 1.0);
    assert!(value(&outcome, "reconstruction_frechet_distance") < 1e-9);
    // Grey images are nowhere near, and all alike.
    assert_eq!(value(&outcome, "sample_class_entropy"), 0.0);
    assert_eq!(value(&outcome, "mode_coverage"), 0.25);
    assert_eq!((value(&outcome, "sample_recall"), value(&outcome, "sample_coverage")), (0.0, 0.0));
    let [of_samples, of_train] = ["frechet_distance", "frechet_distance_train"].map(|name| value(&outcome, name));
    assert!(of_samples > 10.0 * of_train, "{of_samples} and {of_train}");
    // The codes are the first three pixels, 0.2 times uniform with 0.8 more for one class in four: 0.12 is their variance.
    assert_eq!(value(&outcome, "active_units"), 3.0);
    let table = outcome.tables.iter().find(|table| table.name == "generation").unwrap();
    let precisions: Vec<(&str, bool)> = table.rows.iter().map(|row| (row[0].as_str().unwrap(), row[3].is_null())).collect();
    // A reconstruction belongs to its example: precision and recall are for what is drawn.
    let expected = [("samples", false), ("train", false), ("reconstructions", true), ("pca_reconstructions", true), ("pca_samples", false)];
    assert_eq!(precisions, expected);
    let table = outcome.tables.iter().find(|table| table.name == "generated_classes").unwrap();
    assert_eq!(table.rows.len(), 4);
    let column = table.columns.iter().position(|column| column == "test").unwrap();
    assert!(table.rows.iter().all(|row| row[column] == json!(15)));
}

#[test]
fn neither_batches_nor_a_cache_change_anything_and_all_seeds_share_one_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let mut setting = setting(variational(2));
    let fresh = measure(&setting, json!({})).unwrap();
    setting.cache = Some(folder.path().to_owned());
    setting.batch_size = 50;
    assert_eq!(measure(&setting, json!({})).unwrap(), fresh);
    let classifier = || {
        let mut files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let path = files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("classifier-1-")).unwrap();
        (std::fs::read(&path).unwrap(), path)
    };
    let (bytes, path) = classifier();
    assert_eq!(measure(&setting, json!({})).unwrap(), fresh);
    setting.seed = 2;
    let other = measure(&setting, json!({})).unwrap();
    assert_eq!(value(&other, "frechet_distance_train"), {
        std::fs::remove_file(&path).unwrap();
        value(&measure(&setting, json!({})).unwrap(), "frechet_distance_train")
    });
    assert_eq!(classifier().0, bytes);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    // A file that is damaged is made anew.
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(measure(&setting, json!({})).unwrap(), other);
    assert_eq!(classifier().0, bytes);
}

#[test]
fn data_drawn_anew_at_each_access_have_one_classifier_for_all_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut setting = setting(variational(2));
    for table in [&mut setting.train, &mut setting.test] {
        table.binarised = true;
        table.spec.domain = Domain::Binary;
    }
    setting.cache = Some(folder.path().to_owned());
    let of_seed = |setting: &mut Setting, seed| {
        setting.seed = seed;
        measure(setting, json!({"pictures": false})).unwrap()
    };
    let (first, second) = (of_seed(&mut setting, 1), of_seed(&mut setting, 2));
    assert_ne!(value(&first, "frechet_distance"), value(&second, "frechet_distance"));
    let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("classifier")).count(), 1);
}

#[test]
fn samples_of_a_conditioned_model_have_the_classes_of_the_test_examples() {
    let mut setting = setting(Fixed { adds_class: true, ..variational(2) });
    setting.test.spec.domain = Domain::Real;
    setting.train.spec.domain = Domain::Real;
    // What is decoded is 0.5 and the class: samples of four kinds, which a constant would not be.
    let outcome = measure(&setting, json!({})).unwrap();
    let alike = measure(&Setting { model: variational(2), ..setting }, json!({})).unwrap();
    assert_ne!(value(&outcome, "frechet_distance"), value(&alike, "frechet_distance"));
    let PictureContent::ImageRows { rows, .. } = &outcome.pictures[1].content else { panic!("rows of images") };
    // The second image is the decoded code: each row of the picture has its class.
    assert_eq!(rows.iter().map(|row| row.values[144]).collect::<Vec<_>>(), [0.5, 1.5, 2.5, 3.5]);
}

#[test]
fn a_model_without_a_prior_has_reconstructions_and_pictures_only() {
    let outcome = measure(&setting(Fixed::new(0.5, 2, 144)), json!({})).unwrap();
    let names: Vec<&str> = outcome.measurements.iter().map(|found| found.name.as_str()).collect();
    assert!(names.contains(&"reconstruction_frechet_distance") && names.contains(&"pca_frechet_distance"));
    assert!(!names.contains(&"frechet_distance") && !names.contains(&"sample_precision") && !names.contains(&"mode_coverage"));
    let pictures: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(pictures, ["interpolation", "neighbourhood", "class_neighbourhood", "traversal", "manifold"]);
    assert!(outcome.pictures[4].title.contains("training codes"));
}

#[test]
fn pictures_are_as_long_as_their_labels_say() {
    let outcome = measure(&setting(variational(3)), json!({})).unwrap();
    let pictures: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(pictures, ["interpolation", "neighbourhood", "class_neighbourhood", "traversal"]);
    for picture in &outcome.pictures {
        let PictureContent::ImageRows { rows, shape: IMAGE, labels } = &picture.content else { panic!("rows of images") };
        assert!(rows.iter().all(|row| row.values.len() == labels.len() * 144), "{}", picture.name);
    }
    let PictureContent::ImageRows { rows, labels, .. } = &outcome.pictures[0].content else { panic!("rows of images") };
    // Two pairs of four classes, each in two ways.
    assert_eq!((rows.len(), labels.len()), (4, 10));
    assert!(measure(&setting(variational(3)), json!({"pictures": false})).unwrap().pictures.is_empty());
}

#[test]
fn data_without_classes_are_compared_by_their_principal_components_and_that_is_said() {
    let mut setting = setting(variational(2));
    for table in [&mut setting.train, &mut setting.test] {
        (table.labels, table.class_names, table.spec.num_classes) = (None, None, None);
    }
    let outcome = measure(&setting, json!({})).unwrap();
    assert!(outcome.warnings[0].contains("64 principal components"), "{:?}", outcome.warnings);
    assert!(outcome.measurements.iter().all(|found| !found.name.contains("class") && !found.name.contains("mode")));
    assert!(value(&outcome, "reconstruction_frechet_distance") < 1e-9);
    assert!(value(&outcome, "frechet_distance_train") < value(&outcome, "frechet_distance"));
    // One class is none.
    let mut setting = self::setting(variational(2));
    for table in [&mut setting.train, &mut setting.test] {
        table.labels = Some(vec![0; table.values.len() / 144]);
        table.spec.num_classes = Some(1);
    }
    assert!(measure(&setting, json!({})).unwrap().warnings[0].contains("64 principal components"));
}

#[test]
fn what_cannot_be_compared_is_said() {
    let mut setting = setting(variational(2));
    setting.test.num_observed = Some(100);
    let outcome = measure(&setting, json!({})).unwrap();
    assert!(outcome.measurements.is_empty() && outcome.warnings[0].contains("missing values"));
    let outcome = measure(&self::setting(variational(2)), json!({"num_samples": 5})).unwrap();
    assert!(outcome.warnings[0].contains("too few"), "{:?}", outcome.warnings);
    assert!(value(&outcome, "frechet_distance") > 0.0);
    assert!(!outcome.measurements.iter().any(|found| found.name == "sample_precision"));
    let outcome = measure(&self::setting(variational(2)), json!({"num_samples": 1})).unwrap();
    assert!(outcome.warnings[0].contains("at least two") && outcome.measurements.len() == 1, "{outcome:?}");
    for (options, path) in [(json!({"num_samples": 0}), "num_samples"), (json!({"k": 0}), "k"), (json!({"pictures": 1}), "pictures")] {
        assert_eq!((aelab_eval::find("generation").unwrap().parse)(options).unwrap_err().path, path);
    }
    let mut setting = self::setting(Fixed { scale: f32::NAN, ..variational(2) });
    assert!(matches!(measure(&setting, json!({})), Err(EvaluationError::NonFinite { .. })));
    setting.test.values.clear();
    assert!(matches!(measure(&setting, json!({})), Err(EvaluationError::EmptySplit { split: "test", .. })));
    let mut setting = self::setting(variational(2));
    setting.train.values.clear();
    assert!(matches!(measure(&setting, json!({})), Err(EvaluationError::EmptySplit { split: "training", .. })));
}

#[test]
fn tables_and_series_are_compared_without_pictures() {
    let mut setting = setting(variational(2));
    for table in [&mut setting.train, &mut setting.test] {
        table.spec.event_shape = vec![144];
        table.spec.domain = Domain::Real;
    }
    let outcome = measure(&setting, json!({})).unwrap();
    assert!(outcome.pictures.is_empty());
    assert_eq!(value(&outcome, "classifier_accuracy"), 1.0);
}

#[test]
fn what_was_trained_on_some_classes_is_compared_with_test_examples_of_these() {
    let mut all = setting(variational(2));
    for table in [&mut all.train, &mut all.test] {
        table.normal_classes = Some(vec![0, 2]);
    }
    let outcome = measure(&all, json!({"pictures": false})).unwrap();
    assert!(outcome.warnings[0].contains("test examples that are of the `normal_classes`"), "{:?}", outcome.warnings);
    // The same as if there were no other test examples.
    let mut only = setting(variational(2));
    let labels = only.test.labels.take().unwrap();
    let kept: Vec<usize> = (0..labels.len()).filter(|index| labels[*index].is_multiple_of(2)).collect();
    only.test.values = kept.iter().flat_map(|index| only.test.values[index * 144..][..144].to_vec()).collect();
    only.test.labels = Some(kept.iter().map(|index| labels[*index]).collect());
    let expected = measure(&only, json!({"pictures": false})).unwrap();
    for name in ["frechet_distance", "sample_precision", "reconstruction_frechet_distance", "classifier_accuracy", "mode_coverage"] {
        assert_eq!(value(&outcome, name), value(&expected, name), "{name}");
    }
}

#[test]
fn a_classifier_of_one_class_is_none_however_many_the_data_declare() {
    let mut setting = setting(variational(2));
    setting.train.labels.as_mut().unwrap().fill(1);
    setting.train.normal_classes = Some(vec![1]);
    let outcome = measure(&setting, json!({"pictures": false})).unwrap();
    assert!(outcome.warnings.iter().any(|warning| warning.contains("principal components")), "{:?}", outcome.warnings);
    assert!(!outcome.measurements.iter().any(|found| found.name == "classifier_accuracy"));
}

#[test]
fn codes_that_are_not_compared_with_classes_are_those_of_a_model_that_knows_them() {
    // Examples that are all the same: what varies in their codes is the class that the model was told.
    let active = |adds_class: bool| {
        let mut setting = setting(Fixed { adds_class, ..variational(2) });
        for table in [&mut setting.train, &mut setting.test] {
            table.values.fill(0.5);
        }
        value(&measure(&setting, json!({"pictures": false})).unwrap(), "active_units")
    };
    assert_eq!((active(true), active(false)), (2.0, 0.0));
}
