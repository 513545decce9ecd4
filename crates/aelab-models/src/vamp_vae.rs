//! The variational autoencoder whose prior is a mixture of its own posteriors.
//!
//! Tomczak & Welling 2018, "VAE with a VampPrior", Eq. 9 and 10. <https://arxiv.org/abs/1705.07120>
//!
//! ```text
//! p(z) = 1/K sum_k q(z | u_k)                                                     u_k: pseudo-inputs, learned
//! L(x) = - E_{q(z|x)} [log p(x|z)] + beta E_{q(z|x)} [log q(z|x) - log p(z)]       nats per example
//! ```
//!
//! with one sample of `z` for both terms: the KL divergence from a mixture has no closed form. The best prior for a given encoder
//! is the average of the posteriors of all training examples; `K` pseudo-inputs stand in for them. For data in [0, 1] they are
//! sigmoids of what is learned (the paper clamps; a clamped pixel of a black background would never move again).

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, DiagonalGaussian, Examples, Initialization, Initializer, ModelConfig, Noise, Objective,
    Schedule, Scheduled, StepContext, Stream, TermSpec, Unit, draw_positions,
};
use aelab_losses::{gaussian_log_density, mixture_log_density};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::network_methods;
use crate::variational_network::{check_not_negative, one, variational_config_methods, variational_network_config};
use crate::{LikelihoodConfig, VariationalNetwork, VariationalNetworkConfig};

/// Where pseudo-inputs start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PseudoInputStart {
    /// At training examples, drawn at random.
    #[default]
    Examples,
    /// At normal values of mean 0.05 and standard deviation 0.01 (the authors' choice for MNIST).
    Noise,
}

variational_network_config! {
    /// Hyperparameters of [`VampVae`].
    pub struct VampVaeConfig {
        /// Pseudo-inputs: components of the prior, `K`.
        pub num_pseudo_inputs: usize,
        /// Where pseudo-inputs start.
        #[serde(default)]
        pub pseudo_inputs: PseudoInputStart,
        /// Weight of the KL term; a number or a schedule.
        #[serde(default = "one")]
        pub beta: Scheduled,
    }
}

/// A variational autoencoder with a mixture of posteriors as its prior.
#[derive(Module, Debug)]
pub struct VampVae {
    network: VariationalNetwork,
    /// `[component, feature]`; logits where the data lies in [0, 1].
    pseudo_inputs: Param<Tensor<2>>,
    #[module(skip)]
    in_unit_interval: bool,
    #[module(skip)]
    start: PseudoInputStart,
    #[module(skip)]
    beta: Scheduled,
}

/// Pixels of exactly 0 and 1 have no logit; these are near enough to be seen and far enough to move.
const LEAST_PROBABILITY: f64 = 0.01;

impl VampVae {
    /// The components of the prior, Gaussians over `[component, latent]`.
    fn prior(&self) -> DiagonalGaussian {
        let pseudo_inputs = self.pseudo_inputs.val();
        self.network.posterior(if self.in_unit_interval { activation::sigmoid(pseudo_inputs) } else { pseudo_inputs })
    }

    /// The model with pseudo-inputs at `values`, `[component, feature]` in data space.
    fn with_pseudo_inputs(self, values: Tensor<2>) -> Self {
        let values = values.detach();
        let values = if self.in_unit_interval {
            let p = values.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
            p.clone().log() - (p * -1.0).log1p()
        } else {
            values
        };
        let pseudo_inputs = self.pseudo_inputs.map(|old| values.set_require_grad(old.is_require_grad()));
        Self { pseudo_inputs, ..self }
    }
}

impl Autoencoder for VampVae {
    network_methods!();

