//! PCA against closed forms and scikit-learn (values by scripts/reference/skimage_metrics.py).

use crate::common::{Table, cases};
use aelab_core::{Domain, Purpose, stream};
use aelab_eval::{EvaluationError, MAX_PCA_SIDE, Pca, sse};
use rand::RngExt;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    num_features: usize,
    train: Vec<f32>,
    test: Vec<f32>,
    mean: Vec<f64>,
    eigenvalues: Vec<f64>,
    first_component: Vec<f64>,
    errors: Vec<Error>,
}

#[derive(Deserialize)]
struct Error {
    k: usize,
    test_sse: f64,
}

fn fit(table: &Table) -> Pca {
    Pca::fit(table, &stream(1, Purpose::Evaluation, 0, 0)).unwrap()
}

/// `num` examples of `num_features` values that lie in an affine subspace of `rank` dimensions.
fn of_rank(rank: usize, num: usize, num_features: usize) -> Table {
    let mut stream = stream(3, Purpose::Transform, 0, 0);
    // Small integers, so that products and sums are exact in f32.
    let mut draw = || f32::from(stream.random_range(-4i8..=4));
    let basis: Vec<f32> = (0..rank * num_features).map(|_| draw()).collect();
    let mut values = Vec::new();
    for _ in 0..num {
        let weights: Vec<f32> = (0..rank).map(|_| draw()).collect();
        values.extend(
            (0..num_features).map(|feature| 5.0 + (0..rank).map(|axis| weights[axis] * basis[axis * num_features + feature]).sum::<f32>()),
        );
    }
    Table::new(&[num_features], Domain::Real, values)
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance * (1.0 + expected.abs()), "{what}: {found}, expected {expected}");
}

#[test]
fn squared_errors_are_those_of_the_reconstructions_and_exactly_zero_where_these_are_exact() {
    let (table, others) = (of_rank(5, 60, 12), Table::random(20, &[12], 4));
    let pca = fit(&table);
    for (examples, num_components) in [(&table, 0), (&table, 3), (&table, 5), (&others, 4), (&others, 12), (&others, 40)] {
        let reconstructions = pca.reconstruct(&examples.values, num_components);
        let errors = pca.squared_errors(&examples.values, num_components);
        assert_eq!(errors.len(), examples.values.len() / 12);
        for (index, error) in errors.into_iter().enumerate() {
            let row = index * 12..(index + 1) * 12;
            let expected = sse(&examples.values[row.clone()], &reconstructions[row], 12);
            assert!((error - expected).abs() <= 1e-9 * expected, "{num_components}: {error} is not {expected}");
        }
    }
}

#[test]
fn agrees_with_scikit_learn() {
    let cases: Vec<Case> = cases(include_str!("../golden/pca.json"));
    assert_eq!(cases.len(), 3);
    for case in cases {
        let pca = fit(&Table::new(&[case.num_features], Domain::Real, case.train));
        for (found, expected) in pca.mean().iter().zip(&case.mean) {
            assert_close(*found, *expected, 1e-12, "mean");
        }
        assert!(pca.eigenvalues()[case.eigenvalues.len()..].iter().all(|value| *value < 1e-12));
        for (found, expected) in pca.eigenvalues().iter().zip(&case.eigenvalues) {
            assert_close(*found, *expected, 1e-11, "eigenvalue");
        }
        let cosine: f64 = pca.component(0).iter().zip(&case.first_component).map(|(a, b)| a * b).sum();
        assert_close(cosine.abs(), 1.0, 1e-12, "cosine of the first component");
        for error in case.errors {
            let found = sse(&case.test, &pca.reconstruct(&case.test, error.k), case.num_features);
            assert_close(found, error.test_sse, 1e-11, &format!("test SSE at k = {}", error.k));
            let errors = pca.squared_errors(&case.test, error.k);
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            assert_close(mean, error.test_sse, 1e-9, &format!("mean of squared errors at k = {}", error.k));
        }
    }
}

#[test]
fn data_of_rank_k_is_reconstructed_exactly_from_k_components() {
    for (num, num_features) in [(200, 12), (10, 40)] {
        let table = of_rank(3, num, num_features);
        let pca = fit(&table);
        let error = |k| sse(&table.values, &pca.reconstruct(&table.values, k), num_features);
        assert!(error(3) < 1e-20 * error(0), "{}", error(3));
        assert!(error(2) > 1e-3 * error(0));
    }
}

