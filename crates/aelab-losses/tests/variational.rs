//! Objectives of variational and generative models: closed forms, other implementations' values, central differences.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use std::f64::consts::PI;

use aelab_core::conformance::{TOLERANCE, gradient_deviation};
use aelab_core::{DiagonalGaussian, Noise, Purpose, StreamNoise, stream};
use aelab_losses::{
    AggregateEstimator, Kernel, KlDecomposition, MmdEstimator, aggregate_covariance, continuous_bernoulli_mean,
    continuous_bernoulli_nll_from_logits, covariance, decompose_kl, mmd, off_diagonal_squares, unit_variance_squares,
};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// In double precision.
fn double(values: &[f64], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Device::flex(), DType::F64))
}

fn numbers(tensor: Tensor<2>) -> Vec<f64> {
    tensor.into_data().try_to_vec().unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} is not {expected}");
}

fn continuous_bernoulli_nll(x: f64, logit: f64) -> f64 {
    continuous_bernoulli_nll_from_logits(double(&[x], [1, 1]), double(&[logit], [1, 1]), None).into_scalar::<f64>()
}

#[test]
fn the_continuous_bernoulli_is_that_of_pytorch() {
    // torch.distributions.ContinuousBernoulli(logits, lims=(0.4999999, 0.5000001)) in double precision: -log_prob, mean.
    let cases = [
        (-8.0, 0.1, -1.279_777_060_587_912_6, 0.124_664_424_799_158_75),
        (-1.0, 0.3, -0.158_675_145_387_081_83, 0.418_023_293_130_673_66),
        (-0.3, 0.9, 0.123_747_191_511_089_26, 0.475_037_419_823_250_76),
        (0.0, 0.4, 0.0, 0.5),
        (0.9, 0.25, 0.258_525_072_749_103_97, 0.574_006_639_293_896_7),
        (1.1, 0.25, 0.324_917_846_267_385_07, 0.589_869_749_882_285_9),
        (5.0, 1.0, -1.616_198_661_883_592_4, 0.806_783_654_906_304_8),
    ];
    for (logit, x, nll, mean) in cases {
        close(continuous_bernoulli_nll(x, logit), nll, 1e-12);
        close(numbers(continuous_bernoulli_mean(double(&[logit], [1, 1])))[0], mean, 1e-12);
    }
}

#[test]
fn the_density_of_the_continuous_bernoulli_integrates_to_1_and_its_mean_is_its_first_moment() {
    for logit in [-30.0, -1.0 - 1e-9, -0.99, -1e-5, 0.0, 1e-3, 0.7, 1.0 - 1e-9, 1.0 + 1e-9, 2.0, 12.0] {
        // Simpson's rule.
        let intervals = 2000;
        let x: Vec<f64> = (0..=intervals).map(|index| index as f64 / intervals as f64).collect();
        let (mut mass, mut moment) = (0.0, 0.0);
        for (index, &x) in x.iter().enumerate() {
            let weight = if index == 0 || index == intervals { 1.0 } else { 2.0 + 2.0 * (index % 2) as f64 } / (3.0 * intervals as f64);
            let density = (-continuous_bernoulli_nll(x, logit)).exp();
            mass += weight * density;
            moment += weight * density * x;
        }
        close(mass, 1.0, 1e-8);
        close(numbers(continuous_bernoulli_mean(double(&[logit], [1, 1])))[0], moment, 1e-8);
    }
}

#[test]
fn series_and_closed_form_meet_without_a_step() {
    for joint in [-1.0, 1.0] {
        let [below, above] = [joint * (1.0 - 1e-12), joint * (1.0 + 1e-12)];
        close(continuous_bernoulli_nll(0.2, below), continuous_bernoulli_nll(0.2, above), 4e-12);
        let means = numbers(continuous_bernoulli_mean(double(&[below, above], [1, 2])));
        close(means[0], means[1], 4e-12);
    }
}

