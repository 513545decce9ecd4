//! The variational autoencoder's two halves, which several models train with objectives of their own.

use aelab_core::{Batch, ConfigError, DataSpec, DiagonalGaussian, Initialization, Initializer, Noise};
use aelab_losses::gaussian_log_density;
use aelab_nn::{Activations, Decoder, Encoder, GaussianHead, Hidden, check_initialization};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::network::check_code_size;
use crate::{Likelihood, LikelihoodConfig};

/// Encoder to a Gaussian, decoder to the parameters of the likelihood.
#[derive(Module, Debug)]
pub struct VariationalNetwork {
    encoder: Encoder,
    posterior: GaussianHead,
    decoder: Decoder,
    likelihood: Likelihood,
    #[module(skip)]
    latent_dim: usize,
}

impl VariationalNetwork {
    /// `q(z | x)` of each example, from `[batch, feature]` to Gaussians over `[batch, latent]`.
    pub fn posterior(&self, x: Tensor<2>) -> DiagonalGaussian {
        self.posterior.forward(self.encoder.forward(x))
    }

    /// The mean of `q(z | x)`, `[batch, latent]`.
    pub fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.posterior.mean(self.encoder.forward(x))
    }

    /// What the decoder's last layer leaves, `[batch, feature]`: the parameters of the likelihood.
    pub fn output(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(z)
    }

    /// The mean of `p(x | z)`, `[batch, feature]`.
    pub fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood.mean(self.output(z))
    }

    /// The logits of a Bernoulli `p(x | z)`, `[batch, feature]`.
    pub fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.likelihood.logits(self.output(z))
    }

    /// `-log p(x | z)` in nats per example.
    pub fn nll(&self, x: Tensor<2>, z: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
        self.likelihood.nll(x, self.output(z), mask)
    }

    /// `log p(x | z) + log p(z) - log q(z | x)` in nats for `num_samples` codes of each example, drawn from `posterior`, which is
    /// that of `batch`: `[batch, sample]`. `log_prior` gives `log p(z)`, or
    /// an unbiased estimate of `p(z)` as its logarithm, `[num, latent]` to `[num, 1]`.
    ///
    /// Noise is one draw, `[sample * batch, latent]`: all examples for the first sample, then all for the second.
    pub fn log_importance_weights(
        &self,
        posterior: &DiagonalGaussian,
        batch: &Batch,
        num_samples: usize,
        log_prior: impl FnOnce(Tensor<2>, &mut dyn Noise) -> Tensor<2>,
        noise: &mut dyn Noise,
    ) -> Tensor<2> {
        log_importance_weights(posterior, num_samples, noise, |z, noise| {
            let mask = batch.mask.as_ref().map(|mask| mask.clone().repeat_dim(0, num_samples));
            let x = batch.x.clone().repeat_dim(0, num_samples);
            let nll = self.likelihood.nll_of_each(x, self.output(z.clone()), mask.as_ref());
            log_prior(z, noise) - nll
        })
    }

    /// The likelihood.
    pub fn likelihood(&self) -> &Likelihood {
        &self.likelihood
    }

    /// Samples of `N(0, I)`, `[num, latent]`.
    pub fn sample_standard_normal(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Tensor<2> {
        noise.normal([num, self.latent_dim], device)
    }

    /// Latent dimensions.
    pub fn latent_dim(&self) -> usize {
        self.latent_dim
    }
}

/// `log p(x, z) - log q(z | x)` in nats for `num_samples` codes from each `posterior`: `[batch, sample]`. `log_joint` gives
/// `log p(x, z)`, `[sample * batch, 1]`, for codes `[sample * batch, latent]`: those of all examples for the first sample, then
/// all for the second; they are one draw of noise in that order.
pub(crate) fn log_importance_weights(
    posterior: &DiagonalGaussian,
    num_samples: usize,
    noise: &mut dyn Noise,
    log_joint: impl FnOnce(Tensor<2>, &mut dyn Noise) -> Tensor<2>,
) -> Tensor<2> {
    let batch_size = posterior.mean.dims()[0];
    let repeated = posterior.repeat(num_samples);
    let z = repeated.sample(noise);
    let log_weights = log_joint(z.clone(), noise) - gaussian_log_density(z, &repeated);
    log_weights.reshape([num_samples, batch_size]).transpose()
}

/// Hyperparameters of [`VariationalNetwork`], the keys that its models share.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented where `variational_network_config!` makes it a key")]
pub struct VariationalNetworkConfig {
    pub hidden: Hidden,
    pub latent_dim: usize,
    pub likelihood: LikelihoodConfig,
    pub activation: Activations,
    pub initialization: Initialization,
}

