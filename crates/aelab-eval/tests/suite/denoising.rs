//! The best affine denoiser against brute force (values by scripts/reference/denoising.py), and `denoising` on models whose
//! every answer is known.

use std::collections::BTreeMap;

use crate::common::{Fixed, Setting, Table, cases};
use crate::real_data;
use aelab_core::{Corruption, Domain, Examples, Noise, Purpose, StreamNoise, stream};
use aelab_eval::{AffineDenoiser, EvaluationError, Outcome, Pca, PictureContent, mse, psnr, ssim};
use burn::tensor::Device;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    name: String,
    num_features: usize,
    train: Vec<f32>,
    corruption: Corruption,
    inputs: Vec<f32>,
    expected: Vec<f64>,
}

fn fit(table: &Table) -> Pca {
    Pca::fit(table, &stream(1, Purpose::Evaluation, 0, 0)).unwrap()
}

fn measure(setting: &Setting, options: Value) -> Result<Outcome, EvaluationError> {
    setting.measure_with("denoising", options)
}

fn values(setting: &Setting, options: Value) -> BTreeMap<String, f64> {
    setting.values_with("denoising", options)
}

#[test]
fn the_affine_denoiser_is_the_regression_over_every_outcome_of_the_corruption() {
    let cases: Vec<Case> = cases(include_str!("../golden/affine_denoiser.json"));
    assert!(cases.len() >= 40);
    for Case { name, num_features, train, corruption, inputs, expected } in cases {
        let pca = fit(&Table::new(&[num_features], Domain::UnitInterval, train));
        let found = AffineDenoiser::fit(&pca, &corruption).unwrap().denoise(&inputs);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9, "{name}, {corruption:?}: {found}, expected {expected}");
        }
    }
}

/// Standard normal columns mixed by a fixed matrix.
fn gaussian_points(num: usize, seed: u64) -> Vec<f32> {
    let mut noise = StreamNoise(stream(seed, Purpose::Transform, 0, 0));
    let drawn: Vec<f32> = noise.normal([num, 3], &Device::flex()).into_data().try_into_vec().unwrap();
    drawn.chunks_exact(3).flat_map(|z| [z[0], z[0] + 0.5 * z[1], 2.0 * z[2] - z[1]]).collect()
}

#[test]
fn on_gaussian_data_the_affine_error_is_that_of_theory() {
    let train = Table::new(&[3], Domain::Real, gaussian_points(20_000, 1));
    let pca = fit(&train);
    // tr(S (S + sigma^2)^-1 sigma^2) / d, along the principal axes.
    let expected = |sigma: f64| pca.eigenvalues().iter().map(|value| value * sigma * sigma / (value + sigma * sigma)).sum::<f64>() / 3.0;
    let test = Table::new(&[3], Domain::Real, gaussian_points(20_000, 2));
    let found = values(
        &Setting { batch_size: 1000, ..Setting::new(Fixed::new(1.0, 2, 3), train, test) },
        json!({"corruptions": [{"gaussian": {"sigma": 1}}, {"gaussian": {"sigma": 0.25}}]}),
    );
    for sigma in [1.0, 0.25] {
        let (found, expected) = (found[&format!("affine_denoised_mse@gaussian_{sigma}")], expected(sigma));
        assert!((found / expected - 1.0).abs() < 0.02, "{found}, expected {expected}");
    }
}

#[test]
fn what_is_measured_is_what_the_model_makes_of_the_corrupted_examples() {
    let setting = Setting::of_images(0.5);
    let found = values(&setting, json!({"corruptions": [{"gaussian": {"sigma": 0}}]}));
    let x = &setting.test.values;
    let halved: Vec<f32> = x.iter().map(|x| x * 0.5).collect();
    let expected = mse(x, &halved, 144);
    assert!((found["denoised_mse@gaussian_0"] - expected).abs() < 1e-12);
    assert!((found["denoised_psnr@gaussian_0"] - psnr(expected)).abs() < 1e-12);
    assert!((found["denoised_ssim@gaussian_0"] - ssim(x, &halved, [1, 12, 12]).unwrap()).abs() < 1e-12);
    assert_eq!(found["noisy_mse@gaussian_0"], 0.0);
    // Without noise there is no finite gain over it.
    assert!(!found.contains_key("noisy_psnr@gaussian_0") && !found.contains_key("psnr_gain@gaussian_0"));
}

