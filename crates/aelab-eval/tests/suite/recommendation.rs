//! Rankings, EASE and biases against independent ones (values by scripts/reference/recommendation.py), and the evaluation.

use aelab_core::Domain;
use aelab_eval::{CoOccurrences, Ease, EvaluationError, Rating, RatingBiases, ndcg, recall, ties_by_score};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::common::{Fixed, Setting, Table};

#[derive(Deserialize)]
struct Golden {
    rankings: Vec<Ranking>,
    ease: Vec<EaseCase>,
    biases: Vec<Biases>,
}

#[derive(Deserialize)]
struct Ranking {
    k: usize,
    scores: Vec<f64>,
    shown: Vec<f32>,
    held_out: Vec<bool>,
    ndcg: f64,
    recall: f64,
}

#[derive(Deserialize)]
struct EaseCase {
    num_items: usize,
    lambda: f64,
    rows: Vec<f32>,
    weights: Vec<f64>,
}

#[derive(Deserialize)]
struct Biases {
    num_rows: usize,
    num_columns: usize,
    lambda: f64,
    ratings: Vec<(usize, usize, f64)>,
    predictions: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/recommendation.json")).unwrap()
}

fn near(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * (1.0 + expected.abs())
}

#[test]
fn rankings_equal_scikit_learn_and_the_mult_vae_repository_in_the_mean_over_orders_of_ties() {
    let cases = golden().rankings;
    assert!(cases.len() >= 20);
    for Ranking { k, scores, shown, held_out, ndcg: expected, recall: share } in cases {
        let ties = ties_by_score(&scores, &shown, &held_out);
        assert!(
            near(ndcg(&ties, k), expected, 1e-12) && near(recall(&ties, k), share, 1e-12),
            "at {k}: {} {}",
            ndcg(&ties, k),
            recall(&ties, k)
        );
    }
}

#[test]
fn ease_is_the_constrained_ridge_regression() {
    for EaseCase { num_items, lambda, rows, weights } in golden().ease {
        let mut together = CoOccurrences::new(num_items);
        together.add(&rows);
        let ease = Ease::fit(&together, lambda).unwrap();
        for (at, expected) in weights.into_iter().enumerate() {
            let (from, to) = (at / num_items, at % num_items);
            assert!(near(ease.weight(from, to), expected, 1e-11), "{} instead of {expected}", ease.weight(from, to));
            assert!(from != to || ease.weight(from, to) == 0.0);
        }
    }
}

#[test]
fn biases_are_the_regularised_least_squares() {
    for Biases { num_rows, num_columns, lambda, ratings, predictions } in golden().biases {
        let ratings: Vec<Rating> = ratings.into_iter().map(|(row, column, value)| Rating { row, column, value }).collect();
        let model = RatingBiases::fit(&ratings, num_rows, num_columns, lambda);
        for (row, expected) in predictions.chunks(num_columns).enumerate() {
            let shown = ratings.iter().filter(|rating| rating.row == row).map(|rating| (rating.column, rating.value));
            for (found, expected) in model.predict(shown).into_iter().zip(expected) {
                assert!(near(found, *expected, 1e-8), "{found} instead of {expected}");
            }
        }
    }
}

/// Rows of `num_items` choices in two groups of taste: even rows like the first half of the items, odd rows the second. Item 0 is liked
/// by all in the training split. Each test row holds out one choice of its group.
fn tastes() -> Setting {
    let num_items = 8;
    let row = |taste: usize, left_out: Option<usize>| -> Vec<f32> {
        (0..num_items).map(|item| f32::from(u8::from(item / 4 == taste && Some(item) != left_out))).collect()
    };
    let train = (0..20).flat_map(|index| row(index % 2, Some(index % 2 * 4 + index / 2 % 4))).collect();
    let (mut shown, mut values) = (Vec::new(), Vec::new());
    for index in 0..6 {
        let held_out = index % 2 * 4 + index / 2 % 4;
        shown.extend(row(index % 2, Some(held_out)));
        values.extend((0..num_items).map(|item| f32::from(u8::from(item == held_out))));
    }
    let mut test = Table::new(&[num_items], Domain::Binary, shown);
    test.held_out = Some((values.clone(), values));
    Setting::new(Fixed::new(1.0, 2, num_items), Table::new(&[num_items], Domain::Binary, train), test)
}

