//! `jacobian` against PyTorch (values by scripts/reference/derivatives.py), closed forms and finite differences.

use aelab_core::{Domain, TrainedModel};
use aelab_eval::{Outcome, PictureContent};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{Fixed, Setting, Table, cases};
use crate::learned::{Data, Layer, measure, network, random_layers, value};

#[derive(Deserialize)]
struct Case {
    name: String,
    sizes: Vec<usize>,
    linear: bool,
    layers: Vec<Layer>,
    x: Vec<f32>,
    norm: f64,
    squared: f64,
    local_dimension: f64,
    spectrum: Vec<f64>,
    saturated: Option<f64>,
}

fn jacobian(model: &dyn TrainedModel, x: &Table, options: Value) -> Outcome {
    let data = Data { train: x, valid: x, test: x };
    measure("jacobian", options, model, &|_| unreachable!("nothing untrained is measured"), &data, (3, 1)).unwrap()
}

fn table(x: &[f32], size: usize) -> Table {
    Table::new(&[size], Domain::Real, x.to_vec())
}

fn close(found: f64, expected: f64, within: f64) -> bool {
    (found - expected).abs() <= within * (1.0 + expected.abs())
}

#[test]
fn derivatives_of_known_networks_equal_pytorch() {
    let cases: Vec<Case> = cases(include_str!("../golden/jacobian.json"));
    assert_eq!(cases.len(), 6);
    for case in cases {
        let outcome = jacobian(&*network(&case.sizes, &case.layers, case.linear), &table(&case.x, case.sizes[0]), json!({}));
        let of = |name: &str| value(&outcome, name).unwrap();
        // The network computes in single precision.
        assert!(close(of("jacobian_norm"), case.norm, 2e-6), "{}: {} and {}", case.name, of("jacobian_norm"), case.norm);
        assert!(close(of("squared_jacobian_norm"), case.squared, 4e-6), "{}", case.name);
        assert_eq!(of("local_dimension"), case.local_dimension, "{}", case.name);
        assert_eq!(value(&outcome, "saturated_units").is_some(), case.saturated.is_some(), "{}", case.name);
        if let Some(expected) = case.saturated {
            assert!(close(of("saturated_units"), expected, 1e-12), "{}", case.name);
        }
        let spectrum: Vec<f64> = outcome.tables[0].rows.iter().map(|row| row[1].as_f64().unwrap()).collect();
        assert_eq!(spectrum.len(), case.spectrum.len());
        assert!(spectrum.iter().zip(&case.spectrum).all(|(&found, &expected)| close(found, expected, 2e-6)), "{}: {spectrum:?}", case.name);
        let PictureContent::Lines { lines, .. } = &outcome.pictures[0].content else { panic!("a chart of lines") };
        assert_eq!(lines[0].points.len(), spectrum.len());
    }
}

#[test]
fn the_norm_of_a_sigmoid_layer_has_its_closed_form() {
    let (sizes, layers) = ([20, 30], random_layers(&[20, 30], 1.0, 3));
    let x = Table::random(12, &[20], 5);
    let outcome = jacobian(&*network(&sizes, &layers, false), &x, json!({"num_examples": 7}));
    let (weight, bias) = (&layers[0].weight, &layers[0].bias);
    let squared_norm = |x: &[f32]| -> f64 {
        (0..30)
            .map(|j| {
                let sum: f64 = (0..20).map(|i| f64::from(x[i]) * f64::from(weight[i * 30 + j])).sum::<f64>() + f64::from(bias[j]);
                let h = 1.0 / (1.0 + (-sum).exp());
                (h * (1.0 - h)).powi(2) * (0..20).map(|i| f64::from(weight[i * 30 + j]).powi(2)).sum::<f64>()
            })
            .sum()
    };
    let expected: Vec<f64> = x.values.chunks(20).take(7).map(squared_norm).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 7.0;
    assert!(close(value(&outcome, "squared_jacobian_norm").unwrap(), mean(&mut expected.iter().copied()), 2e-6));
    assert!(close(value(&outcome, "jacobian_norm").unwrap(), mean(&mut expected.iter().map(|value| value.sqrt())), 2e-6));
}