impl VariationalNetworkConfig {
    /// The first value that no training run could make sense of.
    pub fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("latent_dim", self.latent_dim)?;
        self.hidden.check(data, self.latent_dim).map_err(|error| error.within("hidden"))?;
        let num_layers = self.hidden.num_layers();
        self.activation.resolve(num_layers, num_layers).map_err(|error| error.within("activation"))?;
        self.likelihood.check(data).map_err(|error| error.within("likelihood"))?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    /// What is allowed but probably not meant, whatever the objective.
    pub fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.likelihood.warning(data).into_iter().collect()
    }

    /// See [`ModelConfig::validates_as_it_trains`](aelab_core::ModelConfig::validates_as_it_trains).
    pub fn validates_as_it_trains(&self) -> bool {
        !self.hidden.has_batch_norm()
    }

    /// The module with initial parameters: encoder, head, decoder, likelihood.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the configuration.
    pub fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> VariationalNetwork {
        let num_layers = self.hidden.num_layers();
        let (inwards, outwards) = self.activation.resolve(num_layers, num_layers).expect("the configuration was checked");
        let how = self.initialization;
        let encoder = Encoder::new(&self.hidden, data, inwards, None, true, how, initializer);
        let posterior = GaussianHead::new(self.hidden.num_outputs(data), self.latent_dim, how, initializer);
        let decoder = Decoder::new(&self.hidden, data, self.latent_dim, outwards, true, how, initializer);
        let likelihood = self.likelihood.init(data, initializer);
        VariationalNetwork { encoder, posterior, decoder, likelihood, latent_dim: self.latent_dim }
    }

    /// A small network.
    pub fn example() -> Self {
        Self {
            hidden: vec![16].into(),
            latent_dim: 3,
            likelihood: LikelihoodConfig::Bernoulli,
            activation: Activations::default(),
            initialization: Initialization::default(),
        }
    }

    /// An alternative to [`example`](Self::example) for each key.
    pub fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let each = Activations::Each(vec![aelab_nn::Activation::Tanh, aelab_nn::Activation::Softplus]);
        let own = vec![
            ("hidden", Self { hidden: vec![].into(), ..example() }),
            ("hidden", Self { hidden: vec![12, 8].into(), activation: each, ..example() }),
            ("latent_dim", Self { latent_dim: 2, ..example() }),
            ("likelihood.gaussian", Self { likelihood: LikelihoodConfig::Gaussian { variance: 0.5 }, ..example() }),
            ("activation", Self { activation: Activations::All(aelab_nn::Activation::Tanh), ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ];
        let kinds = Hidden::examples().into_iter().map(|(key, hidden)| (key, Self { hidden, ..example() }));
        own.into_iter().chain(kinds).collect()
    }
}

/// Defines the configuration of a model that trains a [`VariationalNetwork`]: the keys of
/// [`VariationalNetworkConfig`], then those of its own; see `autoencoder_network_config!`.
///
/// Makes `network(&self) -> VariationalNetworkConfig` and `with_network(network, own keys in order)`.
macro_rules! variational_network_config {
    ($(#[$attribute:meta])* pub struct $name:ident { $($(#[$own_attribute:meta])* pub $own:ident: $own_type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(transform = crate::schema::accept_code_size)]
        pub struct $name {
            /// The layers between data and code, which the decoder mirrors: units of dense ones from the data inwards
            /// (`[]` for none), `{gated: [...]}` or `{convolutional: {...}}`.
            pub hidden: aelab_nn::Hidden,
            /// Latent dimensions.
            #[serde(alias = "code_size")]
            pub latent_dim: usize,
            /// The distribution of features given a code.
            pub likelihood: crate::LikelihoodConfig,
            $($(#[$own_attribute])* pub $own: $own_type,)*
            /// Activation of the hidden layers: one name, or a list with one per hidden layer of the encoder.
            #[serde(default)]
            pub activation: aelab_nn::Activations,
            /// How weights start; `torch` is what PyTorch's VAE example does.
            #[serde(default)]
            pub initialization: aelab_core::Initialization,
        }

        impl $name {
            /// The keys that variational models share.
            pub fn network(&self) -> crate::VariationalNetworkConfig {
                crate::VariationalNetworkConfig {
                    hidden: self.hidden.clone(),
                    latent_dim: self.latent_dim,
                    likelihood: self.likelihood,
                    activation: self.activation.clone(),
                    initialization: self.initialization,
                }
            }

            /// The configuration with that network and the keys of its own.
            pub fn with_network(network: crate::VariationalNetworkConfig $(, $own: $own_type)*) -> Self {
                Self {
                    hidden: network.hidden,
                    latent_dim: network.latent_dim,
                    likelihood: network.likelihood,
                    activation: network.activation,
                    initialization: network.initialization,
                    $($own,)*
                }
            }
        }
    };
}
pub(crate) use variational_network_config;

/// The methods of an [`Autoencoder`](aelab_core::Autoencoder) with a [`VariationalNetwork`] in its field `network` and a
/// standard normal prior.
macro_rules! variational_methods {
    () => {
        crate::network::network_methods!();

        fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
            Some(self.network.sample_standard_normal(num, noise, device))
        }

        fn log_importance_weights(&self, batch: &Batch, num_samples: usize, noise: &mut dyn Noise) -> Option<Tensor<2>> {
            let posterior = self.network.posterior(batch.x.clone());
            let log_prior = |z, _: &mut dyn Noise| aelab_losses::standard_normal_log_density(z);
            Some(self.network.log_importance_weights(&posterior, batch, num_samples, log_prior, noise))
        }
    };
}
pub(crate) use variational_methods;

/// The methods of a [`ModelConfig`](aelab_core::ModelConfig) made by [`variational_network_config!`] that say the same for all of them.
macro_rules! variational_config_methods {
    () => {
        fn warnings(&self, data: &DataSpec) -> Vec<String> {
            self.network().warnings(data)
        }

        fn validates_as_it_trains(&self) -> bool {
            self.network().validates_as_it_trains()
        }

        fn code_size(&self) -> usize {
            self.latent_dim
        }
    };
}
pub(crate) use variational_config_methods;

/// The weight 1 of a term.
pub(crate) fn one() -> aelab_core::Scheduled {
    aelab_core::Scheduled::Constant(1.0)
}

/// Rejects a weight or coefficient that is negative or infinite at any time. `what` completes "`key` ...".
pub(crate) fn check_not_negative(key: &str, value: &aelab_core::Scheduled, what: &str) -> Result<(), ConfigError> {
    value.check().map_err(|error| error.within(key))?;
    match value.first_outside(0.0, f64::MAX) {
        Some(value) => Err(ConfigError::new(key, format!("`{key}` {what} and cannot be negative or infinite, but is {value}"))),
        None => Ok(()),
    }
}
