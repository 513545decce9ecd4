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
    let PictureContent::Heatmap { rows, columns, values, .. } = &outcome.pictures[6].content else { panic!("a map of errors") };
    assert_eq!((rows.len(), columns.len(), values.len()), (12, 12 + 2 + 12, 12 * 26));
    let features = &outcome.tables.iter().find(|table| table.name == "anomaly_features").unwrap().rows;
    for (row, values) in values.chunks(26).enumerate() {
        assert!(values[12].is_nan() && values[13].is_nan());
        assert!(values[14..].iter().zip(&values[..12]).all(|(anomalies, normal)| anomalies > normal));
        assert_eq!((features[12 * row + 3][2].as_f64(), features[12 * row + 3][3].as_f64()), (Some(values[3]), Some(values[17])));
    }
    let above = |scores: &[f64]| scores.iter().filter(|score| **score > threshold).count();
    let PictureContent::ImageRows { labels, .. } = &outcome.pictures[8].content else { panic!("images") };
    // The overlooked are of the class next in brightness.
    assert_eq!(labels.iter().filter(|label| *label == "class 1").count(), 10);
    for (picture, part) in [
        (7, format!("(reconstruction error): {} of 15 above the threshold, 0.0", above(&normal))),
        (8, format!("(reconstruction error): {} of 45 not above the threshold, 0.0", 45 - above(&anomalies))),
    ] {
        assert!(outcome.pictures[picture].title.contains(&part), "{}", outcome.pictures[picture].title);
    }
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
    // The other evaluations of a trained model are not to be lost by it.
    let unknown = measure(&setting, json!({"normal": ["clas 3"]})).unwrap();
    let warning = &unknown.warnings[0];
    assert!(warning.starts_with("`anomaly` measures nothing: `normal`: there is no class `clas 3`"), "{warning}");
    assert!(warning.ends_with("did you mean `class 3`?") && unknown.measurements.is_empty(), "{warning}");
}

#[test]
fn options_that_the_data_cannot_satisfy_are_refused_before_anything_is_run() {
    let check = |options: Value| {
        let evaluation = (aelab_eval::find("anomaly").unwrap().parse)(options).unwrap();
        let names = || Some(["1", "2", "3"].map(str::to_owned).to_vec());
        evaluation.check(&aelab_core::DataSpec { num_classes: Some(3), ..aelab_core::DataSpec::new([4], Domain::Real) }, &names)
    };
    assert!(check(json!({"normal": [1, "3"], "pca_components": 3})).is_ok());
    assert!(check(json!({"pca_components": 4, "pca": false})).is_ok());
    for (options, path, message) in [
        (json!({"normal": [1, 11]}), "normal[1]", "there is no class `11` among the classes `1`, `2`, `3`"),
        (json!({"normal": [1, 2, 3]}), "normal", "nothing is an anomaly"),
        (json!({"pca_components": 4}), "pca_components", "4 components reconstructs every example of 4 features exactly"),
    ] {
        let error = check(options).unwrap_err();
        assert!(error.path == path && error.message.contains(message), "{error:?}");
    }
    assert_eq!((aelab_eval::find("anomaly").unwrap().parse)(json!({"normal": []})).unwrap_err().path, "normal");
}

/// Noise with labels that have nothing to do with it, and a model that adds the class it is told to all it says.
fn noise_with_labels() -> Setting {
    let noise = |num, seed| Table { spec: aelab_core::DataSpec::new([6], Domain::Real), ..Table::random(num, &[6], seed) }.labelled(5);
    Setting {
        batch_size: 100,
        ..Setting::new(Fixed { adds_class: true, variational: true, ..Fixed::new(0.5, 3, 6) }, noise(800, 1), noise(800, 2))
    }
}

