//! A density over codes, fitted when the weights are final: what a deterministic autoencoder draws new codes from.
//!
//! A mixture of Gaussians with full covariances, by expectation and maximisation (Dempster, Laird & Rubin 1977), in double
//! precision on the host. One component is the Gaussian of the codes' mean and covariance.

use aelab_core::{Initializer, Noise};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// Passes of expectation and maximisation at most.
const MAX_ITERATIONS: usize = 200;
/// Gain of the mean log-likelihood, in nats per code, below which the fit is finished.
const LEAST_GAIN: f64 = 1e-5;
/// Share of the mean variance of the codes that is added to each variance, so that no component shrinks to a point.
const FLOOR: f64 = 1e-6;

/// A mixture of Gaussians on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    /// Shares of the components, which sum to 1.
    pub weights: Vec<f64>,
    /// Means, `[component, dimension]`.
    pub means: Vec<f64>,
    /// Lower Cholesky factors of the covariances, `[component, dimension, dimension]`.
    pub factors: Vec<f64>,
    /// Dimensions of a code.
    pub dim: usize,
}

impl GaussianMixture {
    /// The mixture of Gaussians fitted to `codes`, `[code, dimension]`, and the mean log-likelihood in nats per code before
    /// each pass. There is a component for each of `draws`, numbers uniform in [0, 1): they choose the first means from the
    /// codes, far from each other (k-means++, Arthur & Vassilvitskii 2007).
    ///
    /// # Panics
    /// When there are no codes or no components.
    pub fn fit(codes: &[f64], dim: usize, draws: &[f32]) -> (Self, Vec<f64>) {
        let num_components = draws.len();
        assert!(dim > 0 && num_components > 0 && codes.len() >= dim, "a density needs codes and at least one component");
        let num = codes.len() / dim;
        let whole = moments(codes, dim, &vec![1.0; num]);
        let floor = FLOOR * (0..dim).map(|axis| whole.1[axis * dim + axis]).sum::<f64>() / dim as f64 + f64::MIN_POSITIVE.sqrt();
        let mut mixture = Self {
            weights: vec![1.0 / num_components as f64; num_components],
            means: if num_components == 1 { whole.0 } else { spread_out(codes, dim, draws) },
            factors: cholesky(&whole.1, dim, floor).repeat(num_components),
            dim,
        };
        if num_components == 1 {
            let fit = mixture.responsibilities(codes).1;
            return (mixture, vec![fit]);
        }
        let mut history: Vec<f64> = Vec::new();
        for _ in 0..MAX_ITERATIONS {
            let (shares, fit) = mixture.responsibilities(codes);
            let gain = history.last().map_or(f64::INFINITY, |last| fit - last);
            history.push(fit);
            if gain < LEAST_GAIN {
                break;
            }
            for (component, shares) in shares.chunks(num).enumerate() {
                let total: f64 = shares.iter().sum();
                mixture.weights[component] = total / num as f64;
                // A component that no code belongs to stays where it is, with weight 0.
                if total > 1e-9 {
                    let (mean, covariance) = moments(codes, dim, shares);
                    mixture.means[component * dim..(component + 1) * dim].copy_from_slice(&mean);
                    let factor = cholesky(&covariance, dim, floor);
                    mixture.factors[component * dim * dim..(component + 1) * dim * dim].copy_from_slice(&factor);
                }
            }
        }
        (mixture, history)
    }

    /// The probability of each component for each code, `[component, code]`, and the mean log-likelihood in nats per code.
    fn responsibilities(&self, codes: &[f64]) -> (Vec<f64>, f64) {
        let (dim, num) = (self.dim, codes.len() / self.dim);
        let mut logs: Vec<f64> = Vec::with_capacity(self.weights.len() * num);
        for (component, weight) in self.weights.iter().enumerate() {
            let mean = &self.means[component * dim..(component + 1) * dim];
            let factor = &self.factors[component * dim * dim..(component + 1) * dim * dim];
            let log_determinant: f64 = (0..dim).map(|axis| factor[axis * dim + axis].ln()).sum();
            let constant = weight.ln() - log_determinant - 0.5 * dim as f64 * (2.0 * std::f64::consts::PI).ln();
            let mut whitened = vec![0.0; dim];
            for code in codes.chunks(dim) {
                // Solves factor * whitened = code - mean, from the first row on.
                for row in 0..dim {
                    let known: f64 = (0..row).map(|column| factor[row * dim + column] * whitened[column]).sum();
                    whitened[row] = (code[row] - mean[row] - known) / factor[row * dim + row];
                }
                logs.push(constant - 0.5 * whitened.iter().map(|value| value * value).sum::<f64>());
            }
        }
        let mut fit = 0.0;
        for index in 0..num {
            let of_code = (0..self.weights.len()).map(|component| logs[component * num + index]);
            let largest = of_code.clone().fold(f64::NEG_INFINITY, f64::max);
            let total = largest + of_code.map(|log| (log - largest).exp()).sum::<f64>().ln();
            fit += total / num as f64;
            for component in 0..self.weights.len() {
                let log = &mut logs[component * num + index];
                *log = (*log - total).exp();
            }
        }
        (logs, fit)
    }
}