fn measure(setting: &Setting, options: serde_json::Value) -> aelab_eval::Outcome {
    setting.measure_with("recommendation", options).unwrap()
}

#[test]
fn ease_knows_tastes_and_popularity_does_not() {
    let setting = tastes();
    let outcome = measure(&setting, json!({"ndcg": [1, 100], "recall": [1]}));
    let value = |name: &str| outcome.measurements.iter().find(|found| found.name == name).unwrap_or_else(|| panic!("{name}")).value;
    assert_eq!((value("ease_ndcg@1"), value("ease_recall@1"), value("ease_ndcg@100")), (1.0, 1.0, 1.0));
    // The model scores what is hidden 0, as everything else that is not shown: no better than chance.
    assert!(near(value("recall@1"), 0.2, 1e-12), "{}", value("recall@1"));
    assert!(value("ndcg@1") < 1.0 && value("popularity_ndcg@1") < 1.0);
    let names: Vec<&str> = outcome.measurements.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names[..3], ["ndcg@1", "ndcg@100", "recall@1"]);
    assert_eq!(
        names[3..],
        ["ease_ndcg@1", "ease_ndcg@100", "ease_recall@1", "popularity_ndcg@1", "popularity_ndcg@100", "popularity_recall@1"]
    );
    // Nothing is held out of the validation split here: the first price is taken and no other is tried.
    assert_eq!((outcome.tables[0].name.as_str(), outcome.tables[0].rows.len()), ("ease_lambda", 1));
    assert_eq!(outcome.tables[0].rows[0], [json!(250.0), json!(null), json!(true)]);
}

#[test]
fn popularity_is_the_list_of_what_most_training_rows_chose() {
    // Item 2 is liked by 3, item 1 by 2, item 0 by 1; the test row holds out item 1 and shows item 3.
    let train = vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
    let mut test = Table::new(&[4], Domain::Binary, vec![0.0, 0.0, 0.0, 1.0]);
    test.held_out = Some((vec![0.0, 1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0, 0.0]));
    let setting = Setting::new(Fixed::new(1.0, 2, 4), Table::new(&[4], Domain::Binary, train), test);
    let values = setting.values("recommendation");
    assert!(near(values["popularity_ndcg@100"], 1.0 / 3f64.log2(), 1e-12), "{values:?}");
}

#[test]
fn the_price_of_ease_is_chosen_on_validation_rows_and_said_in_the_table() {
    let mut setting = tastes();
    // The training split is the validation split of these settings, and holds the same out.
    setting.train = setting.test.clone();
    let outcome = measure(&setting, json!({"ease_lambda": [1e6, 0.5, 2.0], "ndcg": [2]}));
    let table = &outcome.tables[0];
    assert_eq!(table.columns, ["lambda", "valid_ndcg@2", "is_chosen"]);
    let chosen: Vec<bool> = table.rows.iter().map(|row| row[2].as_bool().unwrap()).collect();
    let valid: Vec<f64> = table.rows.iter().map(|row| row[1].as_f64().unwrap()).collect();
    let best = valid.iter().copied().fold(0.0, f64::max);
    let first = valid.iter().position(|value| *value == best).unwrap();
    assert_eq!(chosen, (0..3).map(|at| at == first).collect::<Vec<_>>(), "{valid:?}");
    let test = outcome.measurements.iter().find(|found| found.name == "ease_ndcg@2").unwrap().value;
    // Both splits are the same rows here.
    assert_eq!(test, best);
}

