//! Anomaly detection: metrics against scikit-learn, SciPy and the authors of VUS (values by
//! scripts/reference/anomaly_metrics.py), and the evaluation on models whose every answer is known.

use aelab_core::{Domain, Purpose, stream};
use aelab_eval::{
    EvaluationError, GeneralisedPareto, Outcome, PictureContent, ThresholdRule, auroc, auroc_interval, average_precision, bootstrap,
    classify, detections, vus_pr,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{Fixed, Setting, Table, value};

#[derive(Deserialize)]
struct Golden {
    detection: Vec<Detection>,
    pareto: Vec<Pareto>,
    thresholds: Vec<Thresholds>,
    volumes: Vec<Volumes>,
}

#[derive(Deserialize)]
struct Detection {
    name: String,
    normal: Vec<f64>,
    anomalies: Vec<f64>,
    threshold: f64,
    auroc: f64,
    low: f64,
    high: f64,
    average_precision: f64,
    precision: f64,
    recall: f64,
    f1: f64,
    roc: [Vec<f64>; 2],
    precision_curve: Vec<f64>,
}

#[derive(Deserialize)]
struct Pareto {
    name: String,
    excesses: Vec<f64>,
    shape: f64,
    scale: f64,
    log_likelihood: f64,
    tail: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Thresholds {
    name: String,
    scores: Vec<f64>,
    quantiles: Vec<[f64; 2]>,
    mean_plus_3_sigma: f64,
    extreme_value: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct Volumes {
    name: String,
    labels: Vec<u8>,
    scores: Vec<f64>,
    volumes: Vec<(usize, f64)>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/anomaly_metrics.json")).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * (1.0 + expected.abs())
}

#[test]
fn areas_intervals_and_classifications_equal_scikit_learn_and_the_definition_of_delong() {
    let cases = golden().detection;
    assert!(cases.len() >= 10);
    for case in cases {
        let Detection { name, normal, anomalies, .. } = &case;
        let area = auroc_interval(normal, anomalies).unwrap();
        assert_eq!(auroc(normal, anomalies), Some(area.value));
        for (what, found, expected) in [
            ("AUROC", area.value, case.auroc),
            ("low", area.low, case.low),
            ("high", area.high, case.high),
            ("average precision", average_precision(normal, anomalies).unwrap(), case.average_precision),
            ("precision", classify(normal, anomalies, case.threshold).precision, case.precision),
            ("recall", classify(normal, anomalies, case.threshold).recall, case.recall),
            ("F1", classify(normal, anomalies, case.threshold).f1, case.f1),
        ] {
            assert!(close(found, expected, 1e-12), "{name}: {what} {found}, expected {expected}");
        }
        let points = detections(normal, anomalies).unwrap();
        assert_eq!(points.len(), case.roc[0].len(), "{name}");
        for (index, point) in points.iter().enumerate() {
            let [wrong, right] =
                [(point.num_normal, normal), (point.num_anomalies, anomalies)].map(|(num, all)| num as f64 / all.len() as f64);
            assert!(close(wrong, case.roc[0][index], 1e-12) && close(right, case.roc[1][index], 1e-12), "{name}: point {index}");
            let precision = point.num_anomalies as f64 / (point.num_anomalies + point.num_normal) as f64;
            // scikit-learn's curve ends where every anomaly is found.
            if let Some(&expected) = case.precision_curve.get(index) {
                assert!(close(precision, expected, 1e-12), "{name}: precision {index}");
            }
        }
    }
}

#[test]
fn what_has_no_area_has_none() {
    for (normal, anomalies) in [(vec![], vec![1.0]), (vec![1.0], vec![]), (vec![f64::NAN], vec![1.0]), (vec![1.0], vec![2.0, f64::NAN])] {
        assert_eq!(auroc(&normal, &anomalies), None);
        assert_eq!(average_precision(&normal, &anomalies), None);
        assert!(detections(&normal, &anomalies).is_none());
        assert!(bootstrap(&normal, &anomalies, None, 5, &mut stream(1, Purpose::Evaluation, 0, 0)).is_none());
    }
    assert_eq!(auroc(&[f64::NEG_INFINITY, 0.0], &[0.0, f64::INFINITY]), Some(0.875));
}

#[test]
fn generalised_pareto_fits_equal_scipy() {
    for case in golden().pareto {
        let found = GeneralisedPareto::fit(&case.excesses).unwrap();
        // SciPy searches with the simplex method: it has the maximum to about 1e-8 in each direction, where the likelihood is flat.
        assert!(close(found.shape, case.shape, 1e-6), "{}: shape {}, SciPy {}", case.name, found.shape, case.shape);
        assert!((found.scale / case.scale - 1.0).abs() < 1e-6, "{}: scale {}, SciPy {}", case.name, found.scale, case.scale);
        let likelihood = found.log_likelihood(&case.excesses);
        assert!(close(likelihood, case.log_likelihood, 1e-11), "{}: {likelihood}, SciPy {}", case.name, case.log_likelihood);
        assert!(likelihood >= case.log_likelihood - 1e-10 * likelihood.abs(), "{}: SciPy is better", case.name);
        let of_scipy = GeneralisedPareto { shape: case.shape, scale: case.scale };
        for [probability, expected] in case.tail {
            assert!((of_scipy.exceeded_with_probability(probability) / expected - 1.0).abs() < 1e-9, "{}", case.name);
        }
    }
}

#[test]
fn degenerate_excesses_have_the_uniform_distribution_or_none() {
    assert_eq!(GeneralisedPareto::fit(&[]), None);
    assert_eq!(GeneralisedPareto::fit(&[0.0, 0.0]), None);
    assert_eq!(GeneralisedPareto::fit(&[f64::INFINITY]), None);
    for excesses in [vec![2.5], vec![2.5; 7]] {
        assert_eq!(GeneralisedPareto::fit(&excesses), Some(GeneralisedPareto { shape: -1.0, scale: 2.5 }));
    }
    let uniform = GeneralisedPareto { shape: -1.0, scale: 2.0 };
    assert_eq!((uniform.log_likelihood(&[0.5, 2.0]), uniform.exceeded_with_probability(0.25)), (-2.0 * 2f64.ln(), 1.5));
    let exponential = GeneralisedPareto { shape: 0.0, scale: 2.0 };
    let nearly = GeneralisedPareto { shape: 1e-9, scale: 2.0 };
    for probability in [0.5, 1e-4] {
        assert!(close(exponential.exceeded_with_probability(probability), -2.0 * f64::ln(probability), 1e-12));
        assert!(close(nearly.exceeded_with_probability(probability), exponential.exceeded_with_probability(probability), 1e-7));
    }
}

#[test]
fn thresholds_equal_numpy_and_the_formula_of_peaks_over_threshold() {
    for case in golden().thresholds {
        for [level, expected] in case.quantiles {
            let found = ThresholdRule::Quantile(level).threshold(&case.scores).unwrap();
            assert!(close(found, expected, 1e-12), "{}: quantile {level} {found}, expected {expected}", case.name);
        }
        assert!(close(ThresholdRule::MeanPlusSigma(3.0).threshold(&case.scores).unwrap(), case.mean_plus_3_sigma, 1e-12), "{}", case.name);
        for [initial_quantile, false_alarm_rate, expected] in case.extreme_value {
            let found = ThresholdRule::ExtremeValue { initial_quantile, false_alarm_rate }.threshold(&case.scores).unwrap();
            assert!(close(found, expected, 1e-6), "{}: {false_alarm_rate}: {found}, expected {expected}", case.name);
        }
    }
    let extreme = ThresholdRule::ExtremeValue { initial_quantile: 0.9, false_alarm_rate: 0.01 };
    for rule in [ThresholdRule::default(), ThresholdRule::MeanPlusSigma(3.0), extreme] {
        assert_eq!(rule.threshold(&[]), None);
        assert_eq!(rule.threshold(&[2.0]), Some(2.0));
        assert_eq!(rule.threshold(&[2.0; 9]), Some(2.0));
    }
}

#[test]
fn threshold_rules_that_no_scores_satisfy_are_refused() {
    let parse = |threshold: Value| (aelab_eval::find("anomaly").unwrap().parse)(json!({"threshold": threshold}));
    for bad in [
        json!({"quantile": 0.0}),
        json!({"quantile": 1.0}),
        json!({"quantile": "high"}),
        json!({"mean_plus_sigma": -1}),
        json!({"extreme_value": {"false_alarm_rate": 1.5}}),
        json!({"extreme_value": {"rate": 0.5}}),
        json!("median"),
    ] {
        assert!(parse(bad.clone()).unwrap_err().path.starts_with("threshold"), "{bad}");
    }
    for good in [json!({"quantile": 0.99}), json!({"mean_plus_sigma": 3}), json!({"extreme_value": {}})] {
        assert!(parse(good).is_ok());
    }
    let refuse = |options: Value| (aelab_eval::find("anomaly").unwrap().parse)(options).unwrap_err();
    assert!(refuse(json!({"scores": []})).message.contains("one score or more"));
    assert!(refuse(json!({"scores": ["likelihood", "likelihood"]})).message.contains("twice"));
    assert_eq!(refuse(json!({"pca_components": 0})).path, "pca_components");
}

#[test]
fn volumes_equal_the_code_of_the_authors() {
    for case in golden().volumes {
        let labels: Vec<bool> = case.labels.iter().map(|&label| label == 1).collect();
        for (buffer, expected) in case.volumes {
            let found = vus_pr(&labels, &case.scores, buffer).unwrap();
            assert!(close(found, expected, 1e-12), "{}, tolerance {buffer}: {found}, expected {expected}", case.name);
        }
    }
    assert_eq!(vus_pr(&[false; 4], &[0.0; 4], 2), None);
    assert_eq!(vus_pr(&[true; 4], &[0.0; 4], 2), None);
    assert_eq!(vus_pr(&[true, false], &[f64::NAN, 0.0], 2), None);
}

#[test]
fn bootstrap_intervals_hold_the_value_and_shrink_with_examples() {
    let scores = |num: usize, shift: f64| -> Vec<f64> { (0..num).map(|index| (index * 37 % 101) as f64 / 50.0 + shift).collect() };
    let width = |num: usize| {
        let mut stream = stream(3, Purpose::Evaluation, 0, 0);
        let found = bootstrap(&scores(num, 0.0), &scores(num, 0.7), Some(1.2), 400, &mut stream).unwrap();
        for interval in [found.average_precision, found.f1.unwrap()] {
            assert!(interval.low < interval.value && interval.value < interval.high, "{interval:?}");
        }
        found.average_precision.high - found.average_precision.low
    };
    let (few, many) = (width(50), width(800));
    // Four times the standard error with a sixteenth of the examples.
    assert!((3.0..5.5).contains(&(few / many)), "{few} and {many}");
    let mut stream = stream(3, Purpose::Evaluation, 0, 0);
    let perfect = bootstrap(&[0.0; 4], &[1.0; 4], None, 50, &mut stream).unwrap();
    assert_eq!((perfect.average_precision.low, perfect.average_precision.high, perfect.f1), (1.0, 1.0, None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn areas_depend_on_the_order_of_scores_alone_and_turn_round_with_their_sign(
        normal in proptest::collection::vec(-20i8..20, 1..40), anomalies in proptest::collection::vec(-20i8..20, 1..40), rotation in 0usize..40,
    ) {
        let of = |scores: &[i8], map: &dyn Fn(f64) -> f64| scores.iter().map(|&score| map(f64::from(score))).collect::<Vec<f64>>();
        let same = |score: f64| score;
        let (plain_normal, plain_anomalies) = (of(&normal, &same), of(&anomalies, &same));
        let area = auroc_interval(&plain_normal, &plain_anomalies).unwrap();
        let precision = average_precision(&plain_normal, &plain_anomalies).unwrap();
        for map in [&|score: f64| 3.0 * score - 7.0, &|score: f64| score.exp(), &|score: f64| score.powi(3)] as [&dyn Fn(f64) -> f64; 3] {
            prop_assert_eq!(auroc_interval(&of(&normal, map), &of(&anomalies, map)).unwrap(), area);
            prop_assert_eq!(average_precision(&of(&normal, map), &of(&anomalies, map)).unwrap(), precision);
        }
        let flipped = auroc(&of(&normal, &|score| -score), &of(&anomalies, &|score| -score)).unwrap();
        prop_assert!((flipped + area.value - 1.0).abs() < 1e-12);
        let (mut other_normal, mut other_anomalies) = (plain_normal.clone(), plain_anomalies.clone());
        other_normal.rotate_left(rotation % normal.len());
        other_anomalies.reverse();
        prop_assert_eq!(auroc_interval(&other_normal, &other_anomalies).unwrap(), area);
        prop_assert_eq!(average_precision(&other_normal, &other_anomalies).unwrap(), precision);
        let resample = |normal: &[f64], anomalies: &[f64]| bootstrap(normal, anomalies, Some(0.0), 20, &mut stream(1, Purpose::Evaluation, 0, 0));
        prop_assert_eq!(resample(&other_normal, &other_anomalies), resample(&plain_normal, &plain_anomalies));
        prop_assert!(area.low <= area.value && area.value <= area.high);
    }
}

/// Images of four classes; those of the first are half as bright, so that a model that reconstructs half of everything errs less there.
fn images(num: usize, seed: u64) -> Table {
    let mut table = Table::random(num, &[1, 12, 12], seed).labelled(4);
    for (example, image) in table.values.chunks_exact_mut(144).enumerate() {
        image.iter_mut().for_each(|pixel| *pixel *= if example % 4 == 0 { 0.2 } else { 0.2 + 0.1 * (example % 4) as f32 });
    }
    table
}

fn setting() -> Setting {
    Setting::new(Fixed { variational: true, ..Fixed::new(0.5, 3, 144) }, images(80, 1), images(60, 2))
}

fn measure(setting: &Setting, options: Value) -> Result<Outcome, EvaluationError> {
    setting.measure_with("anomaly", options)
}

/// Mean squared errors of half of each test image, of normal ones (of class 0) and of the others.
fn errors(table: &Table) -> [Vec<f64>; 2] {
    let error = |image: &[f32]| image.iter().map(|&x| (f64::from(x) - f64::from(x * 0.5)).powi(2)).sum::<f64>() / 144.0;
    let all: Vec<(u32, f64)> = table.labels.as_ref().unwrap().iter().copied().zip(table.values.chunks(144).map(error)).collect();
    [true, false].map(|normal| all.iter().filter(|(label, _)| (*label == 0) == normal).map(|(_, error)| *error).collect())
}

#[test]
fn the_evaluation_measures_what_it_announces_of_the_scores_it_is_asked_for() {
    let setting = setting();
    let options = json!({"normal": [0], "scores": ["reconstruction_error", "likelihood", "latent_density"], "num_resamples": 50, "save_scores": true});
    let evaluation = (aelab_eval::find("anomaly").unwrap().parse)(options.clone()).unwrap();
    let outcome = measure(&setting, options).unwrap();
    let names: Vec<&str> = outcome.measurements.iter().map(|measurement| measurement.name.as_str()).collect();
    assert_eq!(names, evaluation.metric_names(&setting.test.spec));
    assert_eq!(names.len(), 4 * 13);
    let [normal, anomalies] = errors(&setting.test);
    let [valid, _] = errors(&setting.train);
    assert_eq!(value(&outcome, "auroc"), auroc(&normal, &anomalies).unwrap());
    assert_eq!(value(&outcome, "average_precision"), average_precision(&normal, &anomalies).unwrap());
    let threshold = ThresholdRule::default().threshold(&valid).unwrap();
    assert_eq!(value(&outcome, "anomaly_threshold"), threshold);
    assert_eq!(value(&outcome, "f1"), classify(&normal, &anomalies, threshold).f1);
    // Brighter images err more; the likelihood of this model is noise.
    assert!(value(&outcome, "auroc") > 0.99 && (value(&outcome, "auroc@likelihood") - 0.5).abs() < 0.25);
    // Training saw everything, and is told so.
    assert!(outcome.warnings.iter().any(|warning| warning.contains("60 of the 80 training examples")), "{:?}", outcome.warnings);

    let pictures: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    let histograms = ["reconstruction_error", "likelihood", "latent_density", "pca"].map(|name| format!("anomaly_scores_{name}"));
    let mut expected = vec!["anomaly_roc", "anomaly_precision_recall"];
    expected.extend(histograms.iter().map(String::as_str));
    expected.extend(["anomaly_features", "anomaly_false_alarms", "anomaly_overlooked"]);
    assert_eq!(pictures, expected);
    let PictureContent::ImageGrid { images, shape: [1, 12, 12], .. } = &outcome.pictures[6].content else { panic!("an image of errors") };
    assert!(images[144..].iter().zip(&images[..144]).all(|(anomalies, normal)| anomalies > normal));
    let PictureContent::ImageRows { labels, .. } = &outcome.pictures[8].content else { panic!("images") };
    // The overlooked are of the class next in brightness.
    assert_eq!(labels.iter().filter(|label| *label == "1").count(), 10);
    let table = |name: &str| outcome.tables.iter().find(|table| table.name == name).unwrap();
    assert_eq!(table("anomaly_scores").rows.len(), 60);
    assert_eq!(table("anomaly_features").rows.len(), 144);
    let classes = table("anomaly_classes");
    assert_eq!(classes.rows.len(), 4 * 3);
    let areas: Vec<f64> = classes.rows[..3].iter().map(|row| row[4].as_f64().unwrap()).collect();
    assert!(areas[0] <= areas[1] && areas[1] <= areas[2], "{areas:?}");
    // Equally many of each class: the area of all is the mean of theirs.
    assert!(close(areas.iter().sum::<f64>() / 3.0, value(&outcome, "auroc"), 1e-12));
}

#[test]
fn what_the_data_call_normal_is_normal_unless_the_evaluation_says_otherwise() {
    let mut setting = setting();
    setting.test.normal_classes = Some(vec![0]);
    setting.train = images(80, 1);
    setting.train.normal_classes = Some(vec![0]);
    let by_data = measure(&setting, json!({"num_resamples": 5})).unwrap();
    assert!(by_data.warnings.is_empty(), "{:?}", by_data.warnings);
    for normal in [json!([0]), json!(["class 0"])] {
        let named = measure(&setting, json!({"normal": normal, "num_resamples": 5})).unwrap();
        assert_eq!(named.measurements, by_data.measurements);
    }
    let other = measure(&setting, json!({"normal": [3, "class 2"], "num_resamples": 5})).unwrap();
    assert!(value(&other, "auroc") < 0.1);
    let error = measure(&setting, json!({"normal": ["clas 3"]})).unwrap_err();
    assert!(error.to_string().starts_with("`normal` of `anomaly`: there is no class `clas 3`"), "{error}");
    assert!(error.to_string().ends_with("did you mean `class 3`?"), "{error}");
}

#[test]
fn neither_batch_size_nor_the_order_of_examples_matters() {
    let options = || json!({"normal": [0], "scores": ["reconstruction_error", "latent_density"], "num_resamples": 20});
    let mut setting = setting();
    let reference = measure(&setting, options()).unwrap().measurements;
    setting.batch_size = 60;
    assert_eq!(measure(&setting, options()).unwrap().measurements, reference);
    setting.test.values.rotate_left(7 * 144);
    setting.test.labels.as_mut().unwrap().rotate_left(7);
    for (found, reference) in measure(&setting, options()).unwrap().measurements.iter().zip(&reference) {
        assert!(close(found.value, reference.value, 1e-12), "{}: {} and {}", found.name, found.value, reference.value);
    }
}

#[test]
fn where_there_is_nothing_to_tell_apart_a_warning_says_why() {
    let warned = |setting: &Setting, options: Value, why: &str| {
        let outcome = measure(setting, options).unwrap();
        assert!(outcome.warnings.iter().any(|warning| warning.contains(why)), "{:?}", outcome.warnings);
        outcome
    };
    let mut setting = setting();
    assert!(warned(&setting, json!({}), "no class is called normal").measurements.is_empty());
    assert!(warned(&setting, json!({"normal": [0, 1, 2, 3]}), "no test example is an anomaly").measurements.is_empty());
    setting.test.labels.as_mut().unwrap().fill(1);
    assert!(warned(&setting, json!({"normal": [0]}), "no test example is normal").measurements.is_empty());
    setting = self::setting();
    setting.model.variational = false;
    let outcome = warned(&setting, json!({"normal": [0], "scores": ["likelihood"], "pca": false}), "the model has no likelihood");
    assert!(outcome.measurements.is_empty() && outcome.pictures.is_empty());
    // Without normal validation examples there is no threshold, but there are areas.
    setting.train.labels.as_mut().unwrap().fill(1);
    let outcome = warned(&setting, json!({"normal": [0], "num_resamples": 5}), "no validation example is normal");
    assert_eq!(outcome.measurements.len(), 2 * 6);
    setting.test.labels = None;
    assert!(warned(&setting, json!({"normal": [0]}), "no labels").measurements.is_empty());
    let mut setting = self::setting();
    setting.model.scale = f32::NAN;
    assert!(matches!(measure(&setting, json!({"normal": [0]})), Err(EvaluationError::NonFinite { .. })));
    setting.test.num_observed = Some(100);
    setting.model.scale = 0.5;
    let outcome = warned(&setting, json!({"normal": [0], "num_resamples": 5}), "some values are missing");
    assert_eq!(outcome.measurements.len(), 13);
}

#[test]
fn constant_scores_and_single_examples_are_useless_and_finite() {
    let mut setting = setting();
    setting.test = Table::new(&[1, 12, 12], Domain::UnitInterval, vec![0.5; 2 * 144]).labelled(2);
    setting.train = Table::new(&[1, 12, 12], Domain::UnitInterval, vec![0.5; 2 * 144]).labelled(2);
    let outcome =
        measure(&setting, json!({"normal": [0], "scores": ["reconstruction_error", "latent_density"], "num_resamples": 5})).unwrap();
    for prefix in ["", "pca_"] {
        assert_eq!((value(&outcome, &format!("{prefix}auroc")), value(&outcome, &format!("{prefix}f1"))), (0.5, 0.0));
    }
    assert_eq!(value(&outcome, "auroc@latent_density"), 0.5);
}

#[test]
fn points_of_series_are_scored_where_they_are_known() {
    // The model reconstructs nothing where series are 0: an anomaly is where they are not.
    let labels: Vec<f32> =
        (0..5).flat_map(|series| (0..40).map(move |step| f32::from(u8::from(series % 2 == 1 && (10..20).contains(&step))))).collect();
    let table = |labels: &[f32]| Table::new(&[40, 1], Domain::Real, labels.to_vec()).labelled(2);
    let mut setting = Setting::new(Fixed::new(0.0, 2, 40), table(&labels), table(&labels));
    let options = json!({"normal": [0], "num_resamples": 5, "max_buffer": 4, "pca": false});
    assert!(!measure(&setting, options.clone()).unwrap().measurements.iter().any(|measurement| measurement.name == "vus_pr"));
    setting.test.point_labels = Some(labels.clone());
    let outcome = measure(&setting, options.clone()).unwrap();
    let is_anomalous: Vec<bool> = labels[40..80].iter().map(|label| *label == 1.0).collect();
    let scores: Vec<f64> = labels[40..80].iter().map(|&label| f64::from(label)).collect();
    assert_eq!(value(&outcome, "vus_pr"), vus_pr(&is_anomalous, &scores, 4).unwrap());
    assert!(outcome.pictures.iter().any(|picture| matches!(picture.content, PictureContent::SeriesRows { .. })));
    // Found elsewhere it is worth less.
    setting.test.values.rotate_right(15);
    assert!(value(&measure(&setting, options).unwrap(), "vus_pr") < 0.5);
}
