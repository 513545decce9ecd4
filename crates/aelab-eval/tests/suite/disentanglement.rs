//! Scores of disentanglement against the formulas of disentanglement_lib and scikit-learn (values by
//! scripts/reference/disentanglement.py), what they say of perfect, useless and duplicated codes, and the evaluation.

use aelab_core::{Domain, Factors, Purpose, Stream, stream};
use aelab_eval::{
    Dci, DecisionTree, FactorCodes, PictureContent, active_dimensions, beta_vae_score, completeness, disentanglement, explicitness,
    factor_entropies, factor_vae_score, factor_vae_vote, linear_accuracies, mig, modularity, mutual_information, sap, squared_correlations,
};
use proptest::prelude::*;
use rand::RngExt;
use serde::Deserialize;
use serde_json::json;

use crate::common::{Fixed, Setting, Table};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    code_size: usize,
    num_factors: usize,
    codes: Vec<f32>,
    factors: Vec<u32>,
    test_codes: Vec<f32>,
    test_factors: Vec<u32>,
    information: Vec<f64>,
    entropies: Vec<f64>,
    mig: f64,
    modularity: f64,
    importances: Vec<f64>,
    disentanglement: f64,
    completeness: f64,
    accuracies: Vec<f64>,
    sap: f64,
    correlations: Vec<f64>,
    sap_r2: f64,
    explicitness: Vec<f64>,
    votes: Votes,
}

#[derive(Deserialize)]
struct Votes {
    scales: Vec<f64>,
    active: Vec<usize>,
    votes: Vec<Vote>,
}

#[derive(Deserialize)]
struct Vote {
    drawn: Vec<usize>,
    vote: usize,
}

#[derive(Deserialize)]
struct Tree {
    max_depth: Option<usize>,
    codes: Vec<f32>,
    classes: Vec<u32>,
    importances: Vec<f64>,
    unseen: Vec<f32>,
    shares: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/disentanglement.json")).unwrap()
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected}");
    }
}

#[test]
fn scores_equal_the_formulas_of_disentanglement_lib() {
    let cases = golden().cases;
    assert!(cases.len() >= 6);
    for case in cases {
        let name = case.name.as_str();
        let train = FactorCodes::new(&case.codes, case.code_size, &case.factors, case.num_factors);
        let test = FactorCodes::new(&case.test_codes, case.code_size, &case.test_factors, case.num_factors);
        let (information, entropies) = (mutual_information(&train, 20), factor_entropies(&train));
        assert_near(&information, &case.information, 1e-12, name);
        assert_near(&entropies, &case.entropies, 1e-12, name);
        assert_near(&[mig(&information, &entropies)], &[case.mig], 1e-12, name);
        assert_near(&[modularity(&information, case.num_factors)], &[case.modularity], 1e-12, name);
        assert_near(&[disentanglement(&case.importances, case.num_factors)], &[case.disentanglement], 1e-12, name);
        assert_near(&[completeness(&case.importances, case.num_factors)], &[case.completeness], 1e-12, name);
        let accuracies = linear_accuracies(&train, &test);
        assert_near(&accuracies, &case.accuracies, 1e-12, name);
        assert_near(&[sap(&accuracies, case.num_factors)], &[case.sap], 1e-12, name);
        let correlations = squared_correlations(&train);
        assert_near(&correlations, &case.correlations, 1e-12, name);
        assert_near(&[sap(&correlations, case.num_factors)], &[case.sap_r2], 1e-12, name);
        let areas: Vec<f64> = explicitness(&train, &test).into_iter().map(Option::unwrap).collect();
        assert_near(&areas, &case.explicitness, 1e-9, name);
        let active: Vec<usize> = (0..case.code_size).filter(|&latent| active_dimensions(&train, 0.05)[latent]).collect();
        assert_eq!(active, case.votes.active, "{name}");
        for Vote { drawn, vote } in case.votes.votes {
            assert_eq!(factor_vae_vote(&train, &drawn, &active, &case.votes.scales), vote, "{name}");
        }
    }
}

#[test]
fn a_single_tree_has_the_importances_and_shares_of_scikit_learn() {
    for tree in golden().trees {
        let latents: Vec<Vec<f32>> = (0..3).map(|latent| tree.codes.iter().skip(latent).step_by(3).copied().collect()).collect();
        let found = DecisionTree::of_all(&latents, &tree.classes, 3, tree.max_depth.unwrap_or(usize::MAX));
        assert_near(found.importances(), &tree.importances, 1e-12, "importances");
        for (code, shares) in tree.unseen.chunks(3).zip(tree.shares.chunks(3)) {
            assert_near(found.shares(code), shares, 1e-12, "shares");
        }
    }
}

