//! The variational autoencoder with two stochastic layers.
//!
//! Rezende, Mohamed & Wierstra 2014, "Stochastic Backpropagation and Approximate Inference in Deep Generative Models",
//! <https://arxiv.org/abs/1401.4082>; in this form Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders",
//! Eq. 1 and 2. <https://arxiv.org/abs/1509.00519>
//!
//! ```text
//! p(x, z1, z2) = p(x|z1) p(z1|z2) N(z2; 0, I)        q(z1, z2|x) = q(z1|x) q(z2|z1)
//!
//! L(x) = - log p(x|z1) + beta [ log q(z1|x) - log p(z1|z2) ] + beta KL(q(z2|z1) || N(0, I))      nats per example
//!             nll                      kl_bottom                          kl_top
//! ```
//!
//! with one sample of `z1` and of `z2`. `kl_top` is in closed form; `kl_bottom` cannot be, because `z2` depends on `z1`:
//! its value at one sample may be negative, its expectation may be too, the sum of both in expectation may not.
//! The code is `z1`; its prior is no longer a Gaussian, but what `z2` makes of one.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, DiagonalGaussian, Initialization, Initializer, ModelConfig, Noise, Objective, Schedule,
    Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::{gaussian_log_density, gaussian_nll_with_log_var, kl_to_standard_normal, standard_normal_log_density};
use aelab_nn::{Activation, GaussianHead, Hidden, Mlp};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::network::{check_code_size, network_methods};
use crate::variational_network::{check_not_negative, one, variational_network_config};
use crate::{VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`HierarchicalVae`]. `latent_dim` is that of the layer next to the data.
    pub struct HierarchicalVaeConfig {
        /// Latent dimensions of the upper stochastic layer.
        pub top_latent_dim: usize,
        /// Units of the dense layers between the two stochastic layers, from the lower one upwards; `[]` for none.
        pub top_hidden: Vec<usize>,
        /// Activation of those layers.
        #[serde(default)]
        pub top_activation: Activation,
        /// Weight of both divergences; a number or a schedule.
        #[serde(default = "one")]
        pub beta: Scheduled,
    }
}

/// Two stochastic layers between encoder and decoder.
#[derive(Module, Debug)]
pub struct HierarchicalVae {
    network: VariationalNetwork,
    /// `q(z2 | z1)`.
    top_posterior: ConditionalGaussian,
    /// `p(z1 | z2)`.
    bottom_prior: ConditionalGaussian,
    #[module(skip)]
    top_latent_dim: usize,
    #[module(skip)]
    beta: Scheduled,
}

/// Dense layers to a Gaussian.
#[derive(Module, Debug)]
struct ConditionalGaussian {
    hidden: Mlp,
    head: GaussianHead,
}

impl ConditionalGaussian {
    fn new(
        num_inputs: usize,
        widths: &[usize],
        activation: Activation,
        latent_dim: usize,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        let hidden = Mlp::new(num_inputs, widths.iter().map(|&width| (width, activation)), true, how, initializer);
        Self { hidden, head: GaussianHead::new(widths.last().copied().unwrap_or(num_inputs), latent_dim, how, initializer) }
    }

    /// `[batch, condition]` to Gaussians over `[batch, latent]`.
    fn forward(&self, condition: Tensor<2>) -> DiagonalGaussian {
        self.head.forward(self.hidden.forward(condition))
    }
}

/// `-log N(z; mean, diag(exp(log_var)))`, in nats per example.
fn negative_log_density(gaussian: DiagonalGaussian, z: Tensor<2>) -> Tensor<1> {
    gaussian_nll_with_log_var(z, gaussian.mean, gaussian.log_var, None)
}