#[test]
fn ratings_have_a_mean_and_biases_beside_them() {
    // Ratings that are a sum of biases: row r, column c gives r + c. Two columns of the test row are hidden.
    let train: Vec<f32> = (0..12).flat_map(|row| (0..5).map(move |column| (row % 3 + column) as f32)).collect();
    let mut test = Table::new(&[5], Domain::Real, vec![2.0, 3.0, 4.0, 0.0, 0.0]);
    test.num_observed = Some(3);
    test.held_out = Some((vec![0.0, 0.0, 0.0, 5.0, 6.0], vec![0.0, 0.0, 0.0, 1.0, 1.0]));
    let setting = Setting::new(Fixed::new(1.0, 2, 5), Table::new(&[5], Domain::Real, train), test);
    let outcome = measure(&setting, json!({"bias_lambda": [1e-9, 7.0]}));
    let value = |name: &str| outcome.measurements.iter().find(|found| found.name == name).unwrap().value;
    // The model says 0, the mean 3, the biases what is right.
    assert!(near(value("held_out_rmse"), (61.0f64 / 2.0).sqrt(), 1e-12) && near(value("held_out_mae"), 5.5, 1e-12));
    assert!(near(value("mean_held_out_rmse"), (13.0f64 / 2.0).sqrt(), 1e-12) && near(value("mean_held_out_mae"), 2.5, 1e-12));
    assert!(value("bias_held_out_rmse") < 1e-6 && value("bias_held_out_mae") < 1e-6, "{}", value("bias_held_out_rmse"));
    assert_eq!(outcome.tables[0].rows, [[json!(1e-9), json!(null), json!(true)]]);
    let without = measure(&setting, json!({"bias_lambda": []}));
    assert_eq!(without.measurements.len(), 4);
}

#[test]
fn a_model_that_diverged_ranks_nothing() {
    let mut setting = tastes();
    setting.model.scale = f32::NAN;
    let error = setting.measure("recommendation").unwrap_err();
    assert!(matches!(&error, EvaluationError::NonFinite { metric, .. } if metric == "prediction"), "{error}");
}

#[test]
fn where_only_what_is_held_out_is_new_the_errors_of_training_values_are_not_passed_off_as_test_errors() {
    let values: Vec<f32> = (0..60).map(|index| (index % 7) as f32).collect();
    let mut test = Table::new(&[5], Domain::Real, values.clone());
    test.held_out = Some((vec![2.0; 60], vec![1.0; 60]));
    let mut setting = Setting::new(Fixed::new(0.5, 2, 5), Table::new(&[5], Domain::Real, values), test);
    let warnings = |setting: &Setting| -> Vec<Vec<String>> {
        setting.with_context(|context| {
            ["reconstruction", "objective", "mean_baseline", "sparsity", "memorisation"]
                .map(|name| (aelab_eval::find(name).unwrap().parse)(json!({})).unwrap().measure(context).unwrap().warnings)
                .to_vec()
        })
    };
    let found = warnings(&setting);
    assert!(found[0][0].contains("what training has seen") && found[0][0].contains("`recommendation`"), "{found:?}");
    // Once is enough; what compares training with test has nothing to say.
    assert!(found[1..4].iter().all(Vec::is_empty), "{found:?}");
    assert!(found[4][0].contains("measures nothing") && setting.values("memorisation").is_empty());
    // Rows of other users, from which something is held out, are test data.
    setting.test.values[0] += 1.0;
    assert!(warnings(&setting).iter().all(Vec::is_empty));
}

#[test]
fn options_that_say_nothing_are_refused() {
    let message = |options: serde_json::Value| (aelab_eval::find("recommendation").unwrap().parse)(options).unwrap_err().to_string();
    assert!(message(json!({"ndcg": [0]})).contains("nonzero"));
    assert!(message(json!({"recall": [5, 5]})).contains("5 stands twice"));
    assert!(message(json!({"ease_lambda": [-1.0]})).contains("-1 is no price"));
    assert!(message(json!({"bias_lambda": [0.0]})).contains("above 0"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_batch_size_nor_the_order_of_rows_matters(batch_size in 1usize..9, rotation in 0usize..6) {
        let mut setting = tastes();
        let expected = setting.values("recommendation");
        setting.batch_size = batch_size;
        let rotate = |values: &mut Vec<f32>| values.rotate_left(rotation * 8);
        rotate(&mut setting.test.values);
        let (values, marks) = setting.test.held_out.as_mut().unwrap();
        rotate(values);
        rotate(marks);
        for (name, value) in setting.values("recommendation") {
            prop_assert!(near(value, expected[&name], 1e-12), "{}", name);
        }
    }

    #[test]
    fn rankings_do_not_change_under_rising_maps(scores in proptest::collection::vec(-20i8..20, 1..40)) {
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let shown = vec![0.0; scores.len()];
        let mapped: Vec<f64> = scores.iter().map(|score| (score / 5.0).exp() - 3.0).collect();
        let is_right: Vec<bool> = (0..scores.len()).map(|item| item % 3 == 0).collect();
        prop_assert_eq!(ties_by_score(&scores, &shown, &is_right), ties_by_score(&mapped, &shown, &is_right));
    }
}
