//! The adversarial autoencoder: a deterministic code that a discriminator cannot tell from draws of the prior.
//!
//! Makhzani, Shlens, Jaitly, Goodfellow & Frey 2015, "Adversarial Autoencoders", Sec. 2. <https://arxiv.org/abs/1511.05644>
//! The two terms in one step, weighted by `lambda`, are the WAE-GAN of Tolstikhin et al. 2018, Algorithm 1.
//!
//! ```text
//! autoencoder:    L = loss(x, d(e(x))) - lambda E_x [log D(e(x))]
//! discriminator:  L = - 1/2 E_{p(z)} [log D(z)] - 1/2 E_x [log(1 - D(e(x)))]        nats per code, p(z) = N(0, I)
//! ```
//!
//! The paper takes the two terms of the first line in two steps with optimizers of their own (its reconstruction and
//! regularisation phases); here they are one step, so that `lambda` says what one is worth in the other.

use aelab_core::{
    Autoencoder, Batch, BuildContext, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Scheduled, StepContext, TermSpec,
    Trainee, Unit,
};
use aelab_losses::binary_cross_entropy_from_logits;
use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};

use crate::adversarial_training::{Discriminator, Optimizers, TwoPlayerTrainee, TwoPlayers};
use crate::network::{autoencoder_network_config, network_config_methods, network_methods};
use crate::variational_network::check_not_negative;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig, DiscriminatorConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Adversarial`].
    pub struct AdversarialConfig {
        /// Weight of the encoder's failure to pass for the prior; a number or a schedule.
        pub lambda: Scheduled,
        /// The network that tells draws of the prior from codes.
        pub discriminator: DiscriminatorConfig,
    }
}

/// An autoencoder and the discriminator that its codes shall deceive.
#[derive(Module, Debug)]
pub struct Adversarial {
    network: AutoencoderNetwork,
    discriminator: Discriminator,
    #[module(skip)]
    lambda: Scheduled,
    #[module(skip)]
    code_size: usize,
}

impl Autoencoder for Adversarial {
    network_methods!();

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(noise.normal([num, self.code_size], device))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        self.objective_with_diagnostic(batch, ctx)
    }
}

impl TwoPlayers for Adversarial {
    fn both(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> (Objective, Tensor<1>) {
        let z = self.network.encode(batch.x.clone());
        let prior = ctx.noise.normal(z.dims(), &z.device());
        let (name, value) = self.network.reconstruction_term_of_code(z.clone(), batch.x.clone(), batch.mask.as_ref());
        let logits = self.discriminator.logits(z.clone());
        let not_deceived = binary_cross_entropy_from_logits(logits.ones_like(), logits, None);
        let objective = Objective::new().term(name, value, 1.0).term("adversarial", not_deceived, self.lambda.at(ctx.progress));
        (objective, self.discriminator.loss(prior, z))
    }

    fn step(self, optimizers: &mut Optimizers, [of_objective, of_discriminator]: [Gradients; 2], ctx: &StepContext<'_>) -> Self {
        Self {
            network: optimizers.autoencoder.step(ctx.learning_rate, self.network, of_objective),
            discriminator: self.discriminator.step(&mut optimizers.discriminator, of_discriminator, ctx),
            ..self
        }
    }
}

impl ModelConfig for AdversarialConfig {
    const NAME: &'static str = "adversarial";
    const SUMMARY: &'static str = "an autoencoder whose codes a discriminator cannot tell from draws of the prior";
    const CITATION: &'static str =
        "Makhzani, Shlens, Jaitly, Goodfellow & Frey 2015, Adversarial Autoencoders, Sec. 2, https://arxiv.org/abs/1511.05644";
    type Model = Adversarial;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("lambda", &self.lambda, "weighs a cross-entropy")?;
        self.discriminator.check().map_err(|error| error.within("discriminator"))
    }

    network_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.network().reconstruction().term_spec(), TermSpec::new("adversarial", Unit::Nats, self.lambda.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Adversarial {
        Adversarial {
            network: self.network().init(data, initializer),
            discriminator: self.discriminator.init(self.code_size, self.initialization, initializer),
            lambda: self.lambda.clone(),
            code_size: self.code_size,
        }
    }

    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee> {
        let model = self.init(context.data, &mut Initializer::new(context.seed, context.device));
        Box::new(TwoPlayerTrainee::new(model, context))
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example(), 1.0.into(), DiscriminatorConfig::example())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = AutoencoderNetworkConfig::variations().into_iter();
        let shared = shared.map(|(key, network)| (key, Self::with_network(network, 1.0.into(), DiscriminatorConfig::example())));
        let of_discriminator =
            DiscriminatorConfig::variations().into_iter().map(|(key, discriminator)| (key, Self { discriminator, ..example() }));
        shared.chain([("lambda", Self { lambda: 0.1.into(), ..example() })]).chain(of_discriminator).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversarial_training::tests::each_player_goes_down_its_own_loss;
    use aelab_core::Domain;
    use burn::tensor::TensorData;

    #[test]
    fn each_player_steps_along_its_own_gradient_only() {
        let values: Vec<f32> = (0..48).map(|index| (index * 7 % 13) as f32 / 13.0).collect();
        let x = Tensor::from_data(TensorData::new(values, [8, 6]), &Device::flex().autodiff());
        each_player_goes_down_its_own_loss(&AdversarialConfig::example(), x, |model| model.discriminator.clone());
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = AdversarialConfig::example;
        let path = |config: AdversarialConfig| config.check(&DataSpec::new([6], Domain::Real)).unwrap_err().path;
        assert_eq!(path(AdversarialConfig { lambda: (-1.0).into(), ..example() }), "lambda");
        assert_eq!(path(AdversarialConfig { code_size: 0, ..example() }), "code_size");
    }
}