#[test]
fn the_gradient_of_the_continuous_bernoulli_is_mean_minus_x_in_every_branch() {
    let device = Device::flex().autodiff();
    let logits = [-20.0, -1.3, -0.6, 0.0, 1e-4, 0.999, 1.001, 9.0];
    let at = Tensor::<2>::from_data(TensorData::new(logits.to_vec(), [1, 8]), (&device, DType::F64)).require_grad();
    let x = Tensor::<2>::from_data(TensorData::new(vec![0.3; 8], [1, 8]), (&device, DType::F64));
    let gradients = continuous_bernoulli_nll_from_logits(x, at.clone(), None).backward();
    let means = numbers(continuous_bernoulli_mean(double(&logits, [1, 8])));
    for (slope, mean) in numbers(at.grad(&gradients).unwrap()).into_iter().zip(means) {
        close(slope, mean - 0.3, 1e-9);
    }
    let x = || Tensor::<2>::from_data(TensorData::new(vec![0.0, 0.3, 1.0, 0.6], [2, 2]), (&device, DType::F64));
    let at = [-2.0, 0.4, 3.0, -0.1];
    let nll = gradient_deviation(&device, &at, [2, 2], |logits| continuous_bernoulli_nll_from_logits(x(), logits, None));
    assert!(nll < TOLERANCE, "{nll}");
    let mean = gradient_deviation(&device, &at, [2, 2], |logits| continuous_bernoulli_mean(logits).square().sum());
    assert!(mean < TOLERANCE, "{mean}");
}

#[test]
fn extreme_logits_of_the_continuous_bernoulli_are_exact_in_single_precision_and_so_are_their_gradients() {
    let device = Device::flex().autodiff();
    // At logit l and x = 1 the density is l / (1 - exp(-l)).
    for (x, logit, expected, slope) in
        [(1.0f32, 1e4f32, -1e4f32.ln(), -1e-4f32), (0.0, -1e4, -1e4f32.ln(), 1e-4), (0.0, 1e4, 1e4 - 1e4f32.ln(), 1.0)]
    {
        let logits = Tensor::<2>::from_data([[logit]], &device).require_grad();
        let nll = continuous_bernoulli_nll_from_logits(Tensor::from_data([[x]], &device), logits.clone(), None);
        let gradient = logits.grad(&nll.backward()).unwrap().into_scalar::<f32>();
        assert!((nll.into_scalar::<f32>() - expected).abs() < 1e-6 * expected.abs(), "x {x}, logit {logit}");
        assert!((gradient - slope).abs() < 1e-3 * slope.abs(), "x {x}, logit {logit}: {gradient}");
    }
}

/// Samples of `N(0, I)`, in double precision.
fn normal(seed: u64, shape: [usize; 2]) -> Vec<f64> {
    let mut noise = StreamNoise(stream(seed, Purpose::Evaluation, 0, 0));
    noise.normal(shape, &Device::flex()).into_data().convert::<f64>().try_to_vec().unwrap()
}

fn number(scalar: Tensor<1>) -> f64 {
    assert_eq!(scalar.dims(), [1]);
    scalar.into_scalar::<f64>()
}

fn posterior(mean: &[f64], log_var: &[f64], shape: [usize; 2]) -> DiagonalGaussian {
    DiagonalGaussian { mean: double(mean, shape), log_var: double(log_var, shape) }
}

fn num_examples(num: f64) -> Tensor<1> {
    Tensor::from_data(TensorData::new(vec![num], [1]), (&Device::flex(), DType::F64))
}

const ESTIMATORS: [AggregateEstimator; 2] = [AggregateEstimator::MinibatchWeighted, AggregateEstimator::MinibatchStratified];

#[test]
fn the_parts_of_the_divergence_sum_to_the_sampled_divergence_whatever_the_estimator() {
    let shape = [5, 3];
    let (mean, log_var, z) = (normal(1, shape), normal(2, shape), normal(3, shape));
    let log_normal = |z: f64, mean: f64, log_var: f64| -0.5 * ((z - mean).powi(2) / log_var.exp() + log_var + (2.0 * PI).ln());
    let sampled: f64 =
        (0..15).map(|index| log_normal(z[index], mean[index], log_var[index]) - log_normal(z[index], 0.0, 0.0)).sum::<f64>() / 5.0;
    for estimator in ESTIMATORS {
        for num in [0.0, 5.0, 60_000.0] {
            let parts = decompose_kl(&posterior(&mean, &log_var, shape), double(&z, shape), num_examples(num), estimator);
            let sum = number(parts.mutual_information) + number(parts.total_correlation) + number(parts.dimension_wise_kl);
            close(sum, sampled, 1e-10);
        }
    }
}

