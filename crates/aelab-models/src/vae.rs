//! The variational autoencoder: a latent variable model and its approximate posterior, trained together.
//!
//! Kingma & Welling 2014, "Auto-Encoding Variational Bayes", Eq. 10 and appendix B.
//! <https://arxiv.org/abs/1312.6114>
//!
//! ```text
//! L(x) = - E_{q(z|x)} [log p(x|z)] + beta KL(q(z|x) || N(0, I))      nats per example
//! q(z|x) = N(mean(x), diag(exp(log_var(x)))),  z = mean + exp(log_var / 2) noise, one sample per example
//! ```
//!
//! With `beta: 1` (the default) the loss is the negative evidence lower bound on `log p(x)`. A schedule on
//! `beta` warms the KL term up (Bowman et al. 2016, Sonderby et al. 2016).

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Schedule, Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::kl_to_standard_normal;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::variational_network::{check_not_negative, one, variational_config_methods, variational_methods, variational_network_config};
use crate::{LikelihoodConfig, VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`Vae`].
    pub struct VaeConfig {
        /// Weight of the KL term; a number or a schedule.
        #[serde(default = "one")]
        pub beta: Scheduled,
    }
}

/// A variational autoencoder with a standard normal prior.
#[derive(Module, Debug)]
pub struct Vae {
    network: VariationalNetwork,
    #[module(skip)]
    beta: Scheduled,
}

impl Autoencoder for Vae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let nll = self.network.nll(batch.x.clone(), posterior.sample(ctx.noise), batch.mask.as_ref());
        let kl = kl_to_standard_normal(&posterior);
        Objective::new().term("nll", nll, 1.0).term("kl", kl, self.beta.at(ctx.progress))
    }
}