    /// A component for each sample, all equally probable, then a code from it.
    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        let DiagonalGaussian { mean, log_var } = self.prior();
        let num_components = mean.dims()[0];
        let chosen = (noise.uniform([num, 1], device) * num_components as f64).squeeze_dim::<1>(1).int();
        let chosen = chosen.clamp_max(num_components as i64 - 1);
        Some(DiagonalGaussian { mean: mean.select(0, chosen.clone()), log_var: log_var.select(0, chosen) }.sample(noise))
    }

    fn log_importance_weights(&self, batch: &Batch, num_samples: usize, noise: &mut dyn Noise) -> Option<Tensor<2>> {
        let posterior = self.network.posterior(batch.x.clone());
        let prior = self.prior();
        let log_prior = |z, _: &mut dyn Noise| mixture_log_density(z, &prior);
        Some(self.network.log_importance_weights(&posterior, batch, num_samples, log_prior, noise))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let z = posterior.sample(ctx.noise);
        let nll = self.network.nll(batch.x.clone(), z.clone(), batch.mask.as_ref());
        let kl = (gaussian_log_density(z.clone(), &posterior) - mixture_log_density(z, &self.prior())).mean();
        Objective::new().term("nll", nll, 1.0).term("kl", kl, self.beta.at(ctx.progress))
    }

    fn before_training(self, train: &dyn Examples, stream: &mut Stream) -> Self {
        if self.start == PseudoInputStart::Noise || train.is_empty() {
            return self;
        }
        let [num_components, num_features] = self.pseudo_inputs.val().dims();
        let indices = draw_positions(stream, num_components, train.len());
        let mut values = Vec::with_capacity(num_components * num_features);
        train.gather(&indices, stream, &mut values);
        let device = self.pseudo_inputs.val().device();
        self.with_pseudo_inputs(Tensor::from_data(TensorData::new(values, [num_components, num_features]), &device))
    }
}

