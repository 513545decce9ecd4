//! The FactorVAE: a variational autoencoder whose dimensions shall be independent, which a discriminator measures.
//!
//! Kim & Mnih 2018, "Disentangling by Factorising", Eq. 2 and Algorithm 2. <https://arxiv.org/abs/1802.05983>
//!
//! ```text
//! VAE:            L = - E_{q(z|x)} [log p(x|z)] + KL(q(z|x) || N(0, I)) + gamma E_{q(z)} [log D(z) / (1 - D(z))]
//! discriminator:  L = - 1/2 E_{q(z)} [log D(z)] - 1/2 E_{q^(z)} [log(1 - D(z))]        nats per example
//! ```
//!
//! `q^(z)` is `q(z)` with each dimension shuffled among the examples of the minibatch for itself: for the best
//! discriminator the last term of the first line is `gamma` times the total correlation `KL(q(z) || prod_j q(z_j))`. The
//! shuffled codes are drawn anew from the posteriors of the same minibatch, where the paper takes a second minibatch.

use aelab_core::{
    Autoencoder, Batch, BuildContext, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Scheduled, StepContext, TermSpec,
    Trainee, Unit,
};
use aelab_losses::kl_to_standard_normal;
use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};

use crate::adversarial_training::{Discriminator, Optimizers, TwoPlayerTrainee, TwoPlayers};
use crate::variational_network::{check_not_negative, variational_config_methods, variational_methods, variational_network_config};
use crate::{DiscriminatorConfig, VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`FactorVae`].
    pub struct FactorVaeConfig {
        /// Weight of the total correlation; a number or a schedule.
        pub gamma: Scheduled,
        /// The network that tells codes from shuffled codes.
        pub discriminator: DiscriminatorConfig,
    }
}

/// A variational autoencoder and the discriminator that measures the dependence between its dimensions.
#[derive(Module, Debug)]
pub struct FactorVae {
    network: VariationalNetwork,
    discriminator: Discriminator,
    #[module(skip)]
    gamma: Scheduled,
}

impl Autoencoder for FactorVae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        self.objective_with_diagnostic(batch, ctx)
    }
}

impl TwoPlayers for FactorVae {
    fn both(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> (Objective, Tensor<1>) {
        let posterior = self.network.posterior(batch.x.clone());
        let z = posterior.sample(ctx.noise);
        let shuffled = shuffle_dimensions(posterior.sample(ctx.noise).detach(), ctx.noise);
        let nll = self.network.nll(batch.x.clone(), z.clone(), batch.mask.as_ref());
        // log D / (1 - D) is the discriminator's logit.
        let total_correlation = self.discriminator.logits(z.clone()).mean();
        let objective = Objective::new().term("nll", nll, 1.0).term("kl", kl_to_standard_normal(&posterior), 1.0).term(
            "total_correlation",
            total_correlation,
            self.gamma.at(ctx.progress),
        );
        (objective, self.discriminator.loss(z, shuffled))
    }

    fn step(self, optimizers: &mut Optimizers, [of_objective, of_discriminator]: [Gradients; 2], ctx: &StepContext<'_>) -> Self {
        Self {
            network: optimizers.autoencoder.step(ctx.learning_rate, self.network, of_objective),
            discriminator: self.discriminator.step(&mut optimizers.discriminator, of_discriminator, ctx),
            ..self
        }
    }
}

/// Each column in an order of its own (the paper's `permute_dims`), `[batch, latent]`.
fn shuffle_dimensions(z: Tensor<2>, noise: &mut dyn Noise) -> Tensor<2> {
    let order = noise.uniform(z.dims(), &z.device()).argsort(0);
    z.gather(0, order)
}

impl ModelConfig for FactorVaeConfig {
    const NAME: &'static str = "factor_vae";
    const SUMMARY: &'static str = "a variational autoencoder with independent dimensions, which a discriminator measures";
    const CITATION: &'static str = "Kim & Mnih 2018, Disentangling by Factorising, Eq. 2, https://arxiv.org/abs/1802.05983";
    type Model = FactorVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("gamma", &self.gamma, "weighs a divergence")?;
        self.discriminator.check().map_err(|error| error.within("discriminator"))
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            self.likelihood.term_spec(),
            TermSpec::new("kl", Unit::Nats, 1.0),
            TermSpec::new("total_correlation", Unit::Nats, self.gamma.clone()),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> FactorVae {
        FactorVae {
            network: self.network().init(data, initializer),
            discriminator: self.discriminator.init(self.latent_dim, self.initialization, initializer),
            gamma: self.gamma.clone(),
        }
    }

    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee> {
        let model = self.init(context.data, &mut Initializer::new(context.seed, context.device));
        Box::new(TwoPlayerTrainee::new(model, context))
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), 6.0.into(), DiscriminatorConfig::example())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = VariationalNetworkConfig::variations().into_iter();
        let shared = shared.map(|(key, network)| (key, Self::with_network(network, 6.0.into(), DiscriminatorConfig::example())));
        let of_discriminator =
            DiscriminatorConfig::variations().into_iter().map(|(key, discriminator)| (key, Self { discriminator, ..example() }));
        shared.chain([("gamma", Self { gamma: 2.0.into(), ..example() })]).chain(of_discriminator).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversarial_training::tests::{at_first_step, each_player_goes_down_its_own_loss};
    use aelab_core::{Domain, Purpose, StreamNoise, stream};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::TensorData;