/// Codes far from each other: each is drawn with a probability in proportion to its squared distance from those before it.
fn spread_out(codes: &[f64], dim: usize, draws: &[f32]) -> Vec<f64> {
    // Nothing chosen yet: every code is as good as any other.
    let mut distances = vec![1.0; codes.len() / dim];
    let mut means: Vec<f64> = Vec::with_capacity(draws.len() * dim);
    for (component, draw) in draws.iter().enumerate() {
        let mut left = f64::from(*draw) * distances.iter().sum::<f64>();
        let index = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Where every code has been chosen, or rounding leaves a little.
        let index = index.unwrap_or(component % distances.len());
        let chosen = &codes[index * dim..(index + 1) * dim];
        means.extend_from_slice(chosen);
        for (distance, code) in distances.iter_mut().zip(codes.chunks(dim)) {
            let from_chosen = code.iter().zip(chosen).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            *distance = if component == 0 { from_chosen } else { distance.min(from_chosen) };
        }
    }
    means
}

/// Weighted mean, `[dimension]`, and covariance, `[dimension, dimension]`.
fn moments(codes: &[f64], dim: usize, weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let total: f64 = weights.iter().sum();
    let mut mean = vec![0.0; dim];
    for (code, weight) in codes.chunks(dim).zip(weights) {
        mean.iter_mut().zip(code).for_each(|(mean, value)| *mean += weight / total * value);
    }
    let mut covariance = vec![0.0; dim * dim];
    let mut centred = vec![0.0; dim];
    for (code, weight) in codes.chunks(dim).zip(weights) {
        centred.iter_mut().zip(code.iter().zip(&mean)).for_each(|(centred, (value, mean))| *centred = value - mean);
        for row in 0..dim {
            let scaled = weight / total * centred[row];
            covariance[row * dim..=row * dim + row].iter_mut().zip(&centred).for_each(|(sum, value)| *sum += scaled * value);
        }
    }
    for row in 0..dim {
        for column in row + 1..dim {
            covariance[row * dim + column] = covariance[column * dim + row];
        }
    }
    (mean, covariance)
}

/// The lower triangular factor of `covariance + floor I`; a pivot that rounding made smaller than the floor is the floor.
fn cholesky(covariance: &[f64], dim: usize, floor: f64) -> Vec<f64> {
    let mut factor = vec![0.0; dim * dim];
    for row in 0..dim {
        for column in 0..=row {
            let known: f64 = (0..column).map(|index| factor[row * dim + index] * factor[column * dim + index]).sum();
            let value = covariance[row * dim + column] - known;
            factor[row * dim + column] =
                if row == column { (value + floor).max(floor).sqrt() } else { value / factor[column * dim + column] };
        }
    }
    factor
}

/// A mixture of Gaussians as buffers of a model: saved with it, and moved by no optimizer.
#[derive(Module, Debug)]
pub struct CodeDensity {
    /// Shares of the components, `[1, component]`.
    weights: Param<Tensor<2>>,
    /// `[component, dimension]`.
    means: Param<Tensor<2>>,
    /// Lower Cholesky factors one below the other, `[component * dimension, dimension]`.
    factors: Param<Tensor<2>>,
}

impl CodeDensity {
    /// Before it is fitted: every component is the standard normal distribution.
    pub fn new(num_components: usize, dim: usize, initializer: &mut Initializer) -> Self {
        let standard = GaussianMixture {
            weights: vec![1.0 / num_components as f64; num_components],
            means: vec![0.0; num_components * dim],
            factors: cholesky(&vec![0.0; dim * dim], dim, 1.0).repeat(num_components),
            dim,
        };
        let empty = Self {
            weights: initializer.buffer([1, num_components], 0.0),
            means: initializer.buffer([num_components, dim], 0.0),
            factors: initializer.buffer([num_components * dim, dim], 0.0),
        };
        empty.holding(&standard)
    }