const SIZES: [u32; 3] = [3, 4, 5];

/// Every combination of three factors, twenty times.
fn grid() -> Vec<u32> {
    let one = |index: u32| [index % 3, index / 3 % 4, index / 12 % 5];
    (0..20 * 60).flat_map(one).collect()
}

fn draws(seed: u64) -> Stream {
    stream(seed, Purpose::Evaluation, 99, 0)
}

#[derive(Debug)]
struct Scores {
    beta_vae: f64,
    factor_vae: f64,
    mig: f64,
    disentanglement: f64,
    completeness: f64,
    informativeness: f64,
    sap: f64,
    sap_r2: f64,
    modularity: f64,
    explicitness: f64,
}

/// All scores of codes of the grid, the first 900 examples for training.
fn scores(codes: &[f32], code_size: usize) -> Scores {
    let (factors, num_train) = (grid(), 900);
    let train = FactorCodes::new(&codes[..num_train * code_size], code_size, &factors[..num_train * 3], 3);
    let test = FactorCodes::new(&codes[num_train * code_size..], code_size, &factors[num_train * 3..], 3);
    let information = mutual_information(&train, 20);
    let dci = Dci::fit(&train, &test, 10, 8, &draws(1));
    let areas: Vec<f64> = explicitness(&train, &test).into_iter().flatten().collect();
    Scores {
        beta_vae: beta_vae_score(&train, &test, [600, 300], &mut draws(2)),
        factor_vae: factor_vae_score(&train, &test, &active_dimensions(&train, 0.05), [600, 300], &mut draws(3)),
        mig: mig(&information, &factor_entropies(&train)),
        disentanglement: dci.disentanglement(),
        completeness: dci.completeness(),
        informativeness: dci.informativeness(),
        sap: sap(&linear_accuracies(&train, &test), 3),
        sap_r2: sap(&squared_correlations(&train), 3),
        modularity: modularity(&information, 3),
        explicitness: areas.iter().sum::<f64>() / 3.0,
    }
}

/// The factors times `matrix` `[latent][factor]`.
fn linear(matrix: &[[f32; 3]]) -> Vec<f32> {
    let of_one = |factors: &[u32]| -> Vec<f32> {
        let centred: Vec<f32> = factors.iter().zip(SIZES).map(|(&value, size)| value as f32 - (size - 1) as f32 / 2.0).collect();
        matrix.iter().map(|row| row.iter().zip(&centred).map(|(weight, value)| weight * value).sum()).collect()
    };
    grid().chunks(3).flat_map(of_one).collect()
}

const AXES: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

#[test]
fn the_factors_themselves_are_perfect() {
    let found = scores(&linear(&AXES), 3);
    let all = [
        found.beta_vae,
        found.factor_vae,
        found.mig,
        found.disentanglement,
        found.completeness,
        found.informativeness,
        found.sap_r2,
        found.modularity,
    ];
    assert_near(&all, &[1.0; 8], 1e-9, "perfect codes");
    // A value in the middle is no half-line, so that one line against the rest misses it; a softmax of lines does not.
    assert!(found.sap > 0.2 && found.sap < 0.9 && found.explicitness > 0.95, "{found:?}");
}

#[test]
fn noise_is_useless() {
    let mut stream = draws(4);
    let codes: Vec<f32> = (0..3 * 1200).map(|_| stream.random::<f32>() - 0.5).collect();
    let found = scores(&codes, 3);
    // Chance: 1/3 for the fixed factor, the mean of 1/3, 1/4 and 1/5 for the values.
    assert!((found.beta_vae - 1.0 / 3.0).abs() < 0.1 && (found.factor_vae - 1.0 / 3.0).abs() < 0.1, "{found:?}");
    assert!(found.mig < 0.03 && found.disentanglement < 0.1 && found.completeness < 0.1, "{found:?}");
    assert!((found.informativeness - 0.261).abs() < 0.06 && found.sap < 0.06 && found.sap_r2 < 0.02, "{found:?}");
    assert!((found.explicitness - 0.5).abs() < 0.05, "{found:?}");
    // Modularity compares small numbers with small numbers: it is no sign of use.
}