#[test]
fn the_parts_of_the_divergence_are_those_of_a_hand_computation() {
    let shape = [3, 2];
    let (mean, log_var, z) = (normal(4, shape), normal(5, shape), normal(6, shape));
    let density = |row: usize, of: usize, column: usize| {
        let (z, mean, log_var) = (z[2 * row + column], mean[2 * of + column], log_var[2 * of + column]);
        (-0.5 * ((z - mean).powi(2) / log_var.exp() + log_var + (2.0 * PI).ln())).exp()
    };
    let num = 10.0;
    for estimator in ESTIMATORS {
        let weight = |row: usize, of: usize| match estimator {
            AggregateEstimator::MinibatchWeighted => 1.0 / (num * 3.0),
            // M = 2 others: 1/N, (N - M) / (N M), 1/M.
            AggregateEstimator::MinibatchStratified => [1.0 / num, (num - 2.0) / (num * 2.0), 1.0 / 2.0][(of + 3 - row) % 3],
        };
        let aggregate = |row: usize| (0..3).map(|of| weight(row, of) * density(row, of, 0) * density(row, of, 1)).sum::<f64>();
        let marginal = |row: usize, column: usize| (0..3).map(|of| weight(row, of) * density(row, of, column)).sum::<f64>();
        let mean_of = |value: &dyn Fn(usize) -> f64| (0..3).map(value).sum::<f64>() / 3.0;
        let information = mean_of(&|row| (density(row, row, 0) * density(row, row, 1) / aggregate(row)).ln());
        let correlation = mean_of(&|row| (aggregate(row) / (marginal(row, 0) * marginal(row, 1))).ln());
        let parts = decompose_kl(&posterior(&mean, &log_var, shape), double(&z, shape), num_examples(num), estimator);
        close(number(parts.mutual_information), information, 1e-10);
        close(number(parts.total_correlation), correlation, 1e-10);
    }
}

#[test]
fn the_total_correlation_of_gaussian_codes_approaches_its_closed_form() {
    // Means of covariance [[1 - v, r], [r, 1 - v]], each posterior of variance v: the codes are N(0, [[1, r], [r, 1]]).
    let (num, variance) = (1500, 0.25f64);
    for correlation in [0.0f64, 0.6] {
        let scale = (1.0 - variance).sqrt();
        let slope = correlation / (1.0 - variance);
        let (draws, noise) = (normal(7, [num, 2]), normal(8, [num, 2]));
        let pairs = draws.chunks(2).flat_map(|draw| [draw[0], slope * draw[0] + (1.0 - slope * slope).sqrt() * draw[1]]);
        let mean: Vec<f64> = pairs.map(|value| value * scale).collect();
        let z: Vec<f64> = mean.iter().zip(noise).map(|(mean, noise)| mean + variance.sqrt() * noise).collect();
        let codes = posterior(&mean, &vec![variance.ln(); 2 * num], [num, 2]);
        let at = |estimator| {
            let parts = decompose_kl(&codes, double(&z, [num, 2]), num_examples(num as f64), estimator);
            number(parts.total_correlation)
        };
        let exact = -0.5 * (1.0 - correlation * correlation).ln();
        let stratified = at(AggregateEstimator::MinibatchStratified);
        // The standard error of the mean log ratio is 0.016 at r = 0.6, and its value there 0.223.
        assert!((stratified - exact).abs() < 0.05, "r = {correlation}: {stratified} is not {exact}");
        // The factor 1/N too much in each density: once in the joint, once in each of two marginals.
        let weighted = at(AggregateEstimator::MinibatchWeighted) - (num as f64).ln();
        assert!((weighted - exact).abs() < 0.05, "r = {correlation}: {weighted} is not {exact}");
    }
}

#[test]
fn the_stratified_estimate_of_the_aggregate_posterior_is_unbiased() {
    // Four posteriors in one dimension, z drawn from the first, batches of three: the mean of q(z) over all batches is exact.
    let (num, z) = (4usize, 0.3f64);
    let mean = [0.0, 1.0, -2.0, 0.5f64];
    let density = |of: usize| (-0.5 * ((z - mean[of]).powi(2) + (2.0 * PI).ln())).exp();
    let exact = (0..num).map(density).sum::<f64>() / num as f64;
    let mut estimates = Vec::new();
    for second in 1..num {
        for third in (1..num).filter(|&third| third != second) {
            let batch = [0, second, third].map(|of| mean[of]);
            let parts = decompose_kl(
                &posterior(&batch, &[0.0; 3], [3, 1]),
                // The first row counts; the others repeat it, and their terms are taken out again below.
                double(&[z, batch[1], batch[2]], [3, 1]),
                num_examples(num as f64),
                AggregateEstimator::MinibatchStratified,
            );
            // With one dimension, the dimension-wise part is the mean of log q(z) - log p(z) over the rows.
            let sum = 3.0 * number(parts.dimension_wise_kl);
            let row = |row: usize, z: f64| {
                let weights = [1.0 / 4.0, (4.0 - 2.0) / (4.0 * 2.0), 1.0 / 2.0];
                let q: f64 =
                    (0..3).map(|of| weights[(of + 3 - row) % 3] * (-0.5 * ((z - batch[of]).powi(2) + (2.0 * PI).ln())).exp()).sum();
                q.ln() + 0.5 * (z * z + (2.0 * PI).ln())
            };
            let log_q = sum - row(1, batch[1]) - row(2, batch[2]) - 0.5 * (z * z + (2.0 * PI).ln());
            estimates.push(log_q.exp());
        }
    }
    close(estimates.iter().sum::<f64>() / estimates.len() as f64, exact, 1e-10);
}

