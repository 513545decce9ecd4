//! Objectives of variational and generative models: closed forms, other implementations' values, central differences.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use aelab_core::conformance::{TOLERANCE, gradient_deviation};
use aelab_losses::{continuous_bernoulli_mean, continuous_bernoulli_nll_from_logits};
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
