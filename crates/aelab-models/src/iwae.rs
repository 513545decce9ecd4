//! The importance weighted autoencoder: a variational autoencoder trained on a tighter bound, from several weighted samples.
//!
//! Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", Eq. 8. <https://arxiv.org/abs/1509.00519>
//!
//! ```text
//! L_k(x) = - E [ log 1/k sum_s w_s ],  w_s = p(x | z_s) p(z_s) / q(z_s | x),  z_1, ..., z_k from q(z | x)      nats per example
//! ```
//!
//! With `k = 1` it is the variational autoencoder with the KL term estimated from its one sample. As `k` grows the bound rises
//! to `log p(x)` itself, whatever the posterior; what the encoder learns is then a proposal, no longer the best Gaussian
//! approximation of the posterior.

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, StepContext, TermSpec, Unit};
use aelab_losses::{effective_sample_size, importance_weighted_bound, standard_normal_log_density};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::variational_network::{variational_config_methods, variational_methods, variational_network_config};
use crate::{LikelihoodConfig, VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`Iwae`].
    pub struct IwaeConfig {
        /// Samples of the code per example and step, `k`.
        pub num_samples: usize,
    }
}

/// A variational autoencoder that is trained on the importance weighted bound.
#[derive(Module, Debug)]
pub struct Iwae {
    network: VariationalNetwork,
    #[module(skip)]
    num_samples: usize,
}

impl Autoencoder for Iwae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let log_prior = |z, _: &mut dyn Noise| standard_normal_log_density(z);
        let log_weights = self.network.log_importance_weights(&posterior, batch, self.num_samples, log_prior, ctx.noise);
        let bound = importance_weighted_bound(log_weights.clone()).mean();
        Objective::new()
            .term("nll_bound", bound * -1.0, 1.0)
            .diagnostic("effective_samples", effective_sample_size(log_weights.detach()).mean())
    }
}

