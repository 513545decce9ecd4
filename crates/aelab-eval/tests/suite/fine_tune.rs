//! `fine_tune` against PyTorch (values by scripts/reference/derivatives.py) and on data where the answer is known.

use aelab_core::{Domain, TrainedModel};
use aelab_eval::{EvaluationError, Outcome, PictureContent};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{Fixed, Setting, Table};
use crate::learned::{Data, Layer, measure, network, random_layers, value};

const SIZES: [usize; 3] = [4, 6, 3];

fn untrained(_seed: u64) -> Result<Box<dyn TrainedModel>, aelab_core::StateError> {
    Ok(network(&SIZES, &random_layers(&SIZES, 1.0, 9), false))
}

/// Two clusters far from each other; the labels say which, or nothing.
fn clusters(num: usize, seed: u64, labels_are_right: bool) -> Table {
    let mut table = Table::random(num, &[4], seed);
    let coins = Table::random(num, &[1], seed + 1000).values;
    for (index, row) in table.values.chunks_mut(4).enumerate() {
        row.iter_mut().for_each(|value| *value += 3.0 * (index % 2) as f32);
    }
    let label = |index: usize| if labels_are_right { (index % 2) as u32 } else { u32::from(coins[index] > 0.5) };
    let labels = (0..num).map(label).collect();
    Table { labels: Some(labels), ..table.labelled(2) }
}

fn tune(train: &Table, valid: &Table, test: &Table, options: Value) -> Result<Outcome, EvaluationError> {
    let model = network(&SIZES, &random_layers(&SIZES, 1.0, 2), false);
    measure("fine_tune", options, &*model, &untrained, &Data { train, valid, test }, (17, 1))
}

#[derive(Deserialize)]
struct Golden {
    sizes: Vec<usize>,
    layers: Vec<Layer>,
    x: Vec<f32>,
    labels: Vec<u32>,
    rate: f64,
    epochs: Vec<Epoch>,
}

#[derive(Deserialize)]
struct Epoch {
    cross_entropy: f64,
    error: f64,
}

#[test]
fn full_batches_learn_as_they_do_in_pytorch() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/fine_tune.json")).unwrap();
    let table = Table { labels: Some(golden.labels), ..Table::new(&[5], Domain::Real, golden.x).labelled(3) };
    let model = network(&golden.sizes, &golden.layers, false);
    let same = |_| Ok(network(&golden.sizes, &golden.layers, false));
    let options = json!({"epochs": 3, "learning_rate": golden.rate, "batch_size": 24});
    let data = Data { train: &table, valid: &table, test: &table };
    let outcome = measure("fine_tune", options, &*model, &same, &data, (7, 1)).unwrap();
    let rows = &outcome.tables[0].rows;
    assert_eq!(rows.len(), 6);
    for (row, expected) in rows.iter().zip(golden.epochs.iter().cycle()) {
        let (cross_entropy, error) = (row[3].as_f64().unwrap(), row[4].as_f64().unwrap());
        assert!((cross_entropy - expected.cross_entropy).abs() < 1e-5, "{cross_entropy}, PyTorch {}", expected.cross_entropy);
        assert!((error - expected.error).abs() < 1e-9, "{error}, PyTorch {}", expected.error);
    }
    // The same start, the same order of the data: the same end.
    assert_eq!(value(&outcome, "fine_tune_error"), value(&outcome, "untrained_fine_tune_error"));
}

#[test]
fn clusters_far_apart_are_told_apart_from_few_labels_and_from_all() {
    let options = json!({"labels_per_class": ["all", 3], "epochs": 4, "learning_rate": 0.02});
    let outcome = tune(&clusters(80, 1, true), &clusters(30, 2, true), &clusters(41, 3, true), options).unwrap();
    let values: Vec<(&str, f64)> = outcome.measurements.iter().map(|found| (found.name.as_str(), found.value)).collect();
    let expected = ["fine_tune_error", "untrained_fine_tune_error", "fine_tune_error@3", "untrained_fine_tune_error@3"];
    assert_eq!(values, expected.map(|name| (name, 0.0)));
    let [picture] = &outcome.pictures[..] else { panic!("one picture") };
    let PictureContent::Lines { lines, .. } = &picture.content else { panic!("a chart of lines") };
    assert_eq!(lines.len(), 4);
}