impl Autoencoder for HierarchicalVae {
    network_methods!();

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        let top = noise.normal([num, self.top_latent_dim], device);
        Some(self.bottom_prior.forward(top).sample(noise))
    }

    fn log_importance_weights(&self, batch: &Batch, num_samples: usize, noise: &mut dyn Noise) -> Option<Tensor<2>> {
        let posterior = self.network.posterior(batch.x.clone());
        // What stands for log p(z1): an estimate from one z2 for each z1.
        let log_prior = |z1: Tensor<2>, noise: &mut dyn Noise| {
            let top = self.top_posterior.forward(z1.clone());
            let z2 = top.sample(noise);
            gaussian_log_density(z1, &self.bottom_prior.forward(z2.clone())) + standard_normal_log_density(z2.clone())
                - gaussian_log_density(z2, &top)
        };
        Some(self.network.log_importance_weights(&posterior, batch, num_samples, log_prior, noise))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let bottom = self.network.posterior(batch.x.clone());
        let z1 = bottom.sample(ctx.noise);
        let top = self.top_posterior.forward(z1.clone());
        let z2 = top.sample(ctx.noise);
        let nll = self.network.nll(batch.x.clone(), z1.clone(), batch.mask.as_ref());
        let kl_bottom = negative_log_density(self.bottom_prior.forward(z2), z1.clone()) - negative_log_density(bottom, z1);
        let beta = self.beta.at(ctx.progress);
        Objective::new().term("nll", nll, 1.0).term("kl_bottom", kl_bottom, beta).term("kl_top", kl_to_standard_normal(&top), beta)
    }
}

