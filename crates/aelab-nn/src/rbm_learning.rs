//! How a restricted Boltzmann machine learns: contrastive divergence, with fresh chains or persistent ones.
//!
//! Hinton 2002; Tieleman 2008, "Training Restricted Boltzmann Machines using Approximations to the Likelihood
//! Gradient"; in practice: Hinton 2012, "A Practical Guide to Training Restricted Boltzmann Machines".
//!
//! ```text
//! d log p(v) / dW = v E[h | v]^T - E[v h^T]          the second expectation under the model itself
//! CD-k:  from k steps of Gibbs sampling that start at the data
//! PCD-k: from k steps that start where the last update left its chains
//! ```
//!
//! Updates are computed, not differentiated: nothing here needs a tape.

use aelab_core::Noise;
use aelab_kernels::{BoltzmannUpdate, boltzmann_update, difference_of_means};
use burn::tensor::Tensor;

use crate::Rbm;

/// What an estimate of the gradient of the mean log-likelihood is made of: visible and hidden units of the data, `[batch, unit]`, and
/// of the model's chains, `[chain, unit]`.
#[derive(Debug, Clone)]
pub struct RbmStatistics {
    data: [Tensor<2>; 2],
    model: [Tensor<2>; 2],
}

impl RbmStatistics {
    /// The estimate itself: the mean of `v h^T`, `v` and `h` over the data, less that over the chains.
    pub fn gradient(&self) -> RbmDirection {
        let [visible_bias, hidden_bias] = self.of_biases();
        RbmDirection { weight: self.of_weight(), visible_bias, hidden_bias }
    }

    fn of_weight(&self) -> Tensor<2> {
        let mean = |[v, h]: &[Tensor<2>; 2]| v.clone().transpose().matmul(h.clone()) / v.dims()[0] as f64;
        mean(&self.data) - mean(&self.model)
    }

    fn of_biases(&self) -> [Tensor<1>; 2] {
        [0, 1].map(|side| {
            let (data, model) = (&self.data[side], &self.model[side]);
            let mean = |units: &Tensor<2>| units.clone().mean_dim(0).squeeze_dim(0);
            difference_of_means(data, model).unwrap_or_else(|| mean(data) - mean(model))
        })
    }
}

/// A direction in the space of an [`Rbm`]'s parameters: a gradient, or the velocity of one with momentum.
#[derive(Debug, Clone)]
pub struct RbmDirection {
    /// `[visible, hidden]`.
    pub weight: Tensor<2>,
    /// `[visible]`.
    pub visible_bias: Tensor<1>,
    /// `[hidden]`.
    pub hidden_bias: Tensor<1>,
}

/// What multiplies a gradient, a velocity and a weight in one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RbmUpdate {
    /// Step along the gradient of the mean log-likelihood.
    pub learning_rate: f64,
    /// What is left of the last step.
    pub momentum: f64,
    /// Strength of the pull of weights (not of biases) towards 0.
    pub weight_cost: f64,
}

impl Rbm {
    /// No motion.
    pub fn at_rest(&self) -> RbmDirection {
        RbmDirection {
            weight: self.weight.val().zeros_like(),
            visible_bias: self.visible_bias.val().zeros_like(),
            hidden_bias: self.hidden_bias.val().zeros_like(),
        }
    }

    /// Estimate of the gradient of the mean log-likelihood by CD-`steps`, and the reconstruction of the first step,
    /// `[batch, visible]`.
    ///
    /// As in the code of Hinton & Salakhutdinov 2006: hidden *states* are sampled and drive the reconstruction; the visible units
    /// are means (probabilities), and so are the hidden units of both sides of the statistics.
    ///
    /// # Panics
    /// When `steps` is 0.
    pub fn contrastive_divergence(&self, v: Tensor<2>, steps: usize, noise: &mut dyn Noise) -> (RbmStatistics, Tensor<2>) {
        assert!(steps > 0, "contrastive divergence takes at least one step");
        let of_data = self.hidden_mean(v.clone());
        let first = self.visible_mean(self.hidden().sample(of_data.clone(), noise));
        let (mut visible, mut hidden) = (first.clone(), self.hidden_mean(first.clone()));
        for _ in 1..steps {
            visible = self.visible_mean(self.hidden().sample(hidden, noise));
            hidden = self.hidden_mean(visible.clone());
        }
        (RbmStatistics { data: [v, of_data], model: [visible, hidden] }, first)
    }

