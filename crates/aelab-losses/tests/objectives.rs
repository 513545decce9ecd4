//! Closed forms, PyTorch's values, central differences, and the far ends of single precision.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use std::f64::consts::{LN_2, PI};
use std::path::Path;

use aelab_core::DiagonalGaussian;
use aelab_core::conformance::{TOLERANCE, gradient_deviation};
use aelab_losses::{
    binary_cross_entropy_from_logits, gaussian_nll, gaussian_nll_with_log_var, kl_to_standard_normal, multinomial_nll, squared_error,
    weight_decay,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;
use serde_json::Value;

fn tensor(values: &[f32], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

fn number(scalar: Tensor<1>) -> f64 {
    assert_eq!(scalar.dims(), [1]);
    f64::from(scalar.into_scalar::<f32>())
}

/// A few units in the last place of single precision, summed over a few features.
const ROUNDING: f64 = 1e-6;

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= ROUNDING * expected.abs().max(1.0), "{found} is not {expected}");
}

struct Golden(Value);

impl Golden {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/pytorch_losses.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(serde_json::from_str(&text).unwrap())
    }

    fn tensor(&self, name: &str) -> Tensor<2> {
        let values: Vec<f32> = serde_json::from_value(self.0[name].clone()).unwrap();
        tensor(&values, serde_json::from_value(self.0["shape"].clone()).unwrap())
    }
}

#[test]
fn values_are_those_of_pytorch_with_and_without_a_mask() {
    let golden = Golden::read();
    let mask = golden.tensor("mask");
    let variance = golden.0["variance"].as_f64().unwrap();
    let x = || golden.tensor("x");
    for (set, mask) in [("values", None), ("masked", Some(&mask))] {
        let expected = |name: &str| golden.0[set][name].as_f64().unwrap();
        close(number(squared_error(x(), golden.tensor("reconstruction"), mask)), expected("squared_error"));
        let nll = binary_cross_entropy_from_logits(x(), golden.tensor("logits"), mask);
        close(number(nll), expected("binary_cross_entropy_from_logits"));
        close(number(gaussian_nll(x(), golden.tensor("mean"), variance, mask)), expected("gaussian_nll"));
        let nll = gaussian_nll_with_log_var(x(), golden.tensor("mean"), golden.tensor("log_var"), mask);
        close(number(nll), expected("gaussian_nll_with_log_var"));
    }
    let posterior = DiagonalGaussian { mean: golden.tensor("mean"), log_var: golden.tensor("log_var") };
    close(number(kl_to_standard_normal(&posterior)), golden.0["values"]["kl_to_standard_normal"].as_f64().unwrap());
}

#[test]
fn a_multinomial_nll_is_that_of_hand_and_its_gradient_expected_minus_found_counts() {
    let device = Device::flex().autodiff();
    let counts = [2.0, 0.0, 1.0];
    let p = [0.5, 0.2, 0.3f64];
    let logits = Tensor::<2>::from_data([p.map(|p| (p.ln() + 7.0) as f32)], &device).require_grad();
    let nll = multinomial_nll(Tensor::from_data([counts], &device), logits.clone(), None);
    let gradient: Vec<f32> = logits.grad(&nll.backward()).unwrap().into_data().try_to_vec().unwrap();
    close(number(nll), -2.0 * p[0].ln() - p[2].ln());
    for ((slope, p), count) in gradient.into_iter().zip(p).zip(counts) {
        close(f64::from(slope), 3.0 * p - count);
    }
}

#[test]
fn a_multinomial_nll_of_extreme_logits_is_exact() {
    let logits = tensor(&[1e4, -1e4, 0.0], [1, 3]);
    close(number(multinomial_nll(tensor(&[1.0, 0.0, 0.0], [1, 3]), logits.clone(), None)), 0.0);
    close(number(multinomial_nll(tensor(&[0.0, 1.0, 0.0], [1, 3]), logits.clone(), None)), 2e4);
    let hidden = tensor(&[1.0, 0.0, 1.0], [1, 3]);
    close(number(multinomial_nll(tensor(&[1.0, 1.0, 0.0], [1, 3]), logits, Some(&hidden))), 0.0);
}

#[test]
fn undecided_logits_cost_log_2_a_feature_whatever_the_data() {
    let x = tensor(&[0.0, 1.0, 0.3, 0.5, 0.9, 1.0], [2, 3]);
    close(number(binary_cross_entropy_from_logits(x, tensor(&[0.0; 6], [2, 3]), None)), 3.0 * LN_2);
}

#[test]
fn the_right_logits_cost_the_entropy_of_the_data() {
    let (p, logit) = (0.2f64, (0.2f64 / 0.8).ln());
    let nll = binary_cross_entropy_from_logits(tensor(&[p as f32], [1, 1]), tensor(&[logit as f32], [1, 1]), None);
    close(number(nll), -p * p.ln() - (1.0 - p) * (1.0 - p).ln());
}