impl ModelConfig for IwaeConfig {
    const NAME: &'static str = "iwae";
    const SUMMARY: &'static str = "a variational autoencoder trained on a bound from several weighted samples";
    const CITATION: &'static str =
        "Burda, Grosse & Salakhutdinov 2016, Importance Weighted Autoencoders, Eq. 8, https://arxiv.org/abs/1509.00519";
    type Model = Iwae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        if self.num_samples == 0 {
            let message = "`num_samples` must be at least 1: a bound from no samples is none; 1 is a variational autoencoder, 5 and 50 are those of the paper";
            return Err(ConfigError::new("num_samples", message));
        }
        Ok(())
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![TermSpec::new("nll_bound", Unit::Nats, 1.0)]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Iwae {
        Iwae { network: self.network().init(data, initializer), num_samples: self.num_samples }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), 5)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let shared = VariationalNetworkConfig::variations().into_iter().map(|(key, network)| (key, Self::with_network(network, 5)));
        let own = vec![
            ("likelihood.gaussian_learned_variance", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..Self::example() }),
            ("num_samples", Self { num_samples: 1, ..Self::example() }),
            ("num_samples", Self { num_samples: 8, ..Self::example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Initialization, Progress, Purpose, StreamNoise, stream};
    use aelab_losses::kl_to_standard_normal;
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::{Gradients, TensorData};

    const NUM: usize = 4;

    fn data() -> DataSpec {
        DataSpec::new([5], Domain::UnitInterval)
    }

    fn noise(step: u64) -> StreamNoise {
        StreamNoise(stream(1, Purpose::Training, 0, step))
    }

    fn batch(device: &Device) -> Batch {
        let values: Vec<f32> = (0..NUM * 5).map(|index| (index * 7 % 11) as f32 / 11.0).collect();
        Batch::new(Tensor::from_data(TensorData::new(values, [NUM, 5]), device))
    }

    fn model(num_samples: usize, change: impl Fn(&mut IwaeConfig), device: &Device) -> Iwae {
        let mut config = IwaeConfig { hidden: vec![6].into(), initialization: Initialization::Torch, num_samples, ..IwaeConfig::example() };
        change(&mut config);
        config.init(&data(), &mut Initializer::new(3, device))
    }

    fn objective(model: &Iwae, noise: &mut StreamNoise, device: &Device) -> Objective {
        let progress = Progress { step: 0, epoch: 0.0, num_epochs: 1.0 };
        model.objective(&batch(device), &mut StepContext { progress, learning_rate: 0.0, noise })
    }

    struct AllGradients<'a>(&'a Gradients, Vec<f32>);

    impl ModuleVisitor for AllGradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).unwrap();
            self.1.extend(gradient.into_data().try_to_vec::<f32>().unwrap());
        }
    }

    fn gradients(model: &Iwae, loss: Tensor<1>) -> Vec<f32> {
        let gradients = loss.backward();
        let mut all = AllGradients(&gradients, Vec::new());
        model.visit(&mut all);
        all.1
    }

    #[test]
    fn one_sample_gives_the_objective_and_the_gradient_of_the_vae_with_its_kl_from_that_sample() {
        let device = Device::flex().autodiff();
        let model = model(1, |_| (), &device);
        let found = objective(&model, &mut noise(0), &device).loss();
        let batch = batch(&device);
        let posterior = model.network.posterior(batch.x.clone());
        let epsilon = noise(0).normal([NUM, 3], &device);
        let z = posterior.mean.clone() + (posterior.log_var.clone() * 0.5).exp() * epsilon.clone();
        // log q(z | x) - log p(z) = sum_j [ z^2 - epsilon^2 - log_var ] / 2
        let kl = ((z.clone().square() - epsilon.square() - posterior.log_var) * 0.5).sum_dim(1).mean();
        let expected = model.network.nll(batch.x, z, None) + kl;
        let (value, value_expected) = (found.clone().into_scalar::<f32>(), expected.clone().into_scalar::<f32>());
        assert!((value - value_expected).abs() < 1e-5, "{value} is not {value_expected}");
        let (found, expected) = (gradients(&model, found), gradients(&model, expected));
        let largest = expected.iter().fold(0f32, |largest, slope| largest.max(slope.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5 * largest, "{found} is not {expected}");
        }
    }

    #[test]
    fn with_one_sample_the_mean_over_noise_is_the_loss_of_the_vae() {
        let device = Device::flex();
        let model = model(1, |_| (), &device);
        let batch = batch(&device);
        let posterior = model.network.posterior(batch.x.clone());
        let num = 4000;
        let kl = f64::from(kl_to_standard_normal(&posterior).into_scalar::<f32>());
        let differences: Vec<f64> = (0..num)
            .map(|step| {
                let bound = f64::from(objective(&model, &mut noise(step), &device).loss().into_scalar::<f32>());
                let nll = model.network.nll(batch.x.clone(), posterior.sample(&mut noise(step)), None).into_scalar::<f32>();
                bound - f64::from(nll) - kl
            })
            .collect();
        let mean = differences.iter().sum::<f64>() / num as f64;
        let variance = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>() / num as f64;
        let error = (variance / num as f64).sqrt();
        assert!(mean.abs() < 4.0 * error, "{mean} +- {error}");
    }

    #[test]
    fn the_bound_rises_with_the_number_of_samples() {
        let device = Device::flex();
        // The same weights throughout: the bounds differ by the number of samples alone.
        let bound = |num_samples: usize| -> f64 {
            let model = model(num_samples, |_| (), &device);
            let repetitions = 20_000 / num_samples as u64;
            let sum: f64 =
                (0..repetitions).map(|step| f64::from(objective(&model, &mut noise(step), &device).loss().into_scalar::<f32>())).sum();
            -sum / repetitions as f64
        };
        let bounds = [1, 2, 10, 100].map(bound);
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
    }

    #[test]
    fn for_a_linear_gaussian_model_the_bound_comes_to_the_exact_likelihood() {
        let device = Device::flex();
        let variance = 0.3;
        let likelihood = LikelihoodConfig::Gaussian { variance };
        let linear = |config: &mut IwaeConfig| *config = IwaeConfig { hidden: vec![].into(), latent_dim: 1, likelihood, ..config.clone() };
        let model = model(1, linear, &device);
        let batch = batch(&device);
        let values = |tensor: Tensor<2>| -> Vec<f64> { tensor.into_data().convert::<f64>().try_to_vec().unwrap() };
        // x ~ N(b, w w^T + variance I), with the determinant and the inverse of a matrix of rank one more.
        let bias = values(model.network.output(Tensor::zeros([1, 1], &device)));
        let weight: Vec<f64> =
            values(model.network.output(Tensor::ones([1, 1], &device))).iter().zip(&bias).map(|(sum, b)| sum - b).collect();
        let norm: f64 = weight.iter().map(|w| w * w).sum();
        let exact: Vec<f64> = values(batch.x.clone())
            .chunks(5)
            .map(|x| {
                let residual: Vec<f64> = x.iter().zip(&bias).map(|(x, b)| x - b).collect();
                let along: f64 = residual.iter().zip(&weight).map(|(r, w)| r * w).sum();
                let quadratic = (residual.iter().map(|r| r * r).sum::<f64>() - along * along / (variance + norm)) / variance;
                let log_determinant = 5.0 * variance.ln() + (norm / variance).ln_1p();
                -0.5 * (5.0 * (2.0 * std::f64::consts::PI).ln() + log_determinant + quadratic)
            })
            .collect();
        let log_weights = model.log_importance_weights(&batch, 20_000, &mut noise(0)).unwrap();
        let bound = values(importance_weighted_bound(log_weights.clone()));
        let elbo = values(log_weights.mean_dim(1));
        for ((bound, elbo), exact) in bound.iter().zip(&elbo).zip(&exact) {
            assert!((bound - exact).abs() < 0.01, "{bound} is not {exact}");
            assert!(elbo < &(exact - 0.01), "{elbo} is no looser than {exact}");
        }
    }

    #[test]
    fn no_samples_are_refused() {
        let error = IwaeConfig { num_samples: 0, ..IwaeConfig::example() }.check(&data()).unwrap_err();
        assert_eq!(error.path, "num_samples");
    }
}