#[test]
fn corrupted_examples_have_the_error_that_their_corruption_has() {
    let setting =
        Setting { train: Table::random(20_000, &[1, 12, 12], 1), test: Table::random(10_000, &[1, 12, 12], 2), ..Setting::of_images(1.0) };
    let found = values(
        &setting,
        json!({"corruptions": [{"gaussian": {"sigma": 0.5}}, {"masking": {"rate": 0.25}}, {"salt_and_pepper": {"rate": 0.1}}]}),
    );
    // Independent uniform values: E[x^2] = 1/3 where masked, (E[x^2] + E[(1 - x)^2]) / 2 = 1/3 where replaced. The best affine map
    // leaves S - a^2 S^2 / (a^2 S + D) of the variance S = 1/12, by hand.
    for (setting, expected, affine) in
        [("gaussian_0.5", 0.25, 0.0625), ("masking_0.25", 0.25 / 3.0, 1.0 / 21.0), ("salt_and_pepper_0.1", 0.1 / 3.0, 0.325 / 12.0)]
    {
        let noisy = found[&format!("noisy_mse@{setting}")];
        assert!((noisy / expected - 1.0).abs() < 0.015, "{setting}: {noisy}, expected {expected}");
        let best = found[&format!("affine_denoised_mse@{setting}")];
        assert!((best / affine - 1.0).abs() < 0.015, "{setting}: {best}, expected {affine}");
        assert!((found[&format!("affine_psnr_gain@{setting}")] - (psnr(best) - psnr(noisy))).abs() < 1e-12);
        // A model that gives back what it was given gains nothing.
        assert_eq!(found[&format!("denoised_mse@{setting}")], noisy);
        assert_eq!(found[&format!("psnr_gain@{setting}")], 0.0);
        // The noise leaves [0, 1] only where it is Gaussian.
        let clipped = found[&format!("denoised_psnr_clipped@{setting}")] - found[&format!("denoised_psnr@{setting}")];
        assert!(if setting == "gaussian_0.5" { clipped > 0.5 } else { clipped == 0.0 }, "{setting}: {clipped}");
    }
}

#[test]
fn a_useless_model_has_the_power_of_the_data_as_its_error() {
    let setting = Setting::of_images(0.0);
    let x = &setting.test.values;
    let power = mse(x, &vec![0.0f32; x.len()], 144);
    assert!((values(&setting, json!({}))["denoised_mse@masking_0.25"] - power).abs() < 1e-12);
}

#[test]
fn what_a_corruption_gives_depends_on_no_other_that_is_asked_for() {
    let setting = Setting::of_images(0.5);
    let both = values(&setting, json!({"corruptions": [{"salt_and_pepper": {"rate": 0.3}}, {"masking": {"rate": 0.3}}]}));
    let one = values(&setting, json!({"corruptions": [{"masking": {"rate": 0.3}}]}));
    assert!(!one.is_empty() && one.iter().all(|(name, value)| both[name] == *value));
}