#[test]
fn a_gaussian_nll_is_the_squared_error_over_twice_the_variance_and_a_constant() {
    let (x, mean) = (tensor(&[0.0, 1.0, 0.3, 0.5, 0.9, 1.0], [2, 3]), tensor(&[0.1; 6], [2, 3]));
    let sse = number(squared_error(x.clone(), mean.clone(), None));
    close(number(gaussian_nll(x, mean, 0.1, None)), sse / 0.2 + 1.5 * (2.0 * PI * 0.1).ln());
}

#[test]
fn the_divergence_of_one_gaussian_is_the_textbook_formula() {
    let (mean, sigma) = (1.5f64, 0.5f64);
    let posterior = DiagonalGaussian { mean: tensor(&[1.5], [1, 1]), log_var: tensor(&[0.25f32.ln()], [1, 1]) };
    close(number(kl_to_standard_normal(&posterior)), (mean * mean + sigma * sigma - 1.0) / 2.0 - sigma.ln());
}

#[test]
fn the_divergence_of_the_prior_from_itself_is_zero() {
    let zeros = Tensor::zeros([3, 4], &Device::flex());
    assert_eq!(number(kl_to_standard_normal(&DiagonalGaussian { mean: zeros.clone(), log_var: zeros })), 0.0);
}

#[test]
fn gradients_equal_central_differences() {
    let device = &Device::flex().autodiff();
    let shape = [2, 3];
    let double = |values: [f64; 6]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), (device, DType::F64));
    let x = || double([0.0, 1.0, 0.3, 0.5, 0.9, 1.0]);
    let other = || double([0.4, -1.2, 2.0, -0.3, 0.8, 0.1]);
    let mask = double([1.0, 0.0, 1.0, 1.0, 0.5, 1.0]);
    let at = [-3.0, 0.7, 1.9, -0.4, 0.2, -7.0];
    for mask in [None, Some(&mask)] {
        let check = |name: &str, objective: &dyn Fn(Tensor<2>) -> Tensor<1>| {
            let deviation = gradient_deviation(device, &at, shape, objective);
            assert!(deviation < TOLERANCE, "{name}: {deviation}");
        };
        check("squared error", &|r| squared_error(x(), r, mask));
        check("cross-entropy", &|logits| binary_cross_entropy_from_logits(x(), logits, mask));
        check("cross-entropy by its data", &|x| binary_cross_entropy_from_logits(x, other(), mask));
        check("multinomial nll", &|logits| multinomial_nll(x(), logits, mask));
        check("Gaussian nll", &|mean| gaussian_nll(x(), mean, 0.3, mask));
        check("Gaussian nll by its mean", &|mean| gaussian_nll_with_log_var(x(), mean, other(), mask));
        check("Gaussian nll by its log variance", &|log_var| gaussian_nll_with_log_var(x(), other(), log_var, mask));
    }
    let decay = gradient_deviation(device, &at, shape, |weight| weight_decay([weight, other()]));
    assert!(decay < TOLERANCE, "weight decay: {decay}");
    let shared = gradient_deviation(device, &[0.3], [1, 1], |log_var| gaussian_nll_with_log_var(x(), other(), log_var, None));
    assert!(shared < TOLERANCE, "a shared log variance: {shared}");
    let by_mean = gradient_deviation(device, &at, shape, |mean| kl_to_standard_normal(&DiagonalGaussian { mean, log_var: other() }));
    assert!(by_mean < TOLERANCE, "divergence by its mean: {by_mean}");
    let by_log_var = gradient_deviation(device, &at, shape, |log_var| kl_to_standard_normal(&DiagonalGaussian { mean: other(), log_var }));
    assert!(by_log_var < TOLERANCE, "divergence by its log variance: {by_log_var}");
}

#[test]
fn the_gradient_at_a_logit_of_zero_is_one_half_minus_x() {
    let device = Device::flex().autodiff();
    let logits = Tensor::<2>::zeros([1, 3], &device).require_grad();
    let x = Tensor::from_data([[0.0, 0.25, 1.0]], &device);
    let gradients = binary_cross_entropy_from_logits(x, logits.clone(), None).backward();
    let gradient: Vec<f32> = logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
    assert_eq!(gradient, [0.5, 0.25, -0.5]);
}

#[test]
fn the_cross_entropy_of_extreme_logits_is_exact_and_so_is_its_gradient() {
    let device = Device::flex().autodiff();
    let cases: [(f32, f32, f32, f32); 5] =
        [(0.0, -1e4, 0.0, 0.0), (1.0, 1e4, 0.0, 0.0), (0.0, 1e4, 1e4, 1.0), (1.0, -1e4, 1e4, -1.0), (0.5, 1e4, 5e3, 0.5)];
    for (x, logit, expected, slope) in cases {
        let logits = Tensor::<2>::from_data([[logit]], &device).require_grad();
        let nll = binary_cross_entropy_from_logits(Tensor::from_data([[x]], &device), logits.clone(), None);
        let gradient = logits.grad(&nll.backward()).unwrap().into_scalar::<f32>();
        assert_eq!(nll.into_scalar::<f32>(), expected, "x {x}, logit {logit}");
        assert_eq!(gradient, slope, "x {x}, logit {logit}");
    }
}