#[test]
fn each_factor_twice_loses_what_asks_for_a_single_dimension_and_nothing_else() {
    let [a, b, c] = AXES;
    let found = scores(&linear(&[a, b, c, a, b, c]), 6);
    assert_near(&[found.mig, found.sap, found.sap_r2], &[0.0; 3], 1e-12, "gaps");
    let kept = [found.beta_vae, found.factor_vae, found.disentanglement, found.informativeness, found.modularity];
    assert_near(&kept, &[1.0; 5], 1e-9, "what may be twice");
    // Equal shares of two of six dimensions would be 1 - ln 2 / ln 6 = 0.613; few trees share unequally.
    assert!(found.completeness > 0.6 && found.completeness < 0.8, "{found:?}");
    assert!(found.explicitness > 0.95);
}

#[test]
fn rotated_codes_are_less_disentangled_and_tell_as_much() {
    let aligned = scores(&linear(&AXES), 3);
    // A rotation about (1, 1, 1) by 60 degrees.
    let (x, y, z) = (2.0 / 3.0, 2.0 / 3.0, -1.0 / 3.0);
    let rotated = scores(&linear(&[[x, z, y], [y, x, z], [z, y, x]]), 3);
    let of = |found: &Scores| [found.factor_vae, found.mig, found.disentanglement, found.completeness, found.sap_r2, found.modularity];
    for (rotated, aligned) in of(&rotated).into_iter().zip(of(&aligned)) {
        assert!(rotated < aligned - 0.05, "{rotated} {aligned}");
    }
    assert!((rotated.explicitness - aligned.explicitness).abs() < 0.05);
}

#[test]
fn constant_and_collapsed_dimensions_do_not_vote_and_tell_nothing() {
    let aligned = linear(&AXES);
    let codes: Vec<f32> = aligned.chunks(3).flat_map(|code| [0.1, code[0], code[1], code[2], 1e-4 * code[0]]).collect();
    let found = scores(&codes, 5);
    assert_near(&[found.factor_vae, found.disentanglement], &[1.0, 1.0], 1e-9, "collapsed");
    let constant = scores(&vec![0.25; 1200 * 2], 2);
    assert_near(&[constant.factor_vae, constant.mig, constant.sap, constant.sap_r2, constant.modularity], &[0.0; 5], 0.0, "constant");
    assert_near(&[constant.disentanglement, constant.completeness, constant.explicitness], &[0.0, 0.0, 0.5], 1e-9, "constant");
    assert!(constant.beta_vae < 0.5 && constant.informativeness < 0.3);
}

#[test]
fn what_cannot_be_divided_has_a_value_all_the_same() {
    // One dimension, one factor, few examples, a test value that training lacks.
    let train = FactorCodes::new(&[0.0, 1.0, 2.0], 1, &[0, 1, 1], 1);
    let test = FactorCodes::new(&[3.0, 0.5], 1, &[1, 7], 1);
    let information = mutual_information(&train, 20);
    assert!((mig(&information, &factor_entropies(&train)) - 1.0).abs() < 1e-12);
    assert_eq!(modularity(&information, 1), 1.0);
    let dci = Dci::fit(&train, &test, 3, 2, &draws(1));
    assert!(dci.disentanglement() == 1.0 && dci.completeness() == 1.0 && dci.informativeness() <= 0.5);
    assert_eq!(beta_vae_score(&train, &test, [5, 5], &mut draws(1)), 1.0);
    assert_eq!(factor_vae_score(&train, &test, &[true], [5, 5], &mut draws(1)), 1.0);
    assert_eq!(explicitness(&train, &test), [Some(1.0)]);
    assert!(linear_accuracies(&train, &test)[0] <= 0.5);
    let alike = FactorCodes::new(&[0.0, 1.0], 1, &[4, 4], 1);
    assert_eq!(explicitness(&alike, &alike), [None]);
    assert!(mig(&mutual_information(&alike, 20), &factor_entropies(&alike)).is_nan());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_sign_of_dimensions_and_order_of_examples_do_not_matter(seed in any::<u64>(), rotation in 1usize..80, shift in 0usize..4) {
        let (num, size, num_factors) = (80, 4, 2);
        let mut stream = draws(seed);
        let factors: Vec<u32> = (0..num * num_factors).map(|_| stream.random_range(0..3)).collect();
        let codes: Vec<f32> = (0..num * size).map(|at| stream.random::<f32>() + 0.2 * factors[at / size * num_factors + at % 2] as f32).collect();
        let other: Vec<f32> = codes.chunks(size).flat_map(|code| (0..size).map(|latent| -code[(latent + shift) % size])).collect();
        let rotated = |values: &[f32]| [&values[rotation * size..], &values[..rotation * size]].concat();
        let rotated_factors = [&factors[rotation * num_factors..], &factors[..rotation * num_factors]].concat();
        let all = |codes: &[f32], factors: &[u32]| {
            let data = FactorCodes::new(codes, size, factors, num_factors);
            // Bins of signed values differ at their edges only, where the least and the largest value lie.
            let information = mutual_information(&data, 20);
            let sums: Vec<f64> = explicitness(&data, &data).into_iter().flatten().collect();
            let accuracies = sap(&linear_accuracies(&data, &data), num_factors);
            (mig(&information, &factor_entropies(&data)), modularity(&information, num_factors), accuracies, sap(&squared_correlations(&data), num_factors), sums)
        };
        let (mig, modularity, accuracies, correlations, areas) = all(&codes, &factors);
        let (same_mig, same_modularity, same_accuracies, same_correlations, same_areas) = all(&rotated(&codes), &rotated_factors);
        assert_near(&[same_mig, same_modularity, same_accuracies, same_correlations], &[mig, modularity, accuracies, correlations], 1e-9, "order of examples");
        assert_near(&same_areas, &areas, 1e-6, "order of examples");
        let (_, _, same_accuracies, same_correlations, same_areas) = all(&other, &factors);
        assert_near(&[same_accuracies, same_correlations], &[accuracies, correlations], 1e-9, "dimensions");
        assert_near(&same_areas, &areas, 1e-6, "dimensions");
        let permuted: Vec<f32> = other.iter().map(|value| -value).collect();
        let (same_mig, same_modularity, ..) = all(&permuted, &factors);
        assert_near(&[same_mig, same_modularity], &[mig, modularity], 1e-12, "permuted");
    }
}

