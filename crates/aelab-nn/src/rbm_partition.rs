//! The partition function of a restricted Boltzmann machine: exactly for small ones, estimated for others.
//!
//! Salakhutdinov & Murray 2008, "On the Quantitative Analysis of Deep Belief Networks", after Neal 2001, "Annealed
//! Importance Sampling".

use aelab_core::Noise;
use burn::tensor::{Device, Tensor, TensorData};

use crate::{Rbm, UnitKind};

/// States of more units than this are not enumerated.
const MAX_ENUMERATED: usize = 20;
/// States that are looked at together.
const CHUNK: usize = 4096;

/// An estimate of `log Z`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartitionEstimate {
    /// `log` of the mean importance weight, in nats.
    pub log_z: f64,
    /// `log` of that mean less three of its standard errors; minus infinity where that is not positive.
    pub low: f64,
    /// `log` of that mean and three of its standard errors.
    pub high: f64,
}

impl Rbm {
    /// `log Z` in nats, by a sum over all states of the side with fewer units; `None` where that side has more than 20 Bernoulli
    /// units, or neither side is Bernoulli.
    pub fn log_partition_function(&self) -> Option<f64> {
        let sides = [(self.hidden(), self.num_hidden()), (self.visible(), self.num_visible())];
        let can = |(kind, num): (UnitKind, usize)| kind == UnitKind::Bernoulli && num <= MAX_ENUMERATED;
        let over_hidden = match sides.map(can) {
            [true, true] => self.num_hidden() <= self.num_visible(),
            [hidden, visible] if hidden || visible => hidden,
            _ => return None,
        };
        let num_units = if over_hidden { self.num_hidden() } else { self.num_visible() };
        let device = self.weight.val().device();
        let num_states = 1usize << num_units;
        let mut log_weights = Vec::with_capacity(num_states);
        for first in (0..num_states).step_by(CHUNK) {
            let states = states(first..(first + CHUNK).min(num_states), num_units, &device);
            let free_energy = if over_hidden { self.free_energy_of_hidden(states) } else { self.free_energy(states) };
            log_weights.extend(numbers(free_energy * -1.0));
        }
        Some(log_sum_exp(&log_weights))
    }

    /// An estimate of `log Z` by annealed importance sampling, from independent visible units with the biases `base`, `[visible]`
    /// (see [`base_rate_bias`]), through the distributions at `betas`, which rise from 0 to 1 (see [`annealing_schedule`]).
    ///
    /// ```text
    /// p_k(v) ~ exp((1 - beta_k) base v + beta_k a v) prod_j (1 + exp(beta_k (v W + b)_j))
    /// ```
    ///
    /// # Panics
    /// When a side is not Bernoulli.
    pub fn annealed_importance_sampling(
        &self,
        base: &Tensor<1>,
        betas: &[f64],
        num_chains: usize,
        noise: &mut dyn Noise,
    ) -> PartitionEstimate {
        let bernoulli = UnitKind::Bernoulli;
        assert!([self.visible(), self.hidden()] == [bernoulli; 2], "annealed importance sampling is for Bernoulli units");
        let (weight, bias): (_, Tensor<2>) = (self.weight.val(), self.hidden_bias.val().unsqueeze());
        let base: Tensor<2> = base.clone().unsqueeze();
        let to_visible_bias: Tensor<2> = self.visible_bias.val().unsqueeze::<2>() - base.clone();
        // log p*_k of the chains, up to the part of `base`, which cancels.
        let log_density = |v: &Tensor<2>, input: &Tensor<2>, beta: f64| {
            let energy = (v.clone() * to_visible_bias.clone()).sum_dim(1) * beta;
            let hidden = input.clone() * beta;
            let magnitude = hidden.clone().abs();
            let log_normalizer = (hidden + magnitude.clone()) * 0.5 + (magnitude * -1.0).exp().log1p();
            numbers((energy + log_normalizer.sum_dim(1)).squeeze_dim::<1>(1))
        };
        let mut v = bernoulli.sample(bernoulli.mean(base.clone().repeat_dim(0, num_chains)), noise);
        let mut log_weights = vec![0.0; num_chains];
        for (index, pair) in betas.windows(2).enumerate() {
            let input = v.clone().matmul(weight.clone()) + bias.clone();
            let (here, there) = (log_density(&v, &input, pair[0]), log_density(&v, &input, pair[1]));
            log_weights.iter_mut().zip(here.iter().zip(&there)).for_each(|(sum, (here, there))| *sum += there - here);
            if index + 2 < betas.len() {
                let beta = pair[1];
                let h = bernoulli.sample(bernoulli.mean(input * beta), noise);
                let from_hidden = (h.matmul(weight.clone().transpose()) + to_visible_bias.clone()) * beta + base.clone();
                v = bernoulli.sample(bernoulli.mean(from_hidden), noise);
            }
        }
        let log_z_of_base = numbers(base.squeeze_dim(0)).iter().map(|bias| softplus(*bias)).sum::<f64>()
            + self.num_hidden() as f64 * std::f64::consts::LN_2;
        // Mean and standard error of the weights, relative to the largest.
        let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = log_weights.iter().map(|log_weight| (log_weight - largest).exp()).collect();
        let num = weights.len() as f64;
        let mean = weights.iter().sum::<f64>() / num;
        let variance = weights.iter().map(|weight| (weight - mean).powi(2)).sum::<f64>() / (num - 1.0).max(1.0);
        let error = 3.0 * (variance / num).sqrt();
        let log = |weight: f64| log_z_of_base + largest + weight.max(0.0).ln();
        PartitionEstimate { log_z: log(mean), low: log(mean - error), high: log(mean + error) }
    }
}