#[test]
fn a_model_that_wants_the_class_is_not_told_it_where_classes_are_to_be_found() {
    let mut setting = noise_with_labels();
    let scores = ["reconstruction_error", "likelihood", "latent_density"];
    let outcome = measure(&setting, json!({"normal": [0], "scores": scores, "num_resamples": 5})).unwrap();
    for name in ["auroc", "auroc@likelihood", "auroc@latent_density"] {
        assert!((value(&outcome, name) - 0.5).abs() < 0.1, "{name}: {}", value(&outcome, name));
    }
    let probe = setting.values("linear_probe");
    assert!((probe["probe_accuracy"] - 0.2).abs() < 0.06, "{}", probe["probe_accuracy"]);
    let codes = setting.values("dimension_reduction");
    assert!((codes["knn_accuracy"] - 0.2).abs() < 0.06 && codes["kmeans_nmi"] < 0.05, "{codes:?}");
    assert!((setting.values("retrieval")["retrieval_precision@10"] - 0.2).abs() < 0.06);
    // Told or not, what is measured is that of a model that has no use for classes.
    setting.model.adds_class = false;
    assert_eq!(setting.values("linear_probe")["probe_accuracy"], probe["probe_accuracy"]);
    // What is not measured against classes may be told them: the reconstruction of this model is off by the class.
    assert!(setting.values("reconstruction")["mse"] < 0.3);
    setting.model.adds_class = true;
    assert!(setting.values("reconstruction")["mse"] > 3.0);
}

#[test]
fn what_decodes_by_the_class_alone_has_no_reconstruction_error() {
    let mut setting = setting();
    setting.model.decodes_by_class_only = true;
    let outcome =
        measure(&setting, json!({"normal": [0], "scores": ["reconstruction_error", "latent_density"], "num_resamples": 5})).unwrap();
    assert!(outcome.warnings.iter().any(|warning| warning.contains("decodes an example by its class only")), "{:?}", outcome.warnings);
    assert!(!outcome.measurements.iter().any(|found| found.name == "auroc") && value(&outcome, "auroc@latent_density") > 0.5);
    assert!(!outcome.tables.iter().any(|table| table.name == "anomaly_features"));
    let picture = outcome.pictures.iter().find(|picture| picture.name == "anomaly_overlooked").unwrap();
    let PictureContent::ImageRows { rows, .. } = &picture.content else { panic!("images") };
    assert_eq!(rows.len(), 1);
}

#[test]
fn the_number_of_samples_does_not_decide_how_much_is_decoded_at_once() {
    let options = json!({"normal": [0], "scores": ["likelihood"], "num_samples": 300, "pca": false, "num_resamples": 5});
    assert_eq!(measure(&setting(), options).unwrap().measurements.len(), 13);
}

/// Four features, the last of them twice the first.
fn table_of_rank_three(code_size: usize) -> Setting {
    let rows = |num, seed| {
        let mut table = Table { spec: aelab_core::DataSpec::new([4], Domain::Real), ..Table::random(num, &[4], seed) }.labelled(2);
        table.values.chunks_exact_mut(4).for_each(|row| row[3] = 2.0 * row[0]);
        table
    };
    Setting::new(Fixed::new(0.9, code_size, 4), rows(50, 1), rows(40, 2))
}

#[test]
fn pca_that_reconstructs_everything_is_no_detector_made_of_rounding() {
    for code_size in [3, 4] {
        let setting = table_of_rank_three(code_size);
        let outcome = measure(&setting, json!({"normal": [0], "num_resamples": 5})).unwrap();
        assert!(!outcome.measurements.iter().any(|found| found.name.starts_with("pca_")));
        let warning = format!("{code_size} components reconstruct every example of 4 features exactly");
        assert!(outcome.warnings.iter().any(|found| found.contains(&warning)), "{:?}", outcome.warnings);
        assert_eq!(setting.values("pca_baseline")["pca_sse"], 0.0);
        assert_eq!(setting.values("memorisation")["pca_sse_gap"], 0.0);
        assert_eq!(setting.values("generation")["pca_reconstruction_frechet_distance"], 0.0);
    }
    let outcome = measure(&table_of_rank_three(2), json!({"normal": [0], "num_resamples": 5})).unwrap();
    assert!(value(&outcome, "pca_anomaly_threshold") > 1e-6);
}

#[test]
fn pca_of_a_size_of_its_own_says_so_in_its_metrics() {
    let setting = table_of_rank_three(3);
    let options = json!({"normal": [0], "num_resamples": 5, "pca_components": 2});
    let outcome = measure(&setting, options.clone()).unwrap();
    let same_size = measure(&table_of_rank_three(2), json!({"normal": [0], "num_resamples": 5})).unwrap();
    assert_eq!(value(&outcome, "pca_auroc@2_components"), value(&same_size, "pca_auroc"));
    assert!(!outcome.measurements.iter().any(|found| found.name == "pca_auroc"));
    let names: Vec<&str> = outcome.measurements.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, (aelab_eval::find("anomaly").unwrap().parse)(options).unwrap().metric_names(&setting.test.spec));
}