#[test]
fn gradients_of_the_parts_equal_central_differences() {
    let device = Device::flex().autodiff();
    let shape = [4, 2];
    let tensor = |values: &[f64]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), (&device, DType::F64));
    let (mean, log_var, z) = (normal(9, shape), normal(10, shape), normal(11, shape));
    let num = Tensor::<1>::from_data(TensorData::new(vec![50.0], [1]), (&device, DType::F64));
    for estimator in ESTIMATORS {
        let weighted = |parts: KlDecomposition| parts.mutual_information + parts.total_correlation * 3.0 + parts.dimension_wise_kl * 0.5;
        let at = |posterior: DiagonalGaussian, z: Tensor<2>| weighted(decompose_kl(&posterior, z, num.clone(), estimator));
        let by_mean =
            gradient_deviation(&device, &mean, shape, |mean| at(DiagonalGaussian { mean, log_var: tensor(&log_var) }, tensor(&z)));
        let by_log_var =
            gradient_deviation(&device, &log_var, shape, |log_var| at(DiagonalGaussian { mean: tensor(&mean), log_var }, tensor(&z)));
        let by_z = gradient_deviation(&device, &z, shape, |z| at(DiagonalGaussian { mean: tensor(&mean), log_var: tensor(&log_var) }, z));
        assert!(by_mean < TOLERANCE && by_log_var < TOLERANCE && by_z < TOLERANCE, "{estimator:?}: {by_mean}, {by_log_var}, {by_z}");
    }
}

#[test]
fn codes_far_out_leave_the_parts_finite() {
    for estimator in ESTIMATORS {
        for num in [1, 2] {
            let shape = [num, 2];
            let far = posterior(&vec![1e3; 2 * num], &vec![-8.0; 2 * num], shape);
            let parts = decompose_kl(&far, double(&vec![1e3; 2 * num], shape), num_examples(100.0), estimator);
            for part in [parts.mutual_information, parts.total_correlation, parts.dimension_wise_kl] {
                assert!(number(part).is_finite(), "{estimator:?}, {num}");
            }
        }
    }
}

