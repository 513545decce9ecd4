//! The conditional Gaussian against scikit-learn (values by scripts/reference/denoising.py) and theory, and `inpainting` on
//! models whose every answer is known.

use std::collections::BTreeMap;

use crate::common::{Fixed, Setting, Table, cases};
use aelab_core::{Domain, Noise, Purpose, StreamNoise, stream};
use aelab_eval::{EvaluationError, Gaussian, Outcome, Pca, PictureContent, mse, psnr};
use burn::tensor::Device;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    name: String,
    num_features: usize,
    train: Vec<f32>,
    hidden: Vec<usize>,
    ridge: f64,
    test: Vec<f32>,
    expected: Vec<f64>,
}

fn gaussian(table: &Table) -> Gaussian {
    Gaussian::of(&Pca::fit(table, &stream(1, Purpose::Evaluation, 0, 0)).unwrap())
}

fn marks(num_features: usize, hidden: &[usize]) -> Vec<bool> {
    (0..num_features).map(|feature| hidden.contains(&feature)).collect()
}

fn measure(setting: &Setting, options: Value) -> Result<Outcome, EvaluationError> {
    setting.measure_with("inpainting", options)
}

fn values(setting: &Setting, options: Value) -> BTreeMap<String, f64> {
    setting.values_with("inpainting", options)
}

#[test]
fn the_conditional_gaussian_is_ridge_regression_of_the_hidden_on_the_observed() {
    let cases: Vec<Case> = cases(include_str!("../golden/conditional_gaussian.json"));
    assert!(cases.len() >= 40);
    for Case { name, num_features, train, hidden, ridge, test, expected } in cases {
        let predictor =
            gaussian(&Table::new(&[num_features], Domain::UnitInterval, train)).conditional(&marks(num_features, &hidden), ridge).unwrap();
        assert_eq!(predictor.hidden(), hidden);
        let found = predictor.predict(&test);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9, "{name}, {hidden:?} hidden, ridge {ridge}: {found}, expected {expected}");
        }
    }
}

#[test]
fn many_masks_are_measured_as_few_are() {
    // 20 masks of 1,024 features have more weights than are held at once; with as many masks as test examples, each has its own.
    let image = |num, seed| Table::random(num, &[1, 32, 32], seed);
    let setting = Setting::new(Fixed::new(1.0, 2, 1024), image(60, 1), image(40, 2));
    let options = |num_masks| json!({"holes": [{"random": {"rate": 0.5}}], "num_masks": num_masks});
    let all = values(&setting, options(40));
    // The masks of the first test examples do not depend on how many there are.
    let mut first = setting;
    first.test.values.truncate(35 * 1024);
    let (some, others) = (values(&first, options(40)), values(&first, options(35)));
    assert_eq!(some, others);
    assert!(all["gaussian_inpainting_mse@random_0.5"] != some["gaussian_inpainting_mse@random_0.5"]);
}

#[test]
fn what_follows_linearly_is_recovered_and_hidden_values_are_not_looked_at() {
    let rows = Table::random(40, &[2], 3).values;
    let table: Vec<f32> = rows.chunks_exact(2).flat_map(|row| [row[0], row[1], row[0] - 2.0 * row[1] + 1.0, 0.5]).collect();
    let fitted = gaussian(&Table::new(&[4], Domain::Real, table.clone()));
    let predictor = fitted.conditional(&marks(4, &[2]), 1e-12 * fitted.mean_variance()).unwrap();
    let spoilt: Vec<f32> = table.chunks_exact(4).flat_map(|row| [row[0], row[1], f32::NAN, row[3]]).collect();
    for (row, found) in table.chunks_exact(4).zip(predictor.predict(&spoilt)) {
        assert!((found - f64::from(row[2])).abs() < 1e-6, "{found}, expected {}", row[2]);
    }
}