#[test]
fn features_and_classes_have_the_names_that_the_data_give_them() {
    let mut setting = table_of_rank_three(2);
    setting.test.feature_names = Some(["speed", "load", "noise", "heat"].map(str::to_owned).to_vec());
    let outcome = measure(&setting, json!({"normal": [0], "num_resamples": 5, "save_scores": true})).unwrap();
    let table = |name: &str| outcome.tables.iter().find(|table| table.name == name).unwrap();
    assert_eq!(table("anomaly_features").columns[..2], ["feature", "name"]);
    assert_eq!(table("anomaly_features").rows[3][..2], [json!(3), json!("heat")]);
    assert_eq!(table("anomaly_scores").rows[1][..4], [json!(1), json!(1), json!("class 1"), json!(true)]);
    let picture = outcome.pictures.iter().find(|picture| picture.name == "anomaly_features").unwrap();
    let PictureContent::Bars { groups, .. } = &picture.content else { panic!("bars") };
    assert_eq!(groups[0], "speed");
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
    assert_eq!((value(&outcome, "auroc"), value(&outcome, "f1"), value(&outcome, "auroc@latent_density")), (0.5, 0.0, 0.5));
    // PCA reconstructs what is the same everywhere.
    assert!(!outcome.measurements.iter().any(|found| found.name.starts_with("pca_")));
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

#[test]
fn steps_of_which_nothing_was_observed_are_no_steps_of_a_series() {
    // Two channels of which the second is missing on the whole, and a gap of eight steps: as if neither were there.
    let num_steps = 40;
    let is_anomalous: Vec<bool> = (0..num_steps).map(|step| (10..20).contains(&step)).collect();
    let errors: Vec<f64> =
        (0..num_steps).map(|step| ((step * 29 + 3) % 37) as f64 / 10.0 + if is_anomalous[step] { 1.0 } else { 0.0 }).collect();
    let is_gap = |step: usize| (14..22).contains(&step);
    // The model reconstructs nothing, so that values are the roots of the errors.
    let values: Vec<f32> = errors.iter().flat_map(|error| [error.sqrt() as f32, 100.0]).collect();
    let table = |values: Vec<f32>| Table::new(&[num_steps, 2], Domain::Real, values).labelled(2);
    let both = |values: &[f32]| [values, &vec![0.0; values.len()][..]].concat();
    let mut setting = Setting::new(Fixed::new(0.0, 2, 2 * num_steps), table(both(&values)), table(both(&values)));
    let labels: Vec<f32> = is_anomalous.iter().map(|&label| f32::from(u8::from(label))).collect();
    setting.test.point_labels = Some([labels, vec![0.0; num_steps]].concat());
    setting.test.mask = Some((0..2 * num_steps).map(|value| if value % 2 == 1 || is_gap(value / 2) { 0.0 } else { 1.0 }).collect());
    setting.test.labels = Some(vec![1, 0]);
    let options = json!({"normal": [0], "num_resamples": 5, "max_buffer": 4, "pca": false});
    let observed = (0..num_steps).filter(|step| !is_gap(*step)).map(|step| (is_anomalous[step], f64::from(values[2 * step]).powi(2)));
    let (observed_labels, observed_errors): (Vec<bool>, Vec<f64>) = observed.unzip();
    assert_eq!(value(&measure(&setting, options.clone()).unwrap(), "vus_pr"), vus_pr(&observed_labels, &observed_errors, 4).unwrap());
    // Where one of two channels is missing now and then, a step's error is the mean of what is there, and not smaller for it.
    let twice: Vec<f32> = errors.iter().flat_map(|error| [error.sqrt() as f32; 2]).collect();
    setting.test.values = both(&twice);
    setting.test.mask = Some((0..2 * num_steps).map(|value| if value % 6 == 1 { 0.0 } else { 1.0 }).collect());
    let errors: Vec<f64> = errors.iter().map(|error| f64::from(error.sqrt() as f32).powi(2)).collect();
    assert_eq!(value(&measure(&setting, options).unwrap(), "vus_pr"), vus_pr(&is_anomalous, &errors, 4).unwrap());
}