/// Examples of six features of which the first two are the factors, on a grid of 4 x 5 values.
fn known(num: usize) -> Table {
    let mut table = Table::random(num, &[6], num as u64);
    table.spec.domain = Domain::Real;
    let indices: Vec<u32> = (0..num as u32).flat_map(|index| [index % 4, index / 4 % 5]).collect();
    for (row, factors) in table.values.chunks_mut(6).zip(indices.chunks(2)) {
        row[0] = factors[0] as f32;
        row[1] = factors[1] as f32;
    }
    table.factors = Some(Factors { names: vec!["shape".to_owned(), "size".to_owned()], sizes: vec![4, 5], indices });
    table
}

fn setting() -> Setting {
    Setting::new(Fixed::new(1.0, 2, 6), known(400), known(200))
}

fn measure(setting: &Setting, options: serde_json::Value) -> aelab_eval::Outcome {
    setting.measure_with("disentanglement", options).unwrap()
}

#[test]
fn a_model_whose_code_is_the_factors_is_perfect_and_pca_stands_beside_it() {
    let mut setting = setting();
    let options = json!({"num_train": 300, "num_test": 150});
    let outcome = measure(&setting, options.clone());
    assert_eq!(outcome.warnings, Vec::<String>::new());
    let value = |name: &str| outcome.measurements.iter().find(|found| found.name == name).unwrap_or_else(|| panic!("{name}")).value;
    for name in ["beta_vae_score", "factor_vae_score", "dci_disentanglement", "dci_completeness", "dci_informativeness"] {
        assert!((value(name) - 1.0).abs() < 1e-9, "{name} is {}", value(name));
    }
    // 300 of 400 examples are not quite the grid.
    assert!(value("mig") > 0.95 && value("sap_r2") > 0.95 && value("modularity") > 0.95);
    assert!(value("pca_mig") > 0.3 && value("pca_factor_vae_score") > 0.9);
    assert_eq!(outcome.measurements.len(), 20);
    setting.batch_size = 33;
    assert_eq!(measure(&setting, options), outcome);
    let tables: Vec<(&str, usize)> = outcome.tables.iter().map(|table| (table.name.as_str(), table.rows.len())).collect();
    assert_eq!(tables, [("disentanglement", 4), ("disentanglement_factors", 2)]);
    assert_eq!(outcome.tables[0].rows[0][2], json!("shape"));
    let [information, importances] = &outcome.pictures[..] else { panic!("two pictures") };
    assert_eq!((information.name.as_str(), importances.name.as_str()), ("mutual_information", "dci_importances"));
    let PictureContent::Heatmap { rows, columns, values, .. } = &importances.content else { panic!("a matrix") };
    assert_eq!(
        (rows.as_slice(), columns.as_slice()),
        (&["z1".to_owned(), "z2".to_owned()][..], &["shape".to_owned(), "size".to_owned()][..])
    );
    assert_near(values, &[1.0, 0.0, 0.0, 1.0], 1e-12, "importances");
}