#[test]
fn labels_without_meaning_leave_the_error_near_chance() {
    let outcome =
        tune(&clusters(60, 1, false), &clusters(40, 2, false), &clusters(400, 3, false), json!({"epochs": 3, "learning_rate": 0.02}))
            .unwrap();
    // 50 % with a standard deviation of 2.5 %.
    for name in ["fine_tune_error", "untrained_fine_tune_error"] {
        let error = value(&outcome, name).unwrap();
        assert!((37.5..62.5).contains(&error), "{name}: {error}");
    }
}

#[test]
fn the_seed_decides_the_outcome_and_the_model_stays_as_it_is() {
    let (train, valid, test) = (clusters(60, 1, true), clusters(40, 2, false), clusters(100, 3, false));
    let model = network(&SIZES, &random_layers(&SIZES, 1.0, 2), false);
    let data = Data { train: &train, valid: &valid, test: &test };
    let options = || json!({"labels_per_class": [5], "epochs": 2, "learning_rate": 0.02, "batch_size": 4});
    let with = |batch_size, seed| measure("fine_tune", options(), &*model, &untrained, &data, (batch_size, seed)).unwrap();
    let norm = || value(&measure("jacobian", json!({}), &*model, &untrained, &data, (7, 1)).unwrap(), "jacobian_norm");
    let (before, first) = (norm(), with(7, 1));
    assert_eq!(with(100, 1), first);
    assert_ne!(with(7, 2).tables, first.tables);
    assert_eq!(norm(), before);
}

#[test]
fn training_ends_when_validation_has_stopped_to_improve_and_the_best_epoch_counts() {
    let (right, wrong) = (clusters(60, 1, true), clusters(60, 1, true));
    // The validation labels are all wrong: what is learned makes them worse.
    let turned = Table { labels: wrong.labels.as_ref().map(|labels| labels.iter().map(|label| 1 - label).collect()), ..wrong.clone() };
    let outcome = tune(&right, &turned, &right, json!({"epochs": 30, "patience": 2, "learning_rate": 0.02})).unwrap();
    let rows: Vec<_> = outcome.tables[0].rows.iter().filter(|row| row[1] == "trained").collect();
    assert!(rows.len() < 10, "{} epochs", rows.len());
    let best = rows.iter().map(|row| row[4].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    let kept: Vec<_> = rows.iter().filter(|row| row[5] == true).collect();
    assert_eq!((kept.len(), kept[0][4].as_f64().unwrap()), (1, best));
}

#[test]
fn without_labels_or_validation_examples_it_says_so() {
    let unlabelled = Setting::new(Fixed::new(1.0, 2, 4), Table::random(5, &[4], 1), Table::random(5, &[4], 2));
    let outcome = unlabelled.measure("fine_tune").unwrap();
    assert_eq!((outcome.measurements.len(), outcome.warnings.len()), (0, 1));
    let labelled = Setting::new(Fixed::new(1.0, 2, 4), Table::random(5, &[4], 1).labelled(2), Table::random(5, &[4], 2).labelled(2));
    assert!(labelled.measure("fine_tune").unwrap().warnings[0].contains("no derivatives"));
    let one_class = Setting::new(Fixed::new(1.0, 2, 4), Table::random(5, &[4], 1).labelled(1), Table::random(5, &[4], 2).labelled(1));
    assert!(one_class.measure("fine_tune").unwrap().warnings[0].contains("one class"));
    let clustered = clusters(20, 1, true);
    let none = Table { values: Vec::new(), labels: Some(Vec::new()), ..clustered.clone() };
    let outcome = tune(&clustered, &none, &clustered, json!({"epochs": 2})).unwrap();
    assert_eq!((outcome.measurements.len(), outcome.warnings.len(), outcome.pictures.len()), (2, 1, 0));
    assert!(matches!(tune(&clustered, &clustered, &none, json!({})), Err(EvaluationError::EmptySplit { split: "test", .. })));
}