    /// Estimate of the gradient of the mean log-likelihood by PCD-`steps`, and the chains after it. The chains, `[chain, visible]`,
    /// are samples of the visible units, and their number need not be that of the batch.
    pub fn persistent_contrastive_divergence(
        &self,
        v: Tensor<2>,
        chains: Tensor<2>,
        steps: usize,
        noise: &mut dyn Noise,
    ) -> (RbmStatistics, Tensor<2>) {
        let chains = (0..steps).fold(chains, |chains, _| self.sample_visible(self.sample_hidden(chains, noise), noise));
        let (of_data, of_model) = (self.hidden_mean(v.clone()), self.hidden_mean(chains.clone()));
        (RbmStatistics { data: [v, of_data], model: [chains.clone(), of_model] }, chains)
    }

    /// The machine after one update, and its velocity then:
    ///
    /// ```text
    /// velocity <- momentum velocity + learning_rate (gradient - weight_cost W);  parameters <- parameters + velocity
    /// ```
    #[must_use]
    pub fn updated(mut self, statistics: &RbmStatistics, velocity: RbmDirection, update: RbmUpdate) -> (Self, RbmDirection) {
        let RbmUpdate { learning_rate, momentum, weight_cost } = update;
        let [visible, hidden] = statistics.of_biases();
        let visible_bias = velocity.visible_bias * momentum + visible * learning_rate;
        let hidden_bias = velocity.hidden_bias * momentum + hidden * learning_rate;
        let (velocity, mut moved) = (velocity.weight, None);
        self.weight = self.weight.map(|weight| {
            let factors =
                BoltzmannUpdate { learning_rate: learning_rate as f32, momentum: momentum as f32, weight_cost: weight_cost as f32 };
            let [data, model] = [&statistics.data, &statistics.model].map(|[v, h]| [v, h]);
            let [weight, velocity] = boltzmann_update(factors, [weight, velocity], data, model).unwrap_or_else(|[weight, velocity]| {
                let decayed = weight.clone() * (-learning_rate * weight_cost);
                let velocity = velocity * momentum + statistics.of_weight() * learning_rate + decayed;
                [weight + velocity.clone(), velocity]
            });
            moved = Some(velocity);
            weight
        });
        self.visible_bias = self.visible_bias.map(|bias| bias + visible_bias.clone());
        self.hidden_bias = self.hidden_bias.map(|bias| bias + hidden_bias.clone());
        (self, RbmDirection { weight: moved.expect("the weight was mapped"), visible_bias, hidden_bias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnitKind;
    use aelab_core::{FixedNoise, Initialization, Initializer, Purpose, StreamNoise, stream};
    use burn::tensor::{Device, TensorData};
    use serde_json::Value;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// Two visible units, one hidden one, one example (1, 0), W = (0.5, -1), a = (0.1, 0.2), b = -0.3; the sampled state is 1.
    #[test]
    fn one_update_of_cd_1_equals_a_computation_by_hand() {
        let device = Device::flex();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let up = sigmoid(0.5 - 0.3);
        let down = [sigmoid(0.5 + 0.1), sigmoid(-1.0 + 0.2)];
        let up_again = sigmoid(0.5 * down[0] - down[1] - 0.3);
        let (rate, cost) = (0.1, 0.01);
        let weight = [0.5 + rate * (up - down[0] * up_again - cost * 0.5), -1.0 + rate * (0.0 - down[1] * up_again + cost * 1.0)];
        let visible_bias = [0.1 + rate * (1.0 - down[0]), 0.2 + rate * (0.0 - down[1])];
        let hidden_bias = [-0.3 + rate * (up - up_again)];

        let tensor = |numbers: [f32; 2]| Tensor::<1>::from_data(numbers, &device);
        let weight_before = Tensor::from_data([[0.5], [-1.0]], &device);
        let rbm = Rbm::from_tensors(weight_before, tensor([0.1, 0.2]), Tensor::<1>::from_data([-0.3], &device), [UnitKind::Bernoulli; 2]);
        let v = Tensor::from_data([[1.0, 0.0]], &device);
        let (gradient, reconstruction) = rbm.contrastive_divergence(v, 1, &mut FixedNoise::new([vec![0.2]]));
        let rest = rbm.at_rest();
        let (rbm, _) = rbm.updated(&gradient, rest, RbmUpdate { learning_rate: rate, momentum: 0.9, weight_cost: cost });
        let close = |found: Vec<f32>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            found.iter().zip(expected).for_each(|(x, y)| assert!((f64::from(*x) - y).abs() < 1e-6, "{found:?} is not {expected:?}"));
        };
        close(values(reconstruction), &down);
        close(values(rbm.weight.val()), &weight);
        close(values(rbm.visible_bias.val()), &visible_bias);
        close(values(rbm.hidden_bias.val()), &hidden_bias);
    }

    /// From scripts/reference/rbm_updates.py, which shares no code with this.
    #[test]
    fn updates_with_momentum_and_weight_cost_equal_those_of_numpy() {
        let device = Device::flex();
        let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/rbm_updates.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let name = case["name"].as_str().unwrap();
            let list = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
            let number = |key: &str| case[key].as_f64().unwrap();
            let matrix = |value: &Value| {
                let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
                let shape = [rows.len(), rows[0].len()];
                Tensor::<2>::from_data(TensorData::new(rows.concat(), shape), &device)
            };
            let vector = |value: &Value| Tensor::<1>::from_data(&list(value)[..], &device);
            let kind = |key: &str| serde_json::from_value::<UnitKind>(case[key].clone()).unwrap();
            let (before, after) = (&case["before"], &case["after"]);
            let mut rbm = Rbm::from_tensors(
                matrix(&before["weight"]),
                vector(&before["visible_bias"]),
                vector(&before["hidden_bias"]),
                [kind("visible"), kind("hidden")],
            );
            let mut noise = FixedNoise::new(case["noise"].as_array().unwrap().iter().map(list));
            let mut velocity = rbm.at_rest();
            let mut chains = case["persistent"].as_bool().unwrap().then(|| matrix(&case["chains"]));
            let update =
                RbmUpdate { learning_rate: number("learning_rate"), momentum: number("momentum"), weight_cost: number("weight_cost") };
            for x in case["batches"].as_array().unwrap() {
                let steps = number("steps") as usize;
                let gradient = match chains.take() {
                    Some(from) => {
                        let (gradient, to) = rbm.persistent_contrastive_divergence(matrix(x), from, steps, &mut noise);
                        chains = Some(to);
                        gradient
                    }
                    None => rbm.contrastive_divergence(matrix(x), steps, &mut noise).0,
                };
                (rbm, velocity) = rbm.updated(&gradient, velocity, update);
            }
            let found = [values(rbm.weight.val()), values(rbm.visible_bias.val()), values(rbm.hidden_bias.val())];
            let expected = [values(matrix(&after["weight"])), list(&after["visible_bias"]), list(&after["hidden_bias"])];
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!((found - expected).abs() < 2e-6, "{name}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn the_statistics_of_the_data_are_the_slope_of_the_free_energy() {
        let device = Device::flex().autodiff();
        for kinds in [[UnitKind::Bernoulli; 2], [UnitKind::Gaussian, UnitKind::Bernoulli], [UnitKind::Bernoulli, UnitKind::Gaussian]] {
            let how = Initialization::Normal { sigma: 0.5 };
            let rbm = Rbm::new([3, 2], kinds, how, &mut Initializer::new(1, &device));
            let v = Tensor::<2>::from_data([[0.2, 1.0, 0.0], [0.7, 0.1, 0.9]], &device);
            let gradients = rbm.free_energy(v.clone()).mean().backward();
            let weight = rbm.weight.val().grad(&gradients).unwrap();
            let bias = rbm.hidden_bias.val().grad(&gradients).unwrap();
            let none = [Tensor::zeros([1, 3], &v.device()), Tensor::zeros([1, 2], &v.device())].map(Tensor::inner);
            let statistics = RbmStatistics { data: [v.clone().inner(), rbm.hidden_mean(v).inner()], model: none };
            let expected = statistics.gradient();
            let apart = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).map(|(x, y)| (x + y).abs()).fold(0.0, f32::max);
            assert!(apart(values(weight), values(expected.weight)) < 1e-6, "{kinds:?}");
            // The bias of a Gaussian unit is its mean without input: there the slope is that of (h - b)^2 / 2.
            if kinds[1] == UnitKind::Bernoulli {
                assert!(apart(values(bias), values(expected.hidden_bias)) < 1e-6, "{kinds:?}");
            }
        }
    }

    /// The fourteen patterns of 3x3 bars and stripes (MacKay 2003).
    fn bars_and_stripes(device: &Device) -> Tensor<2> {
        let mut patterns: Vec<Vec<f32>> = Vec::new();
        for bits in 0..8u8 {
            let on = |index: usize| f32::from(bits >> index & 1);
            for pattern in [(0..9).map(|pixel| on(pixel % 3)).collect::<Vec<_>>(), (0..9).map(|pixel| on(pixel / 3)).collect()] {
                if !patterns.contains(&pattern) {
                    patterns.push(pattern);
                }
            }
        }
        assert_eq!(patterns.len(), 14);
        Tensor::from_data(TensorData::new(patterns.concat(), [14, 9]), device)
    }

    /// CD-1 is watched for a thousand updates: later, with weights grown, its bias may lower the likelihood again, on these very
    /// patterns (Fischer & Igel 2010, "Empirical Analysis of the Divergence of Gibbs Sampling Based Learning Algorithms for
    /// Restricted Boltzmann Machines"). PCD is watched for two thousand: after that, at this constant learning rate, it goes up and down by
    /// more than a nat, and rounding alone decides where it is at a given step.
    #[test]
    fn the_exact_likelihood_of_bars_and_stripes_rises() {
        let device = Device::flex();
        let v = bars_and_stripes(&device);
        for (persistent, looked_at, at_least) in [(false, [100, 400, 1000], -3.7), (true, [100, 1000, 2000], -3.7)] {
            let how = Initialization::Normal { sigma: 0.1 };
            let mut rbm = Rbm::new([9, 12], [UnitKind::Bernoulli; 2], how, &mut Initializer::new(1, &device));
            let log_likelihood = |rbm: &Rbm| {
                let log_z = rbm.log_partition_function().unwrap();
                -f64::from(rbm.free_energy(v.clone()).mean().into_scalar::<f32>()) - log_z
            };
            let mut measured = vec![log_likelihood(&rbm)];
            let (mut velocity, mut chains) = (rbm.at_rest(), v.clone().repeat_dim(0, 10));
            let update = RbmUpdate { learning_rate: if persistent { 0.05 } else { 0.1 }, momentum: 0.5, weight_cost: 0.0 };
            for step in 1..=looked_at[2] {
                let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
                let gradient = if persistent {
                    let (gradient, next) = rbm.persistent_contrastive_divergence(v.clone(), chains, 1, noise);
                    chains = next;
                    gradient
                } else {
                    rbm.contrastive_divergence(v.clone(), 1, noise).0
                };
                (rbm, velocity) = rbm.updated(&gradient, velocity, update);
                if looked_at.contains(&step) {
                    measured.push(log_likelihood(&rbm));
                }
            }
            // Nine fair coins reach -6.24 nats; a perfect model -log 14 = -2.64.
            assert!(measured.windows(2).all(|pair| pair[1] > pair[0]), "persistent {persistent}: {measured:?}");
            assert!(measured[3] > at_least && measured[3] < -(14f64.ln()), "persistent {persistent}: {measured:?}");
        }
    }

    #[test]
    fn a_machine_with_gaussian_visible_units_learns_the_mean_of_its_data() {
        let device = Device::flex();
        let noise = &mut StreamNoise(stream(2, Purpose::Training, 0, 0));
        let v = noise.normal([200, 3], &device) + Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
        let how = Initialization::Normal { sigma: 0.01 };
        let mut rbm = Rbm::new([3, 2], [UnitKind::Gaussian, UnitKind::Bernoulli], how, &mut Initializer::new(1, &device));
        let log_likelihood =
            |rbm: &Rbm| -f64::from(rbm.free_energy(v.clone()).mean().into_scalar::<f32>()) - rbm.log_partition_function().unwrap();
        let before = log_likelihood(&rbm);
        let mut velocity = rbm.at_rest();
        for _ in 0..300 {
            let (gradient, _) = rbm.contrastive_divergence(v.clone(), 1, noise);
            (rbm, velocity) = rbm.updated(&gradient, velocity, RbmUpdate { learning_rate: 0.05, momentum: 0.5, weight_cost: 0.0 });
        }
        // The data is one Gaussian: the best is its entropy, 3/2 log(2 pi e) = 4.257 nats, up to the sample.
        let after = log_likelihood(&rbm);
        assert!(before < -6.0 && (-4.4..-4.1).contains(&after), "{before} before, {after} after");
        let mean = values(rbm.visible_mean(rbm.hidden_mean(v)).mean_dim(0));
        for (found, expected) in mean.iter().zip([1.0, -2.0, 0.5]) {
            assert!((found - expected).abs() < 0.25, "{mean:?}");
        }
    }
}