impl ModelConfig for VampVaeConfig {
    const NAME: &'static str = "vamp_vae";
    const SUMMARY: &'static str = "a variational autoencoder whose prior is a mixture of posteriors of learned inputs";
    const CITATION: &'static str = "Tomczak & Welling 2018, VAE with a VampPrior, Eq. 9 and 10, https://arxiv.org/abs/1705.07120";
    type Model = VampVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        if self.num_pseudo_inputs == 0 {
            let message = "`num_pseudo_inputs` must be at least 1: they make the prior; 500 is the authors' choice for images";
            return Err(ConfigError::new("num_pseudo_inputs", message));
        }
        check_not_negative("beta", &self.beta, "weighs a divergence")
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.likelihood.term_spec(), TermSpec::new("kl", Unit::Nats, self.beta.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> VampVae {
        let num_features = data.num_features();
        let network = self.network().init(data, initializer);
        let how = Initialization::Normal { sigma: 0.01 };
        let model = VampVae {
            network,
            pseudo_inputs: initializer.weight([self.num_pseudo_inputs, num_features], num_features, num_features, how),
            in_unit_interval: data.domain.is_unit_interval(),
            start: self.pseudo_inputs,
            beta: self.beta.clone(),
        };
        let values = model.pseudo_inputs.val() + 0.05;
        model.with_pseudo_inputs(values)
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), 6, PseudoInputStart::Examples, one())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let warm_up = Schedule::Linear { from: 0.5, to: 1.0, epochs: Some(2.0) };
        let with_network = |network| Self::with_network(network, 6, PseudoInputStart::Examples, one());
        let shared = VariationalNetworkConfig::variations().into_iter().map(|(key, network)| (key, with_network(network)));
        let own = vec![
            ("likelihood.gaussian_learned_variance", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..example() }),
            ("num_pseudo_inputs", Self { num_pseudo_inputs: 1, ..example() }),
            ("pseudo_inputs", Self { pseudo_inputs: PseudoInputStart::Noise, ..example() }),
            ("beta", Self { beta: 4.0.into(), ..example() }),
            ("beta.linear", Self { beta: warm_up.into(), ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Purpose, StreamNoise, stream};

    fn model(num_pseudo_inputs: usize, device: &Device) -> VampVae {
        let config = VampVaeConfig { num_pseudo_inputs, initialization: Initialization::Torch, ..VampVaeConfig::example() };
        config.init(&DataSpec::new([5], Domain::UnitInterval), &mut Initializer::new(2, device))
    }

    fn noise(step: u64) -> StreamNoise {
        StreamNoise(stream(1, Purpose::Training, 0, step))
    }

    fn values(tensor: Tensor<2>) -> Vec<f64> {
        tensor.into_data().convert::<f64>().try_to_vec().unwrap()
    }

    /// Values that have a logit.
    fn x(num: usize, device: &Device) -> Tensor<2> {
        Tensor::from_data(
            TensorData::new((0..num * 5).map(|index| 0.05 + 0.9 * (index * 7 % 11) as f32 / 11.0).collect(), [num, 5]),
            device,
        )
    }

    #[test]
    fn with_the_examples_themselves_as_pseudo_inputs_the_prior_is_the_aggregated_posterior() {
        let device = Device::flex();
        let num = 7;
        let model = model(num, &device);
        let posterior = model.network.posterior(x(num, &device));
        let (means, log_vars) = (values(posterior.mean.clone()), values(posterior.log_var.clone()));
        let model = model.with_pseudo_inputs(x(num, &device));
        let z = noise(0).normal([20, 3], &device) * 2.0;
        let found = values(mixture_log_density(z.clone(), &model.prior()));
        for (z, found) in values(z).chunks(3).zip(found) {
            let density: f64 = (0..num)
                .map(|k| {
                    let one = |j: usize| {
                        let (mean, variance) = (means[k * 3 + j], log_vars[k * 3 + j].exp());
                        (-(z[j] - mean).powi(2) / (2.0 * variance)).exp() / (2.0 * std::f64::consts::PI * variance).sqrt()
                    };
                    (0..3).map(one).product::<f64>()
                })
                .sum();
            let expected = (density / num as f64).ln();
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }

    #[test]
    fn with_one_pseudo_input_the_divergence_is_that_of_two_gaussians_on_average() {
        let device = Device::flex();
        let model = model(1, &device);
        let posterior = model.network.posterior(x(1, &device));
        let prior = model.prior();
        let [m, v, n, w] = [&posterior.mean, &posterior.log_var, &prior.mean, &prior.log_var].map(|tensor| values(tensor.clone()));
        let exact: f64 = (0..3).map(|j| 0.5 * (w[j] - v[j] + (v[j].exp() + (m[j] - n[j]).powi(2)) / w[j].exp() - 1.0)).sum();
        let num = 200_000;
        let repeated = posterior.repeat(num);
        let z = repeated.sample(&mut noise(0));
        let found = values(gaussian_log_density(z.clone(), &repeated) - mixture_log_density(z, &prior));
        let mean = found.iter().sum::<f64>() / num as f64;
        let variance = found.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / num as f64;
        let error = (variance / num as f64).sqrt();
        assert!((mean - exact).abs() < 4.0 * error + 1e-5, "{mean} +- {error} is not {exact}");
    }

    #[test]
    fn samples_come_from_all_components() {
        let device = Device::flex();
        let model = model(2, &device).with_pseudo_inputs(x(2, &device));
        let prior = model.prior();
        let num = 20_000;
        let samples = values(model.sample_prior(num, &mut noise(0), &device).unwrap());
        for j in 0..3 {
            let column = |tensor: &Tensor<2>| -> Vec<f64> { values(tensor.clone()).into_iter().skip(j).step_by(3).collect() };
            let (means, log_vars) = (column(&prior.mean), column(&prior.log_var));
            let mean = (means[0] + means[1]) / 2.0;
            let variance = (log_vars[0].exp() + log_vars[1].exp()) / 2.0 + ((means[0] - means[1]) / 2.0).powi(2);
            let found = samples.iter().skip(j).step_by(3).sum::<f64>() / num as f64;
            let spread = samples.iter().skip(j).step_by(3).map(|z| (z - mean).powi(2)).sum::<f64>() / num as f64;
            assert!((found - mean).abs() < 4.0 * (variance / num as f64).sqrt(), "{found} is not {mean}");
            assert!((spread / variance - 1.0).abs() < 0.05, "{spread} is not {variance}");
        }
    }

    #[test]
    fn no_pseudo_inputs_are_refused() {
        let data = DataSpec::new([5], Domain::UnitInterval);
        let error = VampVaeConfig { num_pseudo_inputs: 0, ..VampVaeConfig::example() }.check(&data).unwrap_err();
        assert_eq!(error.path, "num_pseudo_inputs");
    }
}