impl ModelConfig for VaeConfig {
    const NAME: &'static str = "vae";
    const SUMMARY: &'static str = "a generative model with a Gaussian code, trained on the evidence lower bound";
    const CITATION: &'static str = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, Eq. 10, https://arxiv.org/abs/1312.6114";
    type Model = Vae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("beta", &self.beta, "weighs a divergence")
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.likelihood.term_spec(), TermSpec::new("kl", Unit::Nats, self.beta.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Vae {
        Vae { network: self.network().init(data, initializer), beta: self.beta.clone() }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), one())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let warm_up = Schedule::Linear { from: 0.0, to: 1.0, epochs: Some(2.0) };
        let shared = VariationalNetworkConfig::variations().into_iter().map(|(key, network)| (key, Self::with_network(network, one())));
        let per_feature = |min_variance| LikelihoodConfig::GaussianPerFeatureVariance { min_variance };
        let own = vec![
            ("likelihood.gaussian_learned_variance", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..example() }),
            ("likelihood.continuous_bernoulli", Self { likelihood: LikelihoodConfig::ContinuousBernoulli, ..example() }),
            ("likelihood.gaussian_per_feature_variance", Self { likelihood: per_feature(0.0), ..example() }),
            ("likelihood.gaussian_per_feature_variance.min_variance", Self { likelihood: per_feature(0.1), ..example() }),
            ("beta", Self { beta: 4.0.into(), ..example() }),
            ("beta.linear", Self { beta: warm_up.into(), ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Optimizer, Progress, Purpose, SingleOptimizer, StreamNoise, Trainee, stream};
    use burn::optim::{AdamConfig, ModuleOptimizer};

    fn data(domain: Domain) -> DataSpec {
        DataSpec::new([6], domain)
    }

    #[test]
    fn the_likelihood_is_required_and_code_size_is_another_name_for_latent_dim() {
        let brief: VaeConfig = serde_json::from_str(r#"{"hidden": [16], "code_size": 3, "likelihood": "bernoulli"}"#).unwrap();
        assert_eq!(brief, VaeConfig::example());
        let error = serde_json::from_str::<VaeConfig>(r#"{"hidden": [16], "latent_dim": 3}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `likelihood`"), "{error}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = VaeConfig::example;
        let path = |config: VaeConfig, domain| config.check(&data(domain)).unwrap_err().path;
        assert_eq!(path(example(), Domain::Real), "likelihood");
        assert_eq!(path(VaeConfig { latent_dim: 0, ..example() }, Domain::Binary), "latent_dim");
        assert_eq!(path(VaeConfig { hidden: vec![0].into(), ..example() }, Domain::Binary), "hidden.0");
        assert_eq!(path(VaeConfig { beta: (-1.0).into(), ..example() }, Domain::Binary), "beta");
        let never = Schedule::Linear { from: 0.0, to: 1.0, epochs: Some(0.0) };
        assert_eq!(path(VaeConfig { beta: never.into(), ..example() }, Domain::Binary), "beta.linear.epochs");
        let likelihood = LikelihoodConfig::Gaussian { variance: 0.0 };
        assert_eq!(path(VaeConfig { likelihood, ..example() }, Domain::Real), "likelihood.gaussian.variance");
    }

    #[test]
    fn a_gaussian_likelihood_says_how_its_term_becomes_a_squared_error() {
        let config = VaeConfig { likelihood: LikelihoodConfig::Gaussian { variance: 0.1 }, ..VaeConfig::example() };
        assert_eq!(config.terms(&data(Domain::Real))[0].squared_error_factor, Some(0.2));
        assert_eq!(VaeConfig::example().terms(&data(Domain::Binary))[0].squared_error_factor, None);
    }

    #[test]
    fn the_declared_weight_of_a_warmed_up_term_is_its_schedule() {
        let warm_up = Schedule::Linear { from: 0.0, to: 4.0, epochs: None };
        let terms = VaeConfig { beta: warm_up.into(), ..VaeConfig::example() }.terms(&data(Domain::Binary));
        assert_eq!((terms[1].name, terms[1].weight.last(7.0)), ("kl", 4.0));
    }

    /// A linear VAE with a learned variance is probabilistic PCA (Lucas et al. 2019, <https://arxiv.org/abs/1911.02469>), whose
    /// likelihood is known in closed form (Tipping & Bishop 1999, Eq. 4 to 8). Points at distance `s_i` on both sides of the origin
    /// along orthonormal directions `u_i`: the covariance has the eigenvalues `2 s_i^2 / 8`.
    #[test]
    fn a_linear_vae_reaches_the_likelihood_of_probabilistic_pca() {
        let directions = [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0f32]];
        let distances = [2.0, 1.5, 0.5, 0.3f32];
        let point = |index: usize, side: f32| directions[index].map(|value| side * distances[index] * value / 2.0);
        let points: Vec<f32> = (0..4).flat_map(|index| [point(index, 1.0), point(index, -1.0)]).flatten().collect();
        let eigenvalues = distances.map(|distance| 2.0 * f64::from(distance).powi(2) / 8.0);
        let noise_variance = (eigenvalues[2] + eigenvalues[3]) / 2.0;
        let log_determinant = eigenvalues[0].ln() + eigenvalues[1].ln() + 2.0 * noise_variance.ln();
        let exact = -0.5 * (4.0 * (2.0 * std::f64::consts::PI).ln() + log_determinant + 4.0);

        let device = Device::flex().autodiff();
        let config = VaeConfig {
            hidden: vec![].into(),
            latent_dim: 2,
            likelihood: LikelihoodConfig::GaussianLearnedVariance {},
            ..VaeConfig::example()
        };
        let model = config.init(&DataSpec::new([4], Domain::Real), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        let batch = |repeats: usize, device: &Device| {
            Batch::new(Tensor::<1>::from_data(&points.repeat(repeats)[..], device).reshape([8 * repeats, 4]))
        };
        let training = batch(16, &device);
        for step in 0..3000 {
            let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
            let learning_rate = 0.02 * (1.0 - step as f64 / 3000.0);
            trainee.train_step(&training, &mut StepContext { progress: Progress::end(1.0, step), learning_rate, noise });
        }
        let noise = &mut StreamNoise(stream(1, Purpose::Validation, 0, 0));
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
        let elbo = -trainee.snapshot().objective(&batch(20_000, &Device::flex()), ctx).values().loss;
        // 160,000 samples leave an error of about 0.004.
        assert!(elbo < exact + 0.02, "{elbo} is above the likelihood {exact}");
        assert!(elbo > exact - 0.05, "{elbo} is below the likelihood {exact}");
    }
}