    fn blobs() -> Tensor<2> {
        let values: Vec<f32> = (0..48).map(|index| (index * 7 % 13) as f32 / 13.0).collect();
        Tensor::from_data(TensorData::new(values, [8, 6]), &Device::flex().autodiff())
    }

    #[test]
    fn each_player_steps_along_its_own_gradient_only() {
        each_player_goes_down_its_own_loss(&FactorVaeConfig::example(), blobs(), |model| model.discriminator.clone());
    }

    #[test]
    fn shuffling_keeps_the_values_of_each_dimension_and_breaks_up_the_rows() {
        let values: Vec<f32> = (0..300).map(|index| index as f32).collect();
        let z = Tensor::<2>::from_data(TensorData::new(values, [100, 3]), &Device::flex());
        let shuffled: Vec<f32> =
            shuffle_dimensions(z, &mut StreamNoise(stream(1, Purpose::Training, 0, 0))).into_data().try_to_vec().unwrap();
        for column in 0..3 {
            let mut found: Vec<f32> = shuffled.iter().skip(column).step_by(3).copied().collect();
            assert!(found.windows(2).any(|pair| pair[0] > pair[1]));
            found.sort_by(f32::total_cmp);
            assert_eq!(found, (0..100).map(|row| (3 * row + column) as f32).collect::<Vec<_>>());
        }
        assert!(shuffled.chunks(3).filter(|row| row[1] == row[0] + 1.0 && row[2] == row[0] + 2.0).count() < 10);
    }

    /// The discriminator is right where it should be: trained on codes of known dependence, its mean logit is their total correlation.
    #[test]
    fn the_mean_logit_of_a_trained_discriminator_is_the_total_correlation() {
        let device = Device::flex().autodiff();
        let config = DiscriminatorConfig { hidden: vec![32, 32], activation: aelab_nn::Activation::Tanh, ..DiscriminatorConfig::example() };
        let mut discriminator = config.init(2, aelab_core::Initialization::default(), &mut Initializer::new(1, &device));
        let mut optimizer = aelab_core::Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None);
        let correlation = 0.8f64;
        let draw = |num: usize, step: u64, device: &Device| {
            let mut noise = StreamNoise(stream(2, Purpose::Training, 0, step));
            let independent = noise.normal([num, 2], device);
            let first = independent.clone().narrow(1, 0, 1);
            let second = first.clone() * correlation + independent.narrow(1, 1, 1) * (1.0 - correlation * correlation).sqrt();
            Tensor::cat(vec![first, second], 1)
        };
        let num_steps = 2000;
        for step in 0..num_steps {
            let z = draw(512, step, &device);
            let shuffled = shuffle_dimensions(z.clone(), &mut StreamNoise(stream(3, Purpose::Training, 0, step)));
            let gradients = discriminator.loss(z, shuffled).backward();
            discriminator =
                at_first_step(5e-3 * (1.0 - step as f64 / num_steps as f64), |ctx| discriminator.step(&mut optimizer, gradients, ctx));
        }
        let estimate = f64::from(discriminator.logits(draw(20_000, 9999, &device)).mean().into_scalar::<f32>());
        let exact = -0.5 * (1.0 - correlation * correlation).ln();
        assert!((estimate - exact).abs() < 0.1 * exact, "{estimate} is not {exact}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = FactorVaeConfig::example;
        let path = |config: FactorVaeConfig| config.check(&DataSpec::new([6], Domain::Binary)).unwrap_err().path;
        assert_eq!(path(FactorVaeConfig { gamma: (-1.0).into(), ..example() }), "gamma");
        let discriminator = DiscriminatorConfig { hidden: vec![0], ..DiscriminatorConfig::example() };
        assert_eq!(path(FactorVaeConfig { discriminator, ..example() }), "discriminator.hidden.0");
    }
}
