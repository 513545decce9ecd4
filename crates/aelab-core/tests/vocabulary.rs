//! Laws of the vocabulary: noise, corruption, initial parameters, objectives, the registry.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use aelab_core::{
    Corruption, DiagonalGaussian, FixedNoise, Initialization, Initializer, Noise, Objective, Progress, Purpose, Schedule, Scheduled,
    StreamNoise, stream,
};
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

const PROGRESS: Progress = Progress { step: 0, epoch: 0.0, num_epochs: 10.0 };

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

fn noise(step: u64) -> StreamNoise {
    StreamNoise(stream(1, Purpose::Training, 0, step))
}

fn mean_and_variance(values: &[f32]) -> (f64, f64) {
    let num = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / num;
    (mean, values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / num)
}

#[test]
fn noise_has_the_moments_of_its_distribution() {
    let device = Device::flex();
    let shape = [1000, 100];
    // Five standard errors of 100,000 draws.
    let (mean, variance) = mean_and_variance(&values(noise(0).normal(shape, &device)));
    assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.023, "{mean} {variance}");
    let uniform = values(noise(1).uniform(shape, &device));
    let (mean, variance) = mean_and_variance(&uniform);
    assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
    assert!(uniform.iter().all(|x| (0.0..1.0).contains(x)));
    let (mean, _) = mean_and_variance(&values(noise(2).bernoulli(shape, 0.3, &device)));
    assert!((mean - 0.3).abs() < 0.008, "{mean}");
    assert!(values(noise(3).bernoulli(shape, 1.0, &device)).iter().all(|&x| x == 1.0));
    assert!(values(noise(3).bernoulli(shape, 0.0, &device)).iter().all(|&x| x == 0.0));
}

#[test]
fn equal_streams_give_equal_noise() {
    let device = Device::flex();
    assert_eq!(values(noise(7).normal([3, 5], &device)), values(noise(7).normal([3, 5], &device)));
    assert_ne!(values(noise(7).normal([3, 5], &device)), values(noise(8).normal([3, 5], &device)));
}

#[test]
fn masking_zeroes_the_stated_share_and_leaves_the_rest_alone() {
    let x = Tensor::<2>::ones([200, 200], &Device::flex()) * 0.7;
    let masked = values(Corruption::Masking { rate: 0.25.into() }.apply(x, PROGRESS, &mut noise(0)));
    let hidden = masked.iter().filter(|&&value| value == 0.0).count() as f64 / masked.len() as f64;
    assert!((hidden - 0.25).abs() < 0.011, "{hidden}");
    assert!(masked.iter().all(|&value| value == 0.0 || value == 0.7));
}

#[test]
fn salt_and_pepper_replaces_the_stated_share_half_by_zero_and_half_by_one() {
    let x = Tensor::<2>::ones([200, 200], &Device::flex()) * 0.7;
    let noisy = values(Corruption::SaltAndPepper { rate: 0.4.into() }.apply(x, PROGRESS, &mut noise(0)));
    let share = |wanted: f32| noisy.iter().filter(|&&value| value == wanted).count() as f64 / noisy.len() as f64;
    assert!((share(0.0) - 0.2).abs() < 0.01 && (share(1.0) - 0.2).abs() < 0.01, "{} {}", share(0.0), share(1.0));
    assert!((share(0.0) + share(1.0) + share(0.7) - 1.0).abs() < 1e-12);
}

#[test]
fn gaussian_corruption_has_the_scheduled_deviation_and_is_not_clipped() {
    let rising = Schedule::Linear { from: 0.0, to: 2.0, epochs: None };
    let corruption = Corruption::Gaussian { sigma: rising.into() };
    let x = Tensor::<2>::zeros([200, 200], &Device::flex());
    assert!(values(corruption.apply(x.clone(), PROGRESS, &mut noise(0))).iter().all(|&value| value == 0.0));
    let noisy = values(corruption.apply(x, Progress { epoch: 5.0, ..PROGRESS }, &mut noise(0)));
    let (_, variance) = mean_and_variance(&noisy);
    assert!((variance - 1.0).abs() < 0.036, "{variance}");
    assert!(noisy.iter().any(|&value| value < 0.0));
}