impl ModelConfig for HierarchicalVaeConfig {
    const NAME: &'static str = "hierarchical_vae";
    const SUMMARY: &'static str = "a variational autoencoder with two stochastic layers, the upper one the prior of the lower";
    const CITATION: &'static str = "Burda, Grosse & Salakhutdinov 2016, Importance Weighted Autoencoders, Eq. 1 and 2, \
                                    https://arxiv.org/abs/1509.00519";
    type Model = HierarchicalVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_code_size("top_latent_dim", self.top_latent_dim)?;
        let dense = Hidden::Dense(self.top_hidden.clone());
        dense.check(data, self.top_latent_dim).map_err(|error| error.within("top_hidden"))?;
        check_not_negative("beta", &self.beta, "weighs divergences")
    }

    fn warnings(&self, _data: &DataSpec) -> Vec<String> {
        let wider = self.top_latent_dim > self.latent_dim;
        let message = || {
            format!(
                "the upper layer ({}) has more dimensions than the lower one ({}): what it can say of the lower one is limited by that",
                self.top_latent_dim, self.latent_dim
            )
        };
        wider.then(message).into_iter().collect()
    }

    fn validates_as_it_trains(&self) -> bool {
        !self.hidden.has_batch_norm()
    }

    fn code_size(&self) -> usize {
        self.latent_dim
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let kl = |name| TermSpec::new(name, Unit::Nats, self.beta.clone());
        vec![self.likelihood.term_spec(), kl("kl_bottom"), kl("kl_top")]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> HierarchicalVae {
        let how = self.initialization;
        let (bottom, top, activation) = (self.latent_dim, self.top_latent_dim, self.top_activation);
        let upwards = &self.top_hidden;
        let downwards: Vec<usize> = upwards.iter().rev().copied().collect();
        HierarchicalVae {
            network: self.network().init(data, initializer),
            top_posterior: ConditionalGaussian::new(bottom, upwards, activation, top, how, initializer),
            bottom_prior: ConditionalGaussian::new(top, &downwards, activation, bottom, how, initializer),
            top_latent_dim: top,
            beta: self.beta.clone(),
        }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), 2, vec![6], Activation::Tanh, one())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let with_network = |network| Self::with_network(network, 2, vec![6], Activation::Tanh, one());
        let shared = VariationalNetworkConfig::variations().into_iter().map(|(key, network)| (key, with_network(network)));
        let warm_up = Schedule::Linear { from: 0.5, to: 1.0, epochs: Some(2.0) };
        let own = vec![
            ("top_latent_dim", Self { top_latent_dim: 1, ..example() }),
            ("top_hidden", Self { top_hidden: vec![], ..example() }),
            ("top_hidden", Self { top_hidden: vec![5, 4], ..example() }),
            ("top_activation", Self { top_activation: Activation::Softplus, ..example() }),
            ("beta", Self { beta: 4.0.into(), ..example() }),
            ("beta.linear", Self { beta: warm_up.into(), ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Progress, Purpose, StreamNoise, stream};
    use burn::module::{ModuleMapper, Param};
    use burn::tensor::{Device, TensorData};

    fn data() -> DataSpec {
        DataSpec::new([4], Domain::UnitInterval)
    }

    /// Sets every parameter to 0.
    struct Zero;

    impl ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor.zeros_like())
        }
    }

    fn terms(model: &HierarchicalVae, x: Tensor<2>, seed: u64) -> Vec<f64> {
        let mut noise = StreamNoise(stream(seed, Purpose::Training, 0, 0));
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise: &mut noise };
        model.objective(&Batch::new(x), ctx).values().terms.iter().map(|term| term.value).collect()
    }

    fn rows(num: usize, device: &Device) -> Tensor<2> {
        let row = [0.1f32, 0.9, 0.4, 0.6];
        Tensor::from_data(TensorData::new(row.repeat(num), [num, 4]), device)
    }

    /// With all weights between the two layers 0, `q(z2|z1)` is the prior and `p(z1|z2)` is a standard normal: what is left is a VAE.
    #[test]
    fn without_a_connection_between_its_layers_it_is_a_vae() {
        let device = Device::flex();
        let model = HierarchicalVaeConfig::example().init(&data(), &mut Initializer::new(1, &device));
        let model =
            HierarchicalVae { top_posterior: model.top_posterior.map(&mut Zero), bottom_prior: model.bottom_prior.map(&mut Zero), ..model };
        let x = rows(20_000, &device);
        let found = terms(&model, x.clone(), 1);
        let closed = f64::from(kl_to_standard_normal(&model.network.posterior(x)).into_scalar::<f32>());
        assert_eq!(found[2], 0.0);
        assert!((found[1] - closed).abs() < 0.02, "{} is not {closed}", found[1]);
    }

    /// The evidence of the lower layer's bound: `E[kl_bottom + kl_top] >= KL(q(z1|x) || p(z1))`, so the two together cannot be negative.
    #[test]
    fn the_two_divergences_together_are_not_negative_in_expectation() {
        let device = Device::flex();
        for seed in 0..5 {
            let model = HierarchicalVaeConfig::example().init(&data(), &mut Initializer::new(seed, &device));
            let found = terms(&model, rows(20_000, &device), seed);
            assert!(found[1] + found[2] > 0.0, "{found:?}");
        }
    }

    #[test]
    fn samples_of_the_code_come_from_the_upper_layer() {
        let device = Device::flex();
        let model = HierarchicalVaeConfig::example().init(&data(), &mut Initializer::new(1, &device));
        let sample = |noise_seed| {
            let mut noise = StreamNoise(stream(noise_seed, Purpose::Evaluation, 0, 0));
            model.sample_prior(4, &mut noise, &device).unwrap()
        };
        let top = StreamNoise(stream(3, Purpose::Evaluation, 0, 0)).normal([4, 2], &device);
        let mut noise = StreamNoise(stream(3, Purpose::Evaluation, 0, 0));
        noise.normal([4, 2], &device);
        let expected = model.bottom_prior.forward(top).sample(&mut noise);
        assert_eq!(sample(3).into_data(), expected.into_data());
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = HierarchicalVaeConfig::example;
        let path = |config: HierarchicalVaeConfig| config.check(&data()).unwrap_err().path;
        assert_eq!(path(HierarchicalVaeConfig { top_latent_dim: 0, ..example() }), "top_latent_dim");
        assert_eq!(path(HierarchicalVaeConfig { top_hidden: vec![4, 0], ..example() }), "top_hidden.1");
        assert_eq!(path(HierarchicalVaeConfig { beta: (-1.0).into(), ..example() }), "beta");
        assert_eq!(HierarchicalVaeConfig { top_latent_dim: 9, ..example() }.warnings(&data()).len(), 1);
    }
}