#[test]
fn discarded_eigenvalues_sum_up_to_the_training_error() {
    for (num, shape) in [(300, 20), (12, 50)] {
        let table = Table::random(num, &[shape], 5);
        let pca = fit(&table);
        for k in [0, 1, 7, num.min(shape) - 2] {
            let error = sse(&table.values, &pca.reconstruct(&table.values, k), shape);
            assert_close(error, pca.eigenvalues()[k..].iter().sum(), 1e-12, &format!("k = {k}"));
        }
        assert!(pca.eigenvalues().is_sorted_by(|a, b| a >= b));
    }
}

#[test]
fn components_are_orthonormal_with_a_fixed_sign() {
    for table in [Table::random(100, &[15], 6), Table::random(9, &[15], 6)] {
        let pca = fit(&table);
        for first in 0..pca.eigenvalues().len() {
            for second in 0..=first {
                let product: f64 = pca.component(first).iter().zip(pca.component(second)).map(|(a, b)| a * b).sum();
                assert!((product - if first == second { 1.0 } else { 0.0 }).abs() < 1e-12, "{first}, {second}: {product}");
            }
            let largest = pca.component(first).iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
            assert!(largest > 0.0);
        }
    }
}

#[test]
fn a_large_mean_costs_no_precision() {
    let table = Table::random(100, &[6], 8);
    // Multiples of 1/16 around 2^18 are exact in f32.
    let rounded: Vec<f32> = table.values.iter().map(|value| (value * 16.0).round() / 16.0).collect();
    let shifted = rounded.iter().map(|value| value + 262_144.0).collect();
    let (near, far) = (fit(&Table::new(&[6], Domain::Real, rounded)), fit(&Table::new(&[6], Domain::Real, shifted)));
    for (near, far) in near.eigenvalues().iter().zip(far.eigenvalues()) {
        assert_close(*far, *near, 1e-9, "eigenvalue");
    }
}

#[test]
fn constant_data_and_single_examples_have_no_variance_and_are_reconstructed() {
    for table in [
        Table::new(&[4], Domain::UnitInterval, vec![0.25; 40]),
        Table::new(&[4], Domain::UnitInterval, vec![0.1, 0.2, 0.3, 0.4]),
        Table::new(&[1], Domain::UnitInterval, vec![0.1]),
    ] {
        let pca = fit(&table);
        for k in [0, 1, 100] {
            let error = sse(&table.values, &pca.reconstruct(&table.values, k), table.spec.num_features());
            assert!(error < 1e-28, "{error}");
        }
        assert!(pca.eigenvalues().iter().all(|value| (0.0..1e-28).contains(value)));
    }
}

#[test]
fn more_components_than_there_are_is_all_of_them() {
    let table = Table::random(30, &[8], 9);
    let pca = fit(&table);
    assert_eq!(pca.reconstruct(&table.values, 8), pca.reconstruct(&table.values, 1000));
    assert!(sse(&table.values, &pca.reconstruct(&table.values, 8), 8) < 1e-28);
}

#[test]
fn what_cannot_be_fitted_is_a_clear_error() {
    let fit = |table: &Table| Pca::fit(table, &stream(1, Purpose::Evaluation, 0, 0)).unwrap_err();
    let mut table = Table::random(5, &[3], 1);
    table.values[7] = f32::NAN;
    assert_eq!(fit(&table), EvaluationError::NonFiniteData { feature: 1 });
    assert!(matches!(fit(&Table::random(0, &[3], 1)), EvaluationError::EmptySplit { .. }));
    let side = MAX_PCA_SIDE + 1;
    let error = fit(&Table::new(&[side], Domain::Real, vec![0.0; side * side]));
    assert_eq!(error, EvaluationError::PcaTooLarge { num_examples: side, num_features: side, limit: MAX_PCA_SIDE });
}

#[test]
fn the_same_examples_give_the_same_bits() {
    let table = Table::random(700, &[300], 10);
    let pca = fit(&table);
    for _ in 0..3 {
        assert_eq!(fit(&table), pca);
    }
    assert_eq!(pca.reconstruct(&table.values, 40), pca.reconstruct(&table.values, 40));
}