    /// The density with another mixture of as many components and dimensions.
    #[must_use]
    pub fn holding(self, mixture: &GaussianMixture) -> Self {
        let set = |param: Param<Tensor<2>>, values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            param.map(|old| Tensor::from_data(TensorData::new(values, old.dims()), &old.device()).set_require_grad(false))
        };
        Self {
            weights: set(self.weights, &mixture.weights),
            means: set(self.means, &mixture.means),
            factors: set(self.factors, &mixture.factors),
        }
    }

    /// Components of the mixture.
    pub fn num_components(&self) -> usize {
        self.means.lazy_shape()[0]
    }

    /// Where the density's numbers are.
    pub fn device(&self) -> Device {
        self.means.val().device()
    }

    /// `num` draws, `[num, dimension]`.
    pub fn sample(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Tensor<2> {
        let values = |tensor: Tensor<2>| tensor.into_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
        let dim = self.means.lazy_shape()[1];
        let (weights, means, factors) = (values(self.weights.val()), values(self.means.val()), values(self.factors.val()));
        let (chosen, noise) = (values(noise.uniform([num, 1], device)), values(noise.normal([num, dim], device)));
        let mut codes = Vec::with_capacity(num * dim);
        for (mut left, noise) in chosen.into_iter().zip(noise.chunks(dim)) {
            let component = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            // Rounding may leave a little after the last component.
            let component = component.unwrap_or(weights.len() - 1);
            for row in 0..dim {
                let factor = &factors[(component * dim + row) * dim..][..=row];
                let offset: f32 = factor.iter().zip(noise).map(|(factor, noise)| factor * noise).sum();
                codes.push(means[component * dim + row] + offset);
            }
        }
        Tensor::from_data(TensorData::new(codes, [num, dim]), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Purpose, StreamNoise, stream};

    /// Standard normal numbers in double precision.
    fn normal(seed: u64, shape: [usize; 2]) -> Vec<f64> {
        let mut noise = StreamNoise(stream(seed, Purpose::Evaluation, 0, 0));
        noise.normal(shape, &Device::flex()).into_data().convert::<f64>().try_to_vec().unwrap()
    }

    fn fitted(codes: &[f64], dim: usize, num_components: usize) -> (GaussianMixture, Vec<f64>) {
        let mut noise = StreamNoise(stream(1, Purpose::DataDependent, 0, 0));
        let draws: Vec<f32> = noise.uniform([num_components, 1], &Device::flex()).into_data().try_to_vec().unwrap();
        GaussianMixture::fit(codes, dim, &draws)
    }

    /// Three clusters at (0, 0), (8, 0) and (0, 8) with shares 1/2, 1/4, 1/4 and standard deviations 1, 1/2, 2.
    fn clusters() -> Vec<f64> {
        let draws = normal(3, [4000, 2]);
        let place = |index: usize| match index % 4 {
            0 | 1 => ([0.0, 0.0], 1.0),
            2 => ([8.0, 0.0], 0.5),
            _ => ([0.0, 8.0], 2.0),
        };
        let at = |(index, draw): (usize, &[f64])| {
            let (mean, sigma) = place(index);
            [mean[0] + sigma * draw[0], mean[1] + sigma * draw[1]]
        };
        draws.chunks(2).enumerate().flat_map(at).collect()
    }

    #[test]
    fn one_component_is_the_mean_and_covariance_of_the_codes() {
        // Two points at +-1 on the diagonal of a plane, shifted.
        let codes = [4.0, 1.0, 2.0, -1.0];
        let (mixture, _) = fitted(&codes, 2, 1);
        assert_eq!(mixture.means, [3.0, 0.0]);
        let factor = &mixture.factors;
        let covariance = [factor[0] * factor[0], factor[0] * factor[2], factor[2] * factor[2] + factor[3] * factor[3]];
        for (found, expected) in covariance.into_iter().zip([1.0, 1.0, 1.0]) {
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
        assert_eq!(factor[1], 0.0);
    }

    #[test]
    fn the_likelihood_never_falls_from_pass_to_pass() {
        for num_components in [2, 3, 6] {
            let (_, history) = fitted(&clusters(), 2, num_components);
            assert!(history.len() > 2);
            for pair in history.windows(2) {
                // The floor of the variances may cost a little of each gain.
                assert!(pair[1] >= pair[0] - 1e-6, "{num_components}: {history:?}");
            }
        }
    }

    #[test]
    fn clusters_are_found_with_their_shares_means_and_spreads() {
        let (mixture, _) = fitted(&clusters(), 2, 3);
        for (mean, share, sigma) in [([0.0, 0.0], 0.5, 1.0), ([8.0, 0.0], 0.25, 0.5), ([0.0, 8.0], 0.25, 2.0)] {
            let distance = |component: &usize| {
                let found = &mixture.means[2 * component..2 * component + 2];
                (found[0] - mean[0]).hypot(found[1] - mean[1])
            };
            let component = (0..3).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            assert!(distance(&component) < 0.3, "{mixture:?}");
            assert!((mixture.weights[component] - share).abs() < 0.02, "{mixture:?}");
            assert!((mixture.factors[4 * component] / sigma - 1.0).abs() < 0.1, "{mixture:?}");
        }
    }

    #[test]
    fn the_likelihood_is_that_of_a_hand_computation() {
        let mixture = GaussianMixture { weights: vec![0.25, 0.75], means: vec![0.0, 2.0], factors: vec![1.0, 0.5], dim: 1 };
        let normal =
            |x: f64, mean: f64, sigma: f64| (-0.5 * ((x - mean) / sigma).powi(2)).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt());
        let codes = [0.5, 1.7];
        let (shares, fit) = mixture.responsibilities(&codes);
        let density = codes.map(|x| [0.25 * normal(x, 0.0, 1.0), 0.75 * normal(x, 2.0, 0.5)]);
        let expected = density.map(|parts| (parts[0] + parts[1]).ln()).iter().sum::<f64>() / 2.0;
        assert!((fit - expected).abs() < 1e-12, "{fit} is not {expected}");
        for (index, parts) in density.iter().enumerate() {
            assert!((shares[index] - parts[0] / (parts[0] + parts[1])).abs() < 1e-12);
        }
    }

    #[test]
    fn codes_that_are_all_the_same_or_fewer_than_components_leave_numbers() {
        for codes in [vec![1.0; 12], vec![1.0, 2.0, 3.0, 4.0]] {
            for num_components in [1, 5] {
                let (mixture, _) = fitted(&codes, 2, num_components);
                let all = mixture.weights.iter().chain(&mixture.means).chain(&mixture.factors);
                assert!(all.clone().all(|value| value.is_finite()), "{mixture:?}");
            }
        }
    }

    #[test]
    fn draws_have_the_moments_of_the_codes() {
        let device = Device::flex();
        let codes = clusters();
        let num = 20_000;
        for num_components in [1, 3] {
            let (mixture, _) = fitted(&codes, 2, num_components);
            let density = CodeDensity::new(num_components, 2, &mut Initializer::new(1, &device)).holding(&mixture);
            let draws = density.sample(num, &mut StreamNoise(stream(2, Purpose::Evaluation, 0, 0)), &device);
            let draws: Vec<f64> = draws.into_data().convert::<f64>().try_to_vec().unwrap();
            let (expected, found) = (moments(&codes, 2, &vec![1.0; codes.len() / 2]), moments(&draws, 2, &vec![1.0; num]));
            for (found, expected) in found.0.iter().zip(&expected.0) {
                assert!((found - expected).abs() < 0.1, "{found} is not {expected}");
            }
            for (found, expected) in found.1.iter().zip(&expected.1) {
                assert!((found - expected).abs() < 0.5, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn before_it_is_fitted_the_density_is_standard_normal() {
        let device = Device::flex();
        let density = CodeDensity::new(2, 3, &mut Initializer::new(1, &device));
        let draws = density.sample(20_000, &mut StreamNoise(stream(2, Purpose::Evaluation, 0, 0)), &device);
        let draws: Vec<f64> = draws.into_data().convert::<f64>().try_to_vec().unwrap();
        let (mean, covariance) = moments(&draws, 3, &vec![1.0; 20_000]);
        assert!(mean.iter().all(|mean| mean.abs() < 0.03), "{mean:?}");
        for (index, value) in covariance.iter().enumerate() {
            assert!((value - f64::from(u8::from(index % 4 == 0))).abs() < 0.05, "{covariance:?}");
        }
    }
}