#[test]
fn leaving_scores_out_changes_no_other() {
    let setting = setting();
    let all = measure(&setting, json!({"num_train": 300, "num_test": 150, "tree_depth": 2, "num_trees": 3}));
    let some = measure(
        &setting,
        json!({"scores": ["dci", "beta_vae"], "num_train": 300, "num_test": 150, "tree_depth": 2, "num_trees": 3, "pca": false}),
    );
    assert_eq!(some.measurements.len(), 4);
    for measurement in some.measurements {
        assert!(all.measurements.contains(&measurement), "{}", measurement.name);
    }
}

#[test]
fn what_is_not_known_or_does_not_vary_is_said() {
    let mut setting = setting();
    for table in [&mut setting.train, &mut setting.test] {
        for factors in table.factors.as_mut().unwrap().indices.chunks_mut(2) {
            factors[1] = 3;
        }
    }
    let outcome = measure(&setting, json!({}));
    assert!(outcome.warnings[0].ends_with("takes one value only: size"), "{:?}", outcome.warnings);
    assert!(outcome.measurements.iter().all(|found| found.value.is_finite()) && outcome.measurements.len() == 20);
    // Five test examples: some value belongs to one of them alone.
    setting.test = known(5);
    assert!(measure(&setting, json!({})).warnings.iter().any(|warning| warning.contains("one example only")));
    setting.test = known(1);
    assert!(measure(&setting, json!({})).warnings[0].contains("no factor takes two values"));
    setting.test.factors = None;
    let outcome = measure(&setting, json!({}));
    assert!(outcome.measurements.is_empty() && outcome.warnings[0].contains("not known"));
}

#[test]
fn collapsed_dimensions_are_counted() {
    let mut setting = setting();
    for table in [&mut setting.train, &mut setting.test] {
        table.values.iter_mut().for_each(|value| *value *= 0.01);
    }
    let outcome = measure(&setting, json!({"scores": ["factor_vae"], "pca": false}));
    assert_eq!(outcome.measurements[0].value, 0.0);
    assert!(outcome.warnings[0].starts_with("2 of 2 dimensions"), "{:?}", outcome.warnings);
    let outcome = measure(&setting, json!({"scores": ["factor_vae"], "pca": false, "min_deviation": 0}));
    assert_eq!((outcome.measurements[0].value, outcome.warnings.len()), (1.0, 0));
}

#[test]
fn options_that_no_data_could_satisfy_are_refused() {
    let message = |options: serde_json::Value| (aelab_eval::find("disentanglement").unwrap().parse)(options).unwrap_err().to_string();
    assert!(message(json!({"scores": []})).contains("at least one score"));
    assert!(message(json!({"scores": ["mig", "mig"]})).contains("\"mig\" stands twice"));
    assert!(message(json!({"scores": ["gap"]})).contains("expected one of `beta_vae`"));
    assert!(message(json!({"num_bins": 0})).contains("nonzero"));
    assert!(message(json!({"num_bins": 4_000_000_000u32})).contains("at most 10000 bins"));
    assert!(message(json!({"min_deviation": -1})).contains("-1 is no standard deviation"));
}

#[test]
fn the_classifier_of_the_beta_vae_score_is_that_of_scikit_learn() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/disentanglement.json")).unwrap();
    let golden = &golden["beta_vae"];
    let points: Vec<f64> = serde_json::from_value(golden["points"].clone()).unwrap();
    let labels: Vec<u32> = serde_json::from_value(golden["labels"].clone()).unwrap();
    let num_train = golden["num_train"].as_u64().unwrap() as usize;
    let fitted = aelab_eval::LogisticRegression::fit(&points[..num_train * 4], 4, &labels[..num_train], 1.0).unwrap();
    let right = fitted.predict(&points[num_train * 4..]).iter().zip(&labels[num_train..]).filter(|(a, b)| a == b).count();
    let accuracy = right as f64 / (labels.len() - num_train) as f64;
    assert_eq!(accuracy, golden["accuracy"].as_f64().unwrap());
}