#[test]
fn covariance_penalties_are_those_of_a_hand_computation() {
    // Columns: mean 1, values 0 and 2; mean 0, values 1 and -1; constant.
    let codes = double(&[0.0, 1.0, 5.0, 2.0, -1.0, 5.0], [2, 3]);
    assert_eq!(numbers(covariance(codes.clone())), [1.0, -1.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    close(number(off_diagonal_squares(covariance(codes.clone()))), 2.0, 1e-12);
    close(number(unit_variance_squares(covariance(codes.clone()))), 1.0, 1e-12);
    let variances = DiagonalGaussian { mean: codes, log_var: double(&[1.0, 0.5, 3.0, 1.0, 1.5, 1.0].map(f64::ln), [2, 3]) };
    let found = numbers(aggregate_covariance(&variances));
    for (found, expected) in found.into_iter().zip([2.0, -1.0, 0.0, -1.0, 2.0, 0.0, 0.0, 0.0, 2.0]) {
        close(found, expected, 1e-12);
    }
}

#[test]
fn gradients_of_covariance_penalties_equal_central_differences() {
    let device = Device::flex().autodiff();
    let at = normal(12, [4, 3]);
    let log_var = Tensor::<2>::from_data(TensorData::new(normal(13, [4, 3]), [4, 3]), (&device, DType::F64));
    let penalties: [(&str, &dyn Fn(Tensor<2>) -> Tensor<1>); 3] = [
        ("off-diagonal", &|codes| off_diagonal_squares(covariance(codes))),
        ("diagonal", &|codes| unit_variance_squares(covariance(codes))),
        ("of samples", &|mean| unit_variance_squares(aggregate_covariance(&DiagonalGaussian { mean, log_var: log_var.clone() }))),
    ];
    for (name, penalty) in penalties {
        let deviation = gradient_deviation(&device, &at, [4, 3], penalty);
        assert!(deviation < TOLERANCE, "{name}: {deviation}");
    }
}

const KERNELS: [Kernel; 2] = [Kernel::Rbf, Kernel::InverseMultiquadratic];

#[test]
fn the_discrepancy_is_that_of_a_hand_computation() {
    let (x, y) = (normal(14, [3, 2]), normal(15, [4, 2]));
    let lengths = [0.5, 4.0];
    let value = |kernel: Kernel, a: &[f64], b: &[f64]| -> f64 {
        let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        let of = |length: f64| match kernel {
            Kernel::Rbf => (-square / length).exp(),
            Kernel::InverseMultiquadratic => length / (length + square),
        };
        lengths.map(of).iter().sum()
    };
    for kernel in KERNELS {
        let sum = |a: &[f64], b: &[f64]| -> f64 { a.chunks(2).flat_map(|a| b.chunks(2).map(move |b| value(kernel, a, b))).sum() };
        let alone = |a: &[f64]| -> f64 { a.chunks(2).map(|a| value(kernel, a, a)).sum() };
        let biased = sum(&x, &x) / 9.0 + sum(&y, &y) / 16.0 - 2.0 * sum(&x, &y) / 12.0;
        let unbiased = (sum(&x, &x) - alone(&x)) / 6.0 + (sum(&y, &y) - alone(&y)) / 12.0 - 2.0 * sum(&x, &y) / 12.0;
        let found = |estimator| number(mmd(double(&x, [3, 2]), double(&y, [4, 2]), kernel, &lengths, estimator));
        close(found(MmdEstimator::Biased), biased, 1e-12);
        close(found(MmdEstimator::Unbiased), unbiased, 1e-12);
    }
}

#[test]
fn the_biased_discrepancy_of_a_sample_from_itself_is_0_and_never_negative() {
    for kernel in KERNELS {
        let x = double(&normal(16, [20, 3]), [20, 3]);
        close(number(mmd(x.clone(), x.clone(), kernel, &[6.0], MmdEstimator::Biased)), 0.0, 1e-14);
        for seed in 0..20 {
            let y = double(&normal(seed, [5, 3]), [5, 3]);
            assert!(number(mmd(x.clone(), y, kernel, &[6.0], MmdEstimator::Biased)) > 0.0);
        }
    }
}

#[test]
fn the_discrepancy_of_two_gaussians_approaches_its_closed_form() {
    // With r^2 = |a - b|^2 of a difference N(m, v I): E exp(-r^2 / c) = (1 + 2 v / c)^(-d/2) exp(-|m|^2 / (c + 2 v)).
    let (num, length) = (1000, 4.0f64);
    let expected =
        |shift: f64, variance: f64| (1.0 + 2.0 * variance / length).powf(-1.0) * (-2.0 * shift * shift / (length + 2.0 * variance)).exp();
    let (shift, sigma) = (0.5, 1.5);
    let closed = expected(0.0, 2.0) + expected(0.0, 2.0 * sigma * sigma) - 2.0 * expected(shift, 1.0 + sigma * sigma);
    let x = double(&normal(17, [num, 2]), [num, 2]);
    let y = double(&normal(18, [num, 2]), [num, 2]) * sigma + shift;
    let found = number(mmd(x.clone(), y, Kernel::Rbf, &[length], MmdEstimator::Unbiased));
    assert!((found - closed).abs() < 0.015, "{found} is not {closed}");
    // Of one distribution it scatters about 0 and is sometimes negative.
    let same: Vec<f64> = (20..40)
        .map(|seed| {
            let y = double(&normal(seed, [100, 2]), [100, 2]);
            number(mmd(x.clone().narrow(0, 0, 100), y, Kernel::Rbf, &[length], MmdEstimator::Unbiased))
        })
        .collect();
    assert!(same.iter().any(|value| *value < 0.0) && same.iter().all(|value| value.abs() < 0.05), "{same:?}");
}

#[test]
fn gradients_of_the_discrepancy_equal_central_differences() {
    let device = Device::flex().autodiff();
    let y = Tensor::<2>::from_data(TensorData::new(normal(41, [3, 2]), [3, 2]), (&device, DType::F64));
    for kernel in KERNELS {
        for estimator in [MmdEstimator::Unbiased, MmdEstimator::Biased] {
            let deviation = gradient_deviation(&device, &normal(42, [4, 2]), [4, 2], |x| mmd(x, y.clone(), kernel, &[1.0, 8.0], estimator));
            assert!(deviation < TOLERANCE, "{kernel:?}, {estimator:?}: {deviation}");
        }
    }
}