#[test]
fn a_linear_encoder_has_the_norm_of_its_weights_and_orthonormal_rows_that_of_pca() {
    let mut weight = vec![0.0; 5 * 3];
    (0..3).for_each(|unit| weight[unit * 3 + unit] = 1.0);
    let layers = [Layer { weight, bias: vec![0.5; 3] }];
    let outcome = jacobian(&*network(&[5, 3], &layers, true), &Table::random(9, &[5], 1), json!({}));
    assert!(close(value(&outcome, "jacobian_norm").unwrap(), 3f64.sqrt(), 1e-7));
    assert!(close(value(&outcome, "pca_jacobian_norm").unwrap(), 3f64.sqrt(), 1e-15));
    assert_eq!(value(&outcome, "local_dimension"), Some(3.0));
    assert_eq!(value(&outcome, "saturated_units"), None);
}

#[test]
fn derivatives_are_what_finite_differences_of_the_encoder_say() {
    let sizes = [6, 8, 5];
    let model = network(&sizes, &random_layers(&sizes, 1.5, 7), false);
    let x = Table::random(4, &[6], 8);
    let encode = |x: Vec<f32>| -> Vec<f32> {
        model.encode(Tensor::from_data(TensorData::new(x, [1, 6]), &Device::flex())).into_data().try_to_vec().unwrap()
    };
    const STEP: f32 = 1.0 / 64.0;
    let squared_norm = |x: &[f32]| -> f64 {
        (0..6)
            .map(|feature| {
                let moved = |by: f32| {
                    let mut x = x.to_vec();
                    x[feature] += by;
                    encode(x)
                };
                moved(STEP)
                    .iter()
                    .zip(moved(-STEP))
                    .map(|(up, down)| ((f64::from(*up) - f64::from(down)) / (2.0 * f64::from(STEP))).powi(2))
                    .sum::<f64>()
            })
            .sum()
    };
    let expected = x.values.chunks(6).map(squared_norm).sum::<f64>() / 4.0;
    let found = value(&jacobian(&*model, &x, json!({})), "squared_jacobian_norm").unwrap();
    assert!((found - expected).abs() < 1e-3 * expected, "{found} and {expected}");
}

#[test]
fn projections_estimate_the_norm_of_codes_that_are_too_large() {
    let sizes = [20, 300];
    let model = network(&sizes, &random_layers(&sizes, 1.0, 3), false);
    let x = Table::random(5, &[20], 5);
    let exact = jacobian(&*model, &x, json!({}));
    let estimated = jacobian(&*model, &x, json!({"max_units": 299, "num_projections": 2000}));
    let of = |outcome: &Outcome| value(outcome, "squared_jacobian_norm").unwrap();
    // Each projection has a relative variance of 2 |J J^T|_F^2 / |J|_F^4 <= 2: five standard deviations of the mean.
    assert!((of(&estimated) / of(&exact) - 1.0).abs() < 5.0 * (2.0f64 / 2000.0).sqrt(), "{} and {}", of(&estimated), of(&exact));
    assert!(of(&estimated) != of(&exact));
    assert_eq!((value(&estimated, "local_dimension"), estimated.warnings.len()), (None, 1));
    assert!(exact.warnings.is_empty());
}

#[test]
fn a_model_without_a_tape_is_warned_of() {
    let setting = Setting::new(Fixed::new(1.0, 2, 4), Table::random(5, &[4], 1), Table::random(5, &[4], 2));
    let outcome = setting.measure("jacobian").unwrap();
    assert_eq!((outcome.measurements.len(), outcome.warnings.len()), (0, 1));
}