#[test]
fn a_tiny_cross_entropy_is_not_eaten_by_the_rounding_of_its_logit() {
    let tiny = binary_cross_entropy_from_logits(tensor(&[0.0], [1, 1]), tensor(&[-50.0], [1, 1]), None);
    assert!((number(tiny) * 50f64.exp() - 1.0).abs() < 1e-5);
}

#[test]
fn extreme_log_variances_stay_finite_where_single_precision_can_hold_them() {
    for log_var in [-80.0, 80.0] {
        let (mean, log_var) = (tensor(&[0.0], [1, 1]), tensor(&[log_var], [1, 1]));
        let nll = gaussian_nll_with_log_var(tensor(&[1.0], [1, 1]), mean.clone(), log_var.clone(), None);
        assert!(number(nll).is_finite());
        assert!(number(kl_to_standard_normal(&DiagonalGaussian { mean, log_var })).is_finite());
    }
}

#[test]
fn a_mask_of_ones_changes_nothing_and_a_masked_feature_does_not_count() {
    let (x, r) = (tensor(&[0.1, 0.9, 0.4, 0.6], [2, 2]), tensor(&[0.3, -1.0, 2.0, 0.5], [2, 2]));
    let ones = Tensor::ones([2, 2], &Device::flex());
    assert_eq!(number(squared_error(x.clone(), r.clone(), Some(&ones))), number(squared_error(x.clone(), r.clone(), None)));
    let first = tensor(&[1.0, 0.0, 1.0, 0.0], [2, 2]);
    close(number(squared_error(x, r, Some(&first))), (0.2f64.powi(2) + 1.6f64.powi(2)) / 2.0);
}

#[test]
fn the_batch_is_averaged_over_and_features_are_summed() {
    let x = tensor(&[0.1, 0.9, 0.4], [1, 3]);
    let logits = tensor(&[0.3, -1.0, 2.0], [1, 3]);
    let once = number(binary_cross_entropy_from_logits(x.clone(), logits.clone(), None));
    let copies = |tensor: &Tensor<2>, dimension: usize| Tensor::cat(vec![tensor.clone(); 4], dimension);
    close(number(binary_cross_entropy_from_logits(copies(&x, 0), copies(&logits, 0), None)), once);
    close(number(binary_cross_entropy_from_logits(copies(&x, 1), copies(&logits, 1), None)), 4.0 * once);
}

#[test]
fn a_sum_over_a_large_image_and_batch_keeps_single_precision() {
    let (rows, columns) = (256, 3072);
    let x: Vec<f32> = (0..rows * columns).map(|index| (index % 1009) as f32 / 1009.0).collect();
    let exact = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / rows as f64;
    let found = number(squared_error(tensor(&x, [rows, columns]), Tensor::zeros([rows, columns], &Device::flex()), None));
    close(found, exact);
}

proptest! {
    #[test]
    fn the_divergence_from_the_prior_is_never_negative(values in prop::collection::vec((-5.0f32..5.0, -8.0f32..4.0), 1..20)) {
        let shape = [1, values.len()];
        let (mean, log_var): (Vec<f32>, Vec<f32>) = values.into_iter().unzip();
        let kl = number(kl_to_standard_normal(&DiagonalGaussian { mean: tensor(&mean, shape), log_var: tensor(&log_var, shape) }));
        let exact: f64 = mean
            .iter()
            .zip(&log_var)
            .map(|(&mean, &log_var)| (f64::from(mean), f64::from(log_var)))
            .map(|(mean, log_var)| 0.5 * (mean * mean + log_var.exp() - 1.0 - log_var))
            .sum();
        // Near the prior the terms cancel, and what is left of 0 is rounding.
        prop_assert!(kl >= -1e-6 * shape[1] as f64, "{} is negative", kl);
        prop_assert!((kl - exact).abs() <= 1e-5 * exact.max(1.0), "{} is not {}", kl, exact);
    }

    #[test]
    fn the_cross_entropy_is_finite_and_at_least_the_entropy_of_the_data(x in 0.0f32..=1.0, logit in -1e4f32..1e4) {
        let nll = number(binary_cross_entropy_from_logits(tensor(&[x], [1, 1]), tensor(&[logit], [1, 1]), None));
        let x = f64::from(x);
        let entropy: f64 = [x, 1.0 - x].iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
        prop_assert!(nll.is_finite() && nll >= entropy - 1e-5, "{} is below {}", nll, entropy);
    }

    #[test]
    fn a_gaussian_nll_is_least_at_its_data(x in -3.0f32..3.0, off in 0.1f32..3.0, variance in 0.01f64..10.0) {
        let at = |mean: f32| number(gaussian_nll(tensor(&[x], [1, 1]), tensor(&[mean], [1, 1]), variance, None));
        prop_assert!(at(x) < at(x + off) && at(x) < at(x - off));
    }
}
