//! The variational autoencoder of series: a generative model that writes a whole series from one code.
//!
//! Fabius & van Amersfoort 2015, "Variational Recurrent Auto-Encoders", Sec. 2.3, <https://arxiv.org/abs/1412.6581>;
//! with LSTM and an annealed KL term: Bowman et al. 2016, "Generating Sentences from a Continuous Space", Sec. 3.
//! <https://arxiv.org/abs/1511.06349>
//!
//! ```text
//! L(x) = - E_{q(z|x)} [sum_t log p(x_t | z, what is fed back)] + beta KL(q(z|x) || N(0, I))      nats per example
//! ```
//!
//! `q(z|x)` is a Gaussian whose mean and log-variance are affine in the encoder's last outputs. The decoder is fed with its own mean of the
//! step before, so that `p(x | z)` is a distribution over series given the code alone; with `teacher_forcing` it is
//! fed with the truth, and conditions on it.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Schedule, Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::kl_to_standard_normal;
use aelab_nn::GaussianHead;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::network::check_code_size;
use crate::sequence_network::sequence_network_config;
use crate::variational_network::{check_not_negative, one};
use crate::{Likelihood, LikelihoodConfig, SequenceNetwork, SequenceNetworkConfig};

sequence_network_config! {
    /// Hyperparameters of [`SequenceVae`].
    #[schemars(transform = crate::schema::accept_code_size)]
    pub struct SequenceVaeConfig {
        /// Latent dimensions.
        #[serde(alias = "code_size")]
        pub latent_dim: usize,
        /// The distribution of each value of each step.
        pub likelihood: LikelihoodConfig,
        /// Weight of the KL term; a number or a schedule.
        #[serde(default = "one")]
        pub beta: Scheduled,
    }
}

/// A variational autoencoder of series with a standard normal prior.
#[derive(Module, Debug)]
pub struct SequenceVae {
    network: SequenceNetwork,
    posterior: GaussianHead,
    likelihood: Likelihood,
    #[module(skip)]
    latent_dim: usize,
    #[module(skip)]
    beta: Scheduled,
}

impl SequenceVae {
    /// What the decoder leaves, `[batch, time * channel]`, fed with its own means.
    fn output(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood.with_feedback(|feedback| self.network.output(z, feedback))
    }
}

impl Autoencoder for SequenceVae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.posterior.mean(self.network.features(x))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood.mean(self.output(z))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.likelihood.logits(self.output(z))
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(noise.normal([num, self.latent_dim], device))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let steps = self.network.steps_of(batch);
        let posterior = self.posterior.forward(self.network.features_at(batch.x.clone(), &steps));
        let z = posterior.sample(ctx.noise);
        let output = self.likelihood.with_feedback(|feedback| self.network.output_towards(&batch.x, z, &steps, ctx, feedback));
        let nll = self.likelihood.nll(batch.x.clone(), output, batch.mask.as_ref());
        Objective::new().term("nll", nll, 1.0).term("kl", kl_to_standard_normal(&posterior), self.beta.at(ctx.progress))
    }

    fn conditioned(&self, batch: &Batch) -> Option<Self> {
        Some(Self { network: self.network.conditioned(batch)?, ..self.clone() })
    }
}

impl ModelConfig for SequenceVaeConfig {
    const NAME: &'static str = "sequence_vae";
    const SUMMARY: &'static str = "a generative model of series: one Gaussian code, read and written by recurrent networks";
    const CITATION: &'static str = "Fabius & van Amersfoort 2015, Variational Recurrent Auto-Encoders, Sec. 2.3; Bowman et al. 2016, \
                                    Generating Sentences from a Continuous Space, Sec. 3, https://arxiv.org/abs/1511.06349";
    type Model = SequenceVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("latent_dim", self.latent_dim)?;
        self.network().check(data)?;
        self.likelihood.check(data).map_err(|error| error.within("likelihood"))?;
        check_not_negative("beta", &self.beta, "weighs the KL term")
    }

    fn code_size(&self) -> usize {
        self.latent_dim
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.likelihood.term_spec(), TermSpec::new("kl", Unit::Nats, self.beta.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> SequenceVae {
        let (network, num_features) = self.network().init(data, self.latent_dim, initializer);
        let posterior = GaussianHead::new(num_features, self.latent_dim, self.initialization, initializer);
        let likelihood = self.likelihood.init(data, initializer);
        SequenceVae { network, posterior, likelihood, latent_dim: self.latent_dim, beta: self.beta.clone() }
    }

    fn example() -> Self {
        Self::with_network(SequenceNetworkConfig::example(), 3, LikelihoodConfig::Gaussian { variance: 0.1 }, one())
    }

    fn example_data() -> DataSpec {
        SequenceNetworkConfig::example_data()
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = SequenceNetworkConfig::variations()
            .into_iter()
            .map(|(key, network)| (key, Self::with_network(network, example().latent_dim, example().likelihood, one())));
        let warm_up = Schedule::Linear { from: 0.0, to: 1.0, epochs: Some(2.0) };
        let own = vec![
            ("latent_dim", Self { latent_dim: 2, ..example() }),
            ("likelihood", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..example() }),
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

    use crate::sequence_padding::{Padded, ragged};

    #[test]
    fn padding_changes_no_term() {
        let device = Device::flex();
        for (key, config) in SequenceVaeConfig::variations() {
            let terms = |batch: &Batch, num_steps: usize| {
                let data = DataSpec::new([num_steps, 2], Domain::Real);
                let model = config.init(&data, &mut Initializer::new(1, &device));
                let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
                let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise: &mut noise };
                model.objective(batch, ctx).values()
            };
            let Padded { batch, padded, num_steps, padded_steps } = ragged(&device);
            let (short, long) = (terms(&batch, num_steps), terms(&padded, padded_steps));
            for (short, long) in short.terms.iter().zip(&long.terms) {
                // Zeros that are added up in another order round otherwise.
                assert!((short.value - long.value).abs() < 1e-6 * short.value.abs(), "{key}: {short:?} {long:?}");
            }
        }
    }

    #[test]
    fn samples_of_the_prior_become_whole_series() {
        let device = Device::flex();
        let model = SequenceVaeConfig::example().init(&SequenceVaeConfig::example_data(), &mut Initializer::new(1, &device));
        let mut noise = StreamNoise(stream(1, Purpose::Evaluation, 0, 0));
        let series = model.decode(model.sample_prior(5, &mut noise, &device).unwrap());
        assert_eq!(series.dims(), [5, 24]);
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = SequenceVaeConfig::example;
        let path = |config: SequenceVaeConfig| config.check(&SequenceVaeConfig::example_data()).unwrap_err().path;
        assert_eq!(path(SequenceVaeConfig { latent_dim: 0, ..example() }), "latent_dim");
        assert_eq!(path(SequenceVaeConfig { likelihood: LikelihoodConfig::Bernoulli, ..example() }), "likelihood");
        assert_eq!(path(SequenceVaeConfig { beta: (-1.0).into(), ..example() }), "beta");
    }
}