/// Biases under which independent Bernoulli units have the means of `v`, `[batch, visible]`, with one more of each value so that
/// none is infinite. `[visible]`.
pub fn base_rate_bias(v: Tensor<2>) -> Tensor<1> {
    let size = v.dims()[0] as f64;
    let on = (v.sum_dim(0).squeeze_dim::<1>(0) + 1.0) / (size + 2.0);
    on.clone().log() - (on * -1.0 + 1.0).log()
}

/// About `num` values from 0 to 1, denser towards 1 in the proportions of Salakhutdinov & Murray 2008 (500 up to 0.5, 4000 up
/// to 0.9, 10,000 up to 1).
pub fn annealing_schedule(num: usize) -> Vec<f64> {
    let part = |share: f64| ((num as f64 * share / 14_500.0).round() as usize).max(1);
    let line = |from: f64, to: f64, num: usize| (0..num).map(move |index| from + (to - from) * index as f64 / num as f64);
    line(0.0, 0.5, part(500.0)).chain(line(0.5, 0.9, part(4000.0))).chain(line(0.9, 1.0, part(10_000.0))).chain([1.0]).collect()
}

/// The states with these numbers as rows of bits.
fn states(range: std::ops::Range<usize>, num_units: usize, device: &Device) -> Tensor<2> {
    let num = range.len();
    let bits = range.flat_map(|state| (0..num_units).map(move |unit| (state >> unit & 1) as f32));
    Tensor::from_data(TensorData::new(bits.collect::<Vec<f32>>(), [num, num_units]), device)
}

fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Initialization, Initializer, Purpose, StreamNoise, stream};

    fn noise(seed: u64) -> StreamNoise {
        StreamNoise(stream(seed, Purpose::Evaluation, 0, 0))
    }

    fn machine(shape: [usize; 2], kinds: [UnitKind; 2], sigma: f64, seed: u64) -> Rbm {
        let device = Device::flex();
        let initializer = &mut Initializer::new(seed, &device);
        let how = Initialization::Normal { sigma };
        let weight = initializer.weight::<2>(shape, 1, 1, how).val();
        let [visible_bias, hidden_bias] = shape.map(|num| initializer.weight::<1>([num], 1, 1, how).val());
        Rbm::from_tensors(weight, visible_bias, hidden_bias, kinds)
    }

    #[test]
    fn probabilities_of_all_states_sum_to_one_whichever_side_is_summed_out() {
        for (shape, hidden) in [([8, 5], UnitKind::Bernoulli), ([5, 8], UnitKind::Bernoulli), ([8, 3], UnitKind::Gaussian)] {
            let rbm = machine(shape, [UnitKind::Bernoulli, hidden], 0.5, 1);
            let log_z = rbm.log_partition_function().unwrap();
            let all = states(0..1 << shape[0], shape[0], &Device::flex());
            let total: f64 = numbers(rbm.free_energy(all)).iter().map(|free_energy| (-free_energy - log_z).exp()).sum();
            assert!((total - 1.0).abs() < 1e-5, "{shape:?}, {hidden:?}: {total}");
        }
    }

    #[test]
    fn the_density_of_gaussian_visible_units_integrates_to_one() {
        let rbm = machine([2, 4], [UnitKind::Gaussian, UnitKind::Bernoulli], 0.7, 3);
        let log_z = rbm.log_partition_function().unwrap();
        let (num, step) = (301, 0.06f32);
        let points: Vec<f32> = (0..num * num).flat_map(|index| [index / num, index % num].map(|i| (i as f32 - 150.0) * step)).collect();
        let grid = Tensor::<2>::from_data(TensorData::new(points, [num * num, 2]), &Device::flex());
        let total: f64 = numbers(rbm.free_energy(grid)).iter().map(|free_energy| (-free_energy - log_z).exp()).sum();
        let total = total * f64::from(step).powi(2);
        assert!((total - 1.0).abs() < 1e-3, "{total}");
    }

    #[test]
    fn what_is_too_large_to_enumerate_is_not() {
        assert!(machine([21, 30], [UnitKind::Bernoulli; 2], 0.1, 1).log_partition_function().is_none());
        assert!(machine([3, 3], [UnitKind::Gaussian; 2], 0.1, 1).log_partition_function().is_none());
        assert!(machine([30, 4], [UnitKind::Bernoulli; 2], 0.1, 1).log_partition_function().is_some());
        assert!(machine([4, 30], [UnitKind::Bernoulli, UnitKind::Gaussian], 0.1, 1).log_partition_function().is_some());
    }

    #[test]
    fn annealed_importance_sampling_finds_the_enumerated_partition_function() {
        for (seed, sigma) in [(1, 0.5), (2, 1.0), (3, 1.5)] {
            let rbm = machine([14, 10], [UnitKind::Bernoulli; 2], sigma, seed);
            let exact = rbm.log_partition_function().unwrap();
            let data = rbm.sample_visible(Tensor::ones([100, 10], &Device::flex()), &mut noise(seed));
            for base in [Tensor::zeros([14], &Device::flex()), base_rate_bias(data)] {
                let estimate = rbm.annealed_importance_sampling(&base, &annealing_schedule(1000), 200, &mut noise(seed));
                assert!(estimate.low < exact && exact < estimate.high, "{sigma}: {estimate:?} does not hold {exact}");
                assert!(estimate.high - estimate.low < 0.3, "{sigma}: {estimate:?} says little");
                assert!((estimate.log_z - exact).abs() < 0.1, "{sigma}: {estimate:?} is not {exact}");
            }
        }
    }

    #[test]
    fn importance_weights_without_annealing_are_those_of_the_base_itself() {
        let device = Device::flex();
        let base = Tensor::<1>::from_data([0.3, -1.0, 2.0], &device);
        let rbm = Rbm::from_tensors(Tensor::zeros([3, 2], &device), base.clone(), Tensor::zeros([2], &device), [UnitKind::Bernoulli; 2]);
        let estimate = rbm.annealed_importance_sampling(&base, &[0.0, 1.0], 5, &mut noise(1));
        let exact = rbm.log_partition_function().unwrap();
        assert!((estimate.log_z - exact).abs() < 1e-5 && estimate.high - estimate.low < 1e-6, "{estimate:?} is not {exact}");
    }

    #[test]
    fn the_base_rate_gives_the_means_of_the_data() {
        let v = Tensor::<2>::from_data([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0f32]], &Device::flex());
        let means = numbers(UnitKind::Bernoulli.mean(base_rate_bias(v)));
        assert!((means[0] - 3.0 / 5.0).abs() < 1e-6 && (means[1] - 1.0 / 5.0).abs() < 1e-6, "{means:?}");
    }

    #[test]
    fn the_annealing_schedule_rises_from_0_to_1() {
        let betas = annealing_schedule(145);
        assert_eq!((betas.len(), betas[0], betas[145]), (146, 0.0, 1.0));
        assert!(betas.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