#[test]
fn real_data_have_errors_and_gains_but_no_peak() {
    let mut setting = Setting::of_images(0.5);
    setting.train.spec.domain = Domain::Real;
    setting.test.spec.domain = Domain::Real;
    let found = values(&setting, json!({"corruptions": [{"gaussian": {"sigma": 2}}]}));
    let expected =
        ["affine_denoised_mse", "affine_psnr_gain", "denoised_mse", "noisy_mse", "psnr_gain"].map(|name| format!("{name}@gaussian_2"));
    assert_eq!(found.into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn pictures_show_clean_corrupted_affine_and_the_model() {
    let setting = Setting::of_images(0.5);
    let outcome = measure(&setting, json!({})).unwrap();
    let names: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(names, ["denoising_gaussian_0.5", "denoising_masking_0.25"]);
    let PictureContent::ImageRows { rows, shape: [1, 12, 12], labels } = &outcome.pictures[1].content else { panic!("images") };
    let captions: Vec<&str> = rows.iter().map(|row| row.caption.as_str()).collect();
    assert_eq!((captions, labels.len()), (vec!["test image", "corrupted", "best affine denoiser", "model"], 20));
    let masked =
        rows[0].values.iter().zip(&rows[1].values).filter(|(clean, given)| clean != given).inspect(|(_, given)| assert_eq!(**given, 0.0));
    assert!(masked.count() > 0);
    assert!(rows[1].values.iter().zip(&rows[3].values).all(|(given, ours)| *ours == given * 0.5));
}

#[test]
fn points_of_a_plane_show_where_they_are_moved() {
    let plane = |seed| Table::new(&[2], Domain::Real, Table::random(400, &[2], seed).values);
    let outcome = measure(&Setting::new(Fixed::new(0.5, 2, 2), plane(1), plane(2)), json!({})).unwrap();
    // Masking has no field.
    let [picture] = &outcome.pictures[..] else { panic!("one picture") };
    let PictureContent::VectorField { points, panels } = &picture.content else { panic!("a field") };
    assert_eq!((picture.name.as_str(), points.len(), panels.len()), ("denoising_field_gaussian_0.5", 400, 3));
    for panel in panels {
        assert_eq!(panel.arrows.len(), 21 * 21);
    }
    assert!(panels[0].arrows.iter().all(|[start, end]| *end == start.map(|value| value * 0.5)));
    // The two denoisers of the data move to its middle from afar.
    for panel in &panels[1..] {
        let [start, end] = panel.arrows[0];
        assert!(start.map(|value| value < 0.0) == [true, true] && end[0] > start[0] && end[1] > start[1], "{start:?} to {end:?}");
    }
}

#[test]
fn impossible_options_are_refused_and_say_what_was_expected() {
    let refused = |options: Value| {
        let error = (aelab_eval::find("denoising").unwrap().parse)(options).unwrap_err();
        assert_eq!(error.path, "corruptions");
        error.message
    };
    assert!(refused(json!({"corruptions": []})).contains("at least one"));
    assert!(refused(json!({"corruptions": [{"masking": {"rate": 1.5}}]})).contains("[0, 1]"));
    assert!(
        refused(json!({"corruptions": [{"gaussian": {"sigma": 0.1}}, {"gaussian": {"sigma": 0.1}}]}))
            .contains("gaussian_0.1 is there twice")
    );
    assert!(refused(json!({"corruptions": [{"gaussian": {"sigma": {"linear": {"from": 0.1, "to": 0.2}}}}]})).contains("constant"));
}

#[test]
fn data_with_missing_values_are_not_measured_and_a_diverged_model_is_an_error() {
    let mut setting = Setting::of_images(f32::NAN);
    let error = measure(&setting, json!({})).unwrap_err();
    assert!(matches!(&error, EvaluationError::NonFinite { metric, .. } if metric.starts_with("denoised_psnr@")), "{error}");
    setting.test.num_observed = Some(72);
    let outcome = measure(&setting, json!({})).unwrap();
    assert!(outcome.measurements.is_empty() && outcome.warnings[0].contains("missing"));
    setting.test.values.clear();
    assert!(matches!(measure(&setting, json!({})).unwrap_err(), EvaluationError::EmptySplit { split: "test", .. }));
    let mut setting = Setting::of_images(1.0);
    setting.train.values.clear();
    assert!(matches!(measure(&setting, json!({})).unwrap_err(), EvaluationError::EmptySplit { split: "training", .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_batch_size_does_not_matter(batch_size in 1usize..50, scale in -1.5f32..1.5) {
        let options = json!({"corruptions": [{"gaussian": {"sigma": 0.5}}, {"masking": {"rate": 0.25}}, {"salt_and_pepper": {"rate": 0.25}}]});
        let mut setting = Setting::of_images(scale);
        let reference = values(&setting, options.clone());
        setting.batch_size = batch_size;
        for (name, value) in values(&setting, options) {
            prop_assert!((value - reference[&name]).abs() <= 1e-11 * (1.0 + value.abs()), "{name}: {value} and {}", reference[&name]);
        }
    }
}

/// A ratio with the noise integrated out and the standard deviation of one draw of it, in dB, by
/// `scripts/reference/affine_denoiser_exact.py`.
type Expected = (f64, f64);

/// For Gaussian noise of 0.5, the same clipped, and for 25 % masking.
fn check(data: &str, [gaussian, clipped, masking]: [Expected; 3]) {
    let Some((train, test)) = real_data::load(data) else { return };
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    let found = values(&Setting { batch_size: 500, ..Setting::new(Fixed::new(1.0, 2, 784), train, test) }, json!({}));
    for (name, (expected, deviation)) in [
        ("affine_denoised_psnr@gaussian_0.5", gaussian),
        ("affine_denoised_psnr_clipped@gaussian_0.5", clipped),
        ("affine_denoised_psnr@masking_0.25", masking),
    ] {
        assert!((found[name] - expected).abs() < 4.0 * deviation, "{data}: {name} is {}, expected {expected}", found[name]);
    }
    // 7.84 million squares of a standard normal: a deviation of 0.0022 dB.
    assert!((found["noisy_psnr@gaussian_0.5"] - psnr(0.25)).abs() < 4.0 * 0.0022);
}

#[test]
fn the_affine_denoiser_of_mnist_has_the_exact_ratios() {
    check("mnist", [(17.0261, 0.0048), (17.5114, 0.0048), (19.7042, 0.0076)]);
}

#[test]
fn the_affine_denoiser_of_fashion_mnist_has_the_exact_ratios() {
    check("fashion_mnist", [(17.1642, 0.0041), (17.4433, 0.0041), (19.3033, 0.0049)]);
}