/// `x = (a, a + 0.5 b, 2 c - b)` with standard normal `a`, `b`, `c`: given the last two, `a` has mean `(0.2 b-part ..)` and the
/// variance that the Schur complement of the covariance says.
#[test]
fn on_gaussian_data_the_error_is_the_conditional_variance() {
    let points = |num, seed| {
        let mut noise = StreamNoise(stream(seed, Purpose::Transform, 0, 0));
        let drawn: Vec<f32> = noise.normal([num, 3], &Device::flex()).into_data().try_into_vec().unwrap();
        drawn.chunks_exact(3).flat_map(|z| [z[0], z[0] + 0.5 * z[1], 2.0 * z[2] - z[1]]).collect::<Vec<f32>>()
    };
    let predictor = gaussian(&Table::new(&[3], Domain::Real, points(20_000, 1))).conditional(&marks(3, &[0]), 1e-9).unwrap();
    let test = points(20_000, 2);
    let error =
        test.chunks_exact(3).zip(predictor.predict(&test)).map(|(x, found)| (f64::from(x[0]) - found).powi(2)).sum::<f64>() / 20_000.0;
    // S_oo = [[1.25, -0.5], [-0.5, 5]], S_ho = [1, 0]: 1 - 5 / (1.25 * 5 - 0.25).
    let expected = 1.0 - 5.0 / 6.0;
    assert!((error / expected - 1.0).abs() < 0.03, "{error}, expected {expected}");
}

/// Mean of each feature of the training split.
fn mean_of(table: &Table) -> Vec<f64> {
    let size = table.spec.num_features();
    let num = (table.values.len() / size) as f64;
    (0..size).map(|feature| table.values.iter().skip(feature).step_by(size).map(|&x| f64::from(x)).sum::<f64>() / num).collect()
}

/// The pixels of the central 6 x 6 of 12 x 12.
fn centre() -> Vec<usize> {
    (0..144).filter(|pixel| (3..9).contains(&(pixel / 12)) && (3..9).contains(&(pixel % 12))).collect()
}

#[test]
fn the_error_is_that_of_what_the_model_puts_into_the_hole_alone() {
    let centre = centre();
    let inside = |rows: &[f32]| -> Vec<f32> { rows.chunks_exact(144).flat_map(|row| centre.iter().map(|&pixel| row[pixel])).collect() };
    for (scale, num_iterations, factor) in [(0.5f32, 1, 0.5f64), (0.5, 3, 0.125), (1.0, 2, 1.0), (0.0, 1, 0.0)] {
        let setting = Setting::of_images(scale);
        let x = inside(&setting.test.values);
        let mean: Vec<f64> = mean_of(&setting.train);
        let filled: Vec<f64> = (0..33).flat_map(|_| centre.iter().map(|&pixel| factor * f64::from(mean[pixel] as f32))).collect();
        let expected = mse(&x, &filled, 36);
        let found = values(&setting, json!({"holes": [{"center": {}}], "num_iterations": num_iterations}));
        assert!((found["inpainting_mse@center_6"] - expected).abs() < 1e-7, "{} is not {expected}", found["inpainting_mse@center_6"]);
        assert!((found["inpainting_psnr@center_6"] - psnr(found["inpainting_mse@center_6"])).abs() < 1e-12);
        let constant: Vec<f64> = (0..33).flat_map(|_| centre.iter().map(|&pixel| mean[pixel])).collect();
        assert!((found["mean_inpainting_mse@center_6"] - mse(&x, &constant, 36)).abs() < 1e-12);
    }
    // Zero in the hole stays zero, whatever the model multiplies it by.
    let setting = Setting::of_images(0.5);
    let x = inside(&setting.test.values);
    let found = values(&setting, json!({"holes": [{"center": {"side": 6}}], "fill": "zero"}))["inpainting_mse@center_6"];
    assert!((found - mse(&x, &vec![0.0f32; x.len()], 36)).abs() < 1e-12);
}

#[test]
fn the_conditional_gaussian_fills_in_what_the_rest_says() {
    // Columns of pixels are equal: what is hidden stands beside it.
    let stripes = |num, seed| {
        let rows = Table::random(num, &[12], seed).values;
        let values = rows.chunks_exact(12).flat_map(|row| (0..144).map(|pixel| row[pixel % 12])).collect();
        Table::new(&[1, 12, 12], Domain::UnitInterval, values)
    };
    let found = values(&Setting::new(Fixed::new(1.0, 2, 144), stripes(200, 1), stripes(20, 2)), json!({}));
    for setting in ["center_6", "random_0.5"] {
        let (gaussian, mean) = (found[&format!("gaussian_inpainting_mse@{setting}")], found[&format!("mean_inpainting_mse@{setting}")]);
        assert!(gaussian < 1e-6 * mean, "{setting}: {gaussian} beside {mean}");
    }
}

