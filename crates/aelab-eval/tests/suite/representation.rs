//! What codes are good for, against scikit-learn (values by scripts/reference/representation.py), and the evaluations that tell.

use std::collections::BTreeMap;

use aelab_core::{Domain, Purpose, stream};
use aelab_eval::{
    LogisticRegression, PictureContent, adjusted_rand_index, average_precision_with_ties, continuity, k_means, k_nearest_accuracy,
    majority_class, nearest_neighbours, normalized_mutual_information, precision_at, ties_by_distance, trustworthiness,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{Fixed, Setting, Table};

#[derive(Deserialize)]
struct Golden {
    neighbourhoods: Vec<Neighbourhoods>,
    votes: Vec<Votes>,
    agreements: Vec<Agreement>,
    probes: Vec<ProbeCase>,
    clusters: Vec<Clusters>,
    retrievals: Vec<RetrievalCase>,
}

#[derive(Deserialize)]
struct Neighbourhoods {
    name: String,
    x: Vec<f32>,
    num_features: usize,
    codes: Vec<f32>,
    code_size: usize,
    k: usize,
    trustworthiness: f64,
    continuity: f64,
}

#[derive(Deserialize)]
struct Votes {
    train: Vec<f32>,
    test: Vec<f32>,
    size: usize,
    k: usize,
    labels: Vec<u32>,
    expected: Vec<u32>,
    predictions: Vec<u32>,
    accuracy: f64,
}

#[derive(Deserialize)]
struct Agreement {
    left: Vec<u32>,
    right: Vec<u32>,
    nmi: f64,
    ari: f64,
}

#[derive(Deserialize)]
struct ProbeCase {
    name: String,
    x: Vec<f64>,
    size: usize,
    labels: Vec<u32>,
    c: f64,
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
    train_accuracy: f64,
    test: Vec<f64>,
    predictions: Vec<u32>,
    log_probabilities: Vec<f64>,
}

#[derive(Deserialize)]
struct Clusters {
    points: Vec<f32>,
    size: usize,
    k: usize,
    inertia: f64,
    groups: Vec<u32>,
}

#[derive(Deserialize)]
struct Scores {
    map: f64,
    precision: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct RetrievalCase {
    name: String,
    size: usize,
    train: Vec<f32>,
    test: Vec<f32>,
    train_labels: Vec<u32>,
    test_labels: Vec<u32>,
    euclidean: Scores,
    cosine: Scores,
    hamming: Scores,
    within_radius_2: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/representation.json")).unwrap()
}

#[test]
fn neighbourhoods_are_those_of_scikit_learn_ties_in_their_order() {
    let cases = golden().neighbourhoods;
    assert!(cases.len() >= 15);
    for case in cases {
        let found = trustworthiness(&case.x, case.num_features, &case.codes, case.code_size, case.k).unwrap();
        assert!((found - case.trustworthiness).abs() < 1e-12, "{} k {}: {found}, expected {}", case.name, case.k, case.trustworthiness);
        let found = continuity(&case.x, case.num_features, &case.codes, case.code_size, case.k).unwrap();
        assert!((found - case.continuity).abs() < 1e-12, "{} k {}: {found}, expected {}", case.name, case.k, case.continuity);
    }
}

#[test]
fn votes_of_neighbours_are_those_of_scikit_learn() {
    let cases = golden().votes;
    assert!(cases.len() >= 10);
    for case in cases {
        let neighbours = nearest_neighbours(&case.test, &case.train, case.size, case.k, false);
        let predictions: Vec<u32> = neighbours.iter().map(|near| majority_class(near, &case.labels).unwrap()).collect();
        assert_eq!(predictions, case.predictions);
        assert_eq!(k_nearest_accuracy(&neighbours, &case.labels, &case.expected), case.accuracy);
    }
}

#[test]
fn agreement_of_groupings_is_that_of_scikit_learn() {
    for case in golden().agreements {
        let (nmi, ari) = (normalized_mutual_information(&case.left, &case.right), adjusted_rand_index(&case.left, &case.right));
        assert!((nmi - case.nmi).abs() < 1e-12 && (ari - case.ari).abs() < 1e-12, "{:?} {:?}: {nmi} {ari}", case.left, case.right);
    }
}

#[test]
fn coefficients_of_the_linear_probe_are_those_of_scikit_learn() {
    let cases = golden().probes;
    assert!(cases.len() >= 20);
    for ProbeCase { name, x, size, labels, c, coefficients, intercepts, train_accuracy, test, predictions, log_probabilities } in cases {
        let found = LogisticRegression::fit(&x, size, &labels, c).unwrap();
        assert!(found.converged, "{name}");
        // Of two classes scikit-learn has one row: what the second has more than the first.
        let rows = |values: &[f64], width: usize| -> Vec<f64> {
            if found.classes.len() > 2 { values.to_vec() } else { (0..width).map(|index| values[width + index] - values[index]).collect() }
        };
        let mean = intercepts.iter().sum::<f64>() / intercepts.len() as f64;
        let expected: Vec<f64> = intercepts.iter().map(|value| if intercepts.len() > 1 { value - mean } else { *value }).collect();
        for (found, expected) in
            rows(&found.coefficients, size).iter().zip(&coefficients).chain(rows(&found.intercepts, 1).iter().zip(&expected))
        {
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{name}, C {c}: {found}, expected {expected}");
        }
        let right = found.predict(&x).iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert_eq!(right as f64 / labels.len() as f64, train_accuracy, "{name}");
        assert_eq!(found.predict(&test), predictions, "{name}");
        for (found, expected) in found.log_probabilities(&test).iter().zip(&log_probabilities) {
            assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{name}, C {c}: {found}, expected {expected}");
        }
    }
}

#[test]
fn clusters_are_as_tight_as_the_best_of_two_hundred_starts_of_scikit_learn() {
    for case in golden().clusters {
        let found = k_means(&case.points, case.size, case.k, 10, &mut stream(1, Purpose::Evaluation, 0, 0));
        assert!((found.inertia - case.inertia).abs() < 1e-9 * (1.0 + case.inertia), "k {}: {} and {}", case.k, found.inertia, case.inertia);
        assert_eq!(adjusted_rand_index(&found.groups, &case.groups), 1.0);
    }
}

/// A model whose code is the example, trained and tested on these.
fn identity(case: &RetrievalCase) -> Setting {
    let table = |values: &[f32], labels: &[u32]| {
        let mut table = Table::new(&[case.size], Domain::Real, values.to_vec()).labelled(4);
        table.labels = Some(labels.to_vec());
        table
    };
    Setting::new(Fixed::new(1.0, case.size, case.size), table(&case.train, &case.train_labels), table(&case.test, &case.test_labels))
}

#[test]
fn rankings_are_those_of_an_independent_computation_ties_included() {
    for case in golden().retrievals {
        let setting = identity(&case);
        for (distance, expected) in [("euclidean", &case.euclidean), ("cosine", &case.cosine)] {
            let values = setting.values_with("retrieval", json!({"distance": distance}));
            let close = |name: &str, expected: f64| {
                let found = values[name];
                assert!((found - expected).abs() < 1e-10, "{}, {distance}, {name}: {found}, expected {expected}", case.name);
            };
            for (kind, scores) in [("retrieval", expected), ("hamming", &case.hamming)] {
                close(&format!("{kind}_map"), scores.map);
                for (k, expected) in scores.precision.iter().filter(|(k, _)| k.parse::<usize>().unwrap() <= case.train_labels.len()) {
                    close(&format!("{kind}_precision@{k}"), *expected);
                }
            }
            close("hamming_radius_2_precision", case.within_radius_2);
        }
    }
}

/// Codes that are the classes, as well as can be, and codes that know nothing of them.
fn classes(num_train: usize, num_test: usize, informative: bool) -> Setting {
    let table = |num: usize, seed: u64| {
        let mut table = Table::random(num, &[6], seed).labelled(3);
        if informative {
            for (index, row) in table.values.chunks_mut(6).enumerate() {
                row[index % 3] += 5.0;
            }
        }
        table
    };
    Setting::new(Fixed::new(1.0, 6, 6), table(num_train, 1), table(num_test, 2))
}

#[test]
fn codes_that_tell_the_classes_are_perfect_and_codes_that_do_not_are_at_chance() {
    let perfect = classes(90, 60, true);
    let useless = classes(900, 600, false);
    let reduction = perfect.values_with("dimension_reduction", json!({}));
    for name in ["trustworthiness", "continuity", "knn_accuracy", "probe_accuracy", "kmeans_nmi", "kmeans_ari", "raw_knn_accuracy"] {
        assert!((reduction[name] - 1.0).abs() < 1e-12, "{name}: {}", reduction[name]);
    }
    let retrieval = perfect.values_with("retrieval", json!({"k": [1, 30]}));
    for name in ["retrieval_precision@1", "retrieval_precision@30", "retrieval_map", "pca_retrieval_map"] {
        assert!((retrieval[name] - 1.0).abs() < 1e-12, "{name}: {}", retrieval[name]);
    }
    let reduction = useless.values_with("dimension_reduction", json!({"num_shown": 0}));
    for name in ["knn_accuracy", "probe_accuracy", "pca_knn_accuracy"] {
        assert!((reduction[name] - 1.0 / 3.0).abs() < 0.07, "{name}: {}", reduction[name]);
    }
    assert!(reduction["kmeans_ari"].abs() < 0.02 && reduction["kmeans_nmi"] < 0.02);
    assert!((reduction["probe_nll"] - 3f64.ln()).abs() < 0.02);
    let retrieval = useless.values_with("retrieval", json!({}));
    for name in ["retrieval_map", "hamming_map", "retrieval_precision@100", "hamming_radius_2_precision"] {
        assert!((retrieval[name] - 1.0 / 3.0).abs() < 0.02, "{name}: {}", retrieval[name]);
    }
}

#[test]
fn codes_that_are_all_the_same_are_at_chance_and_nothing_fails() {
    let mut setting = classes(60, 30, true);
    setting.train.values.fill(0.5);
    setting.test.values.fill(0.5);
    let reduction = setting.values_with("dimension_reduction", json!({}));
    assert!((reduction["probe_accuracy"] - 1.0 / 3.0).abs() < 1e-12 && (reduction["probe_nll"] - 3f64.ln()).abs() < 1e-9);
    // Ties in the order of the examples: of the classes 0, 1, 2, 0, 1 the smallest of the two most frequent.
    assert!((reduction["knn_accuracy"] - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!((reduction["kmeans_nmi"], reduction["kmeans_ari"], reduction["kmeans_inertia"]), (0.0, 0.0, 0.0));
    let retrieval = setting.values_with("retrieval", json!({}));
    for name in ["retrieval_precision@1", "retrieval_precision@10", "hamming_precision@10", "hamming_radius_2_precision"] {
        assert!((retrieval[name] - 1.0 / 3.0).abs() < 1e-12, "{name}: {}", retrieval[name]);
    }
}

#[test]
fn more_neighbours_than_training_examples_are_left_out_with_a_warning() {
    let setting = classes(60, 30, true);
    let outcome = setting.measure_with("dimension_reduction", json!({"knn_k": 61})).unwrap();
    assert!(outcome.measurements.iter().all(|found| !found.name.ends_with("knn_accuracy")));
    assert!(outcome.warnings.iter().any(|warning| warning.contains("61 neighbours") && warning.contains("60 training")), "{outcome:?}");
    assert!(setting.values_with("dimension_reduction", json!({"knn_k": 60})).contains_key("knn_accuracy"));
    let outcome = setting.measure_with("retrieval", json!({"k": [5, 61, 1000]})).unwrap();
    let precisions = outcome.measurements.iter().filter(|found| found.name.contains("_precision@"));
    assert!(precisions.clone().count() == 4 && precisions.clone().all(|found| found.name.ends_with("@5")));
    assert!(outcome.warnings.iter().any(|warning| warning.contains("k = 61, 1000") && warning.contains("60 training")), "{outcome:?}");
}

#[test]
fn without_classes_neighbourhoods_remain_and_a_warning() {
    let mut setting = classes(60, 30, true);
    setting.train.labels = None;
    setting.test.labels = None;
    let outcome = setting.measure("dimension_reduction").unwrap();
    let names: Vec<&str> = outcome.measurements.iter().map(|measurement| measurement.name.as_str()).collect();
    assert_eq!(names, ["trustworthiness", "continuity", "pca_trustworthiness", "pca_continuity"]);
    assert!(outcome.warnings.iter().any(|warning| warning.contains("labels")), "{:?}", outcome.warnings);
    for name in ["linear_probe", "retrieval"] {
        let outcome = setting.measure(name).unwrap();
        assert!(outcome.measurements.is_empty() && outcome.warnings.len() == 1);
    }
    let mut setting = classes(60, 30, true);
    setting.train.labels = Some(vec![2; 60]);
    for name in ["linear_probe", "retrieval"] {
        let outcome = setting.measure(name).unwrap();
        assert!(outcome.measurements.is_empty() && outcome.warnings[0].contains("one class"), "{:?}", outcome.warnings);
    }
}

#[test]
fn few_and_strange_examples_are_warned_of() {
    // Neighbourhoods of 10 among 8, a single training example, a class that was never seen, missing values.
    let mut setting = classes(9, 8, true);
    setting.test.num_observed = Some(4);
    setting.test.labels = Some(vec![3; 8]);
    let outcome = setting.measure("dimension_reduction").unwrap();
    for text in ["less than half", "missing values", "infinite"] {
        assert!(outcome.warnings.iter().any(|warning| warning.contains(text)), "{text}: {:?}", outcome.warnings);
    }
    let outcome = setting.measure("retrieval").unwrap();
    assert!(outcome.warnings.iter().any(|warning| warning.contains("retrieval_map")), "{:?}", outcome.warnings);
    assert!(outcome.measurements.iter().all(|measurement| measurement.value == 0.0));
    let setting = classes(1, 5, true);
    for name in ["dimension_reduction", "linear_probe", "retrieval"] {
        assert!(setting.measure(name).unwrap().warnings.iter().any(|warning| warning.contains("one class")));
    }
    let setting = classes(0, 5, true);
    for name in ["dimension_reduction", "linear_probe", "retrieval"] {
        assert!(setting.measure(name).unwrap_err().to_string().contains("training"));
    }
}

#[test]
fn few_labels_have_names_of_their_own_and_a_curve() {
    let setting = classes(90, 60, true);
    let options = json!({"labels_per_class": [10, 2, 1000]});
    let evaluation = (aelab_eval::find("linear_probe").unwrap().parse)(options).unwrap();
    let outcome = setting.with_context(|context| evaluation.measure(context)).unwrap();
    let mut names: Vec<String> = outcome.measurements.iter().map(|measurement| measurement.name.clone()).collect();
    let mut announced = evaluation.metric_names(&setting.test.spec);
    names.sort();
    announced.sort();
    assert_eq!(names, announced);
    assert!(names.contains(&"pca_probe_nll@2_per_class".to_owned()));
    assert!(outcome.warnings.iter().all(|warning| warning.contains("not 1000")), "{:?}", outcome.warnings);
    let PictureContent::Lines { lines, .. } = &outcome.pictures[0].content else { panic!("a curve") };
    assert_eq!(lines.iter().map(|line| line.points.len()).collect::<Vec<_>>(), [3, 3, 3]);
    // The probe of all labels is the same wherever it is measured.
    let (probe, reduction) = (setting.values_with("linear_probe", json!({})), setting.values_with("dimension_reduction", json!({})));
    for (name, value) in probe {
        assert_eq!(reduction[&name], value, "{name}");
    }
}

#[test]
fn options_that_nothing_satisfies_are_refused() {
    let refused = |name: &str, options: Value| (aelab_eval::find(name).unwrap().parse)(options).unwrap_err();
    assert_eq!(refused("dimension_reduction", json!({"knn_k": 0})).path, "knn_k");
    assert!(refused("dimension_reduction", json!({"perplexity": 0.5})).message.contains("at least 1"));
    assert!(refused("linear_probe", json!({"c": 0})).message.contains("above 0"));
    assert!(refused("linear_probe", json!({"c": -1.0})).message.contains("above 0"));
    assert_eq!(refused("linear_probe", json!({"labels_per_class": [0]})).path, "labels_per_class[0]");
    assert_eq!(refused("retrieval", json!({"k": [0]})).path, "k[0]");
    refused("retrieval", json!({"distance": "manhattan"}));
}

#[test]
fn pictures_show_maps_and_neighbours() {
    let shape = [1, 3, 4];
    let setting = Setting::new(Fixed::new(1.0, 3, 12), Table::random(60, &shape, 1).labelled(5), Table::random(33, &shape, 2).labelled(5));
    let outcome = setting.measure("dimension_reduction").unwrap();
    let names: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(names, ["t_sne", "pca_scatter"]);
    for picture in &outcome.pictures {
        let PictureContent::Scatter { points, labels, .. } = &picture.content else { panic!("points") };
        assert_eq!((points.len(), labels.as_ref().unwrap().len()), (33, 33));
    }
    let outcome = setting.measure("retrieval").unwrap();
    let PictureContent::ImageRows { rows, labels, .. } = &outcome.pictures[0].content else { panic!("images") };
    assert_eq!((rows.len(), labels.len()), (8, 10));
    let nearest = nearest_neighbours(
        &setting.test.values[..3],
        &setting.train.values.chunks(12).flat_map(|row| row[..3].to_vec()).collect::<Vec<_>>(),
        3,
        1,
        false,
    );
    let index = nearest[0][0].index;
    // The first column is the first test image of class 0, the first image of all.
    assert_eq!(rows[1].values[..12], setting.train.values[index * 12..][..12]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_batch_size_nor_the_order_of_examples_matters(
        num in 22usize..60, batch_size in 1usize..50, rotation in 0usize..60, informative: bool,
    ) {
        let mut setting = classes(60, num, informative);
        // kMeans draws its starts among the examples; what it ends in may depend on their order.
        let all = |setting: &Setting| {
            let mut found = setting.values_with("dimension_reduction", json!({"num_shown": 0}));
            found.extend(setting.values_with("retrieval", json!({})));
            found.retain(|name, _| !name.contains("kmeans"));
            found
        };
        let reference = all(&setting);
        setting.batch_size = batch_size;
        for table in [&mut setting.test, &mut setting.train] {
            let rotation = rotation % table.labels.as_ref().unwrap().len();
            table.values.rotate_left(6 * rotation);
            table.labels.as_mut().unwrap().rotate_left(rotation);
        }
        for (name, value) in all(&setting) {
            // Rounding may differ: PCA sums in another order, the regression ends elsewhere within its tolerance.
            let tolerance = if name.contains("probe_nll") { 1e-6 } else { 1e-12 };
            prop_assert!((value - reference[&name]).abs() <= tolerance, "{}: {} and {}", name, value, reference[&name]);
        }
    }

    #[test]
    fn rankings_follow_the_order_of_distances_only(items in proptest::collection::vec((0u8..20, any::<bool>()), 1..40), k in 1usize..50) {
        let (distances, right): (Vec<f64>, Vec<bool>) = items.iter().map(|&(distance, right)| (f64::from(distance), right)).unzip();
        let ties = ties_by_distance(&distances, &right);
        let stretched: Vec<f64> = distances.iter().map(|distance| distance.powi(3) - 7.0).collect();
        let (mut reversed, mut right_reversed) = (stretched, right.clone());
        reversed.reverse();
        right_reversed.reverse();
        prop_assert_eq!(ties_by_distance(&reversed, &right_reversed), ties.clone());
        prop_assert!((0.0..=1.0 + 1e-12).contains(&precision_at(&ties, k)));
        prop_assert_eq!(average_precision_with_ties(&ties).is_some(), right.contains(&true));
    }
}

#[test]
fn baselines_are_the_same_from_the_folder_that_trials_share_and_spoilt_files_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut setting = classes(90, 60, false);
    let all = |setting: &Setting| {
        let mut found = setting.values_with("dimension_reduction", json!({"num_shown": 0}));
        found.extend(setting.values_with("linear_probe", json!({"labels_per_class": [5]})));
        found
    };
    let computed = all(&setting);
    setting.cache = Some(folder.path().to_owned());
    assert_eq!(all(&setting), computed);
    let files = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect::<Vec<_>>()
    };
    // PCA and the data themselves: kNN, and the probe of all labels and of few.
    assert_eq!(files().len(), 6);
    assert_eq!(all(&setting), computed);
    for path in files() {
        std::fs::write(path, b"{").unwrap();
    }
    assert_eq!(all(&setting), computed);
    // What is stored is what is given back, so it was not computed again.
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut entry: Value = serde_json::from_str(&text).unwrap();
        if entry["value"].is_number() {
            entry["value"] = json!(0.125);
            std::fs::write(path, entry.to_string()).unwrap();
        }
    }
    let stored = all(&setting);
    assert_eq!((stored["raw_knn_accuracy"], stored["pca_knn_accuracy"]), (0.125, 0.125));
    assert_eq!(stored["knn_accuracy"], computed["knn_accuracy"]);
    // Other labels are other data.
    setting.test.labels.as_mut().unwrap().swap(0, 1);
    assert_ne!(all(&setting)["raw_knn_accuracy"], 0.125);
}