#[test]
fn impossible_corruptions_are_refused_with_their_path() {
    let path = |corruption: Corruption| corruption.check().unwrap_err().path;
    assert_eq!(path(Corruption::Masking { rate: 1.5.into() }), "masking.rate");
    assert_eq!(path(Corruption::Gaussian { sigma: (-0.1).into() }), "gaussian.sigma");
    let rising = Schedule::Linear { from: 0.0, to: 2.0, epochs: None };
    assert_eq!(path(Corruption::SaltAndPepper { rate: rising.into() }), "salt_and_pepper.rate");
    assert!(Corruption::Masking { rate: 1.0.into() }.check().is_ok());
}

#[test]
fn a_sample_is_mean_plus_deviation_times_noise() {
    let device = Device::flex();
    let posterior =
        DiagonalGaussian { mean: Tensor::from_data([[1.0, 2.0]], &device), log_var: Tensor::from_data([[0.0, 4.0f32.ln()]], &device) };
    let sample = values(posterior.sample(&mut FixedNoise::new([vec![0.5, -1.0]])));
    assert!((sample[0] - 1.5).abs() < 1e-6 && sample[1].abs() < 1e-5, "{sample:?}");
}

#[test]
fn initial_weights_have_the_moments_of_their_scheme_and_identifiers_count_up() {
    let initializer = &mut Initializer::new(1, &Device::flex().autodiff());
    let mut variance = |how| mean_and_variance(&values(initializer.weight([300, 200], 300, 200, how).val())).1;
    let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.03, "{found} instead of {expected}");
    close(variance(Initialization::GlorotUniform), 2.0 / 500.0);
    close(variance(Initialization::HeNormal), 2.0 / 300.0);
    close(variance(Initialization::Torch), 1.0 / 900.0);
    close(variance(Initialization::Normal { sigma: 0.1 }), 0.01);
    assert!(values(initializer.bias(50, 300, Initialization::GlorotUniform).val()).iter().all(|&value| value == 0.0));
    let bias = initializer.bias(50, 100, Initialization::Torch);
    assert!(values(bias.val()).iter().all(|&value| value != 0.0 && value.abs() <= 0.1));
    assert_eq!(bias.id.val(), 6);
}

#[test]
fn the_loss_is_the_weighted_sum_of_the_terms_and_a_weight_of_zero_hides_even_infinity() {
    let device = Device::flex();
    let scalar = |value: f32| Tensor::<1>::from_data([value], &device);
    let objective = Objective::new().term("nll", scalar(3.0), 1.0).term("kl", scalar(2.0), 0.5).term("penalty", scalar(f32::INFINITY), 0.0);
    assert_eq!(values(objective.loss()), [4.0]);
    let terms = objective.values();
    assert_eq!((terms.loss, terms.terms[1].value, terms.terms[1].weight), (4.0, 2.0, 0.5));
    assert_eq!(terms.first_non_finite(), Some("penalty"));
}

proptest! {
    #[test]
    fn every_schedule_stays_between_the_values_that_it_names(
        from in 0.0..2.0f64, to in 0.0..2.0f64, epochs in 0.5..20.0f64, warm in 0.5..5.0f64, at in 0.0..30.0f64,
    ) {
        let progress = Progress { step: 0, epoch: at, num_epochs: 10.0 };
        for schedule in [Schedule::Linear { from, to, epochs: Some(epochs) }, Schedule::Cosine { from, to, epochs: Some(epochs) }] {
            let value = Scheduled::from(schedule.clone()).at(progress);
            prop_assert!(value >= from.min(to) - 1e-12 && value <= from.max(to) + 1e-12);
            let warmed = Scheduled::from(Schedule::WarmUp { epochs: warm, then: schedule.into() }).at(progress);
            prop_assert!(warmed >= -1e-12 && warmed <= from.max(to) + 1e-12);
        }
    }
}