#[test]
fn real_data_have_no_ratio_and_tables_no_centre() {
    let table = |seed| Table::new(&[6], Domain::Real, Table::random(30, &[6], seed).values);
    let setting = Setting::new(Fixed::new(1.0, 2, 6), table(1), table(2));
    let outcome = measure(&setting, json!({})).unwrap();
    let names: Vec<&str> = outcome.measurements.iter().map(|measurement| measurement.name.as_str()).collect();
    assert_eq!(names, ["inpainting_mse@random_0.5", "gaussian_inpainting_mse@random_0.5", "mean_inpainting_mse@random_0.5"]);
    assert!(outcome.warnings[0].contains("`center` is for images") && outcome.pictures.is_empty());
    let announced = (aelab_eval::find("inpainting").unwrap().parse)(json!({})).unwrap().metric_names(&setting.test.spec);
    assert_eq!(names, announced);
}

#[test]
fn pictures_show_whole_holed_gaussian_and_the_model() {
    let outcome = measure(&Setting::of_images(0.5), json!({})).unwrap();
    let names: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(names, ["inpainting_center_6", "inpainting_random_0.5"]);
    let PictureContent::ImageRows { rows, .. } = &outcome.pictures[0].content else { panic!("images") };
    let captions: Vec<&str> = rows.iter().map(|row| row.caption.as_str()).collect();
    assert_eq!(captions, ["test image", "with the hole", "conditional Gaussian", "model"]);
    let centre = centre();
    for (index, whole) in rows[0].values.iter().enumerate() {
        let is_hidden = centre.contains(&(index % 144));
        for row in &rows[1..] {
            assert!(is_hidden || row.values[index] == *whole, "what is observed stays");
        }
        assert!(!is_hidden || rows[1].values[index] == 0.5);
    }
}

#[test]
fn impossible_options_are_refused_and_say_what_was_expected() {
    let refused = |options: Value| (aelab_eval::find("inpainting").unwrap().parse)(options).unwrap_err();
    assert!(refused(json!({"holes": []})).message.contains("at least one hole"));
    assert!(refused(json!({"holes": [{"random": {"rate": 0}}]})).message.contains("above 0 and below 1"));
    assert!(refused(json!({"holes": [{"random": {"rate": 1.0}}]})).message.contains("above 0 and below 1"));
    assert!(refused(json!({"holes": [{"center": {}}, {"center": {}}]})).message.contains("twice"));
    assert_eq!(refused(json!({"num_masks": 0})).path, "num_masks");
    assert_eq!(refused(json!({"num_iterations": 0})).path, "num_iterations");
    // A side that no image of these data has room for is left out, not measured as something else.
    let outcome = measure(&Setting::of_images(1.0), json!({"holes": [{"center": {"side": 13}}]})).unwrap();
    assert!(outcome.measurements.is_empty() && outcome.warnings[0].contains("side 13 does not fit into an image of 12 x 12"));
    // One hole, said in two ways.
    assert_eq!(values(&Setting::of_images(1.0), json!({"holes": [{"center": {}}, {"center": {"side": 6}}]})).len(), 6);
}

#[test]
fn data_with_missing_values_are_not_measured_and_a_diverged_model_is_an_error() {
    let mut setting = Setting::of_images(f32::NAN);
    let error = measure(&setting, json!({})).unwrap_err();
    assert!(matches!(&error, EvaluationError::NonFinite { metric, .. } if metric.starts_with("inpainting_mse@")), "{error}");
    setting.test.num_observed = Some(72);
    let outcome = measure(&setting, json!({})).unwrap();
    assert!(outcome.measurements.is_empty() && outcome.warnings[0].contains("missing"));
    setting.test.values.clear();
    assert!(matches!(measure(&setting, json!({})).unwrap_err(), EvaluationError::EmptySplit { split: "test", .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_batch_size_does_not_matter(batch_size in 1usize..50, scale in -1.5f32..1.5, num_masks in 1u16..12) {
        let options = json!({"num_masks": num_masks, "num_iterations": 2});
        let mut setting = Setting::of_images(scale);
        let reference = values(&setting, options.clone());
        setting.batch_size = batch_size;
        for (name, value) in values(&setting, options) {
            prop_assert!((value - reference[&name]).abs() <= 1e-11 * (1.0 + value.abs()), "{name}: {value} and {}", reference[&name]);
        }
    }
}
