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
    Autoencoder, Batch, ConfigError, DataSpec, Initialization, Initializer, ModelConfig, Noise, Objective, Schedule, Scheduled,
    StepContext, TermSpec, Unit,
};
use aelab_losses::kl_to_standard_normal;
use aelab_nn::{Activation, Activations, GaussianHead, Mlp, check_initialization};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mlp_autoencoder::{check_code_size, check_widths};
use crate::{Likelihood, LikelihoodConfig};

/// Hyperparameters of [`Vae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_code_size)]
pub struct VaeConfig {
    /// Units of each hidden layer of the encoder, from the data inwards; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// Latent dimensions.
    #[serde(alias = "code_size")]
    pub latent_dim: usize,
    /// The distribution of features given a code.
    pub likelihood: LikelihoodConfig,
    /// Weight of the KL term; a number or a schedule.
    #[serde(default = "one")]
    pub beta: Scheduled,
    /// Activation of the hidden layers: one name, or a list with one per hidden layer of the encoder.
    #[serde(default)]
    pub activation: Activations,
    /// How weights start; `torch` is what PyTorch's VAE example does.
    #[serde(default)]
    pub initialization: Initialization,
}

fn one() -> Scheduled {
    Scheduled::Constant(1.0)
}

/// Encoder to a Gaussian, decoder to the parameters of the likelihood.
#[derive(Module, Debug)]
pub struct Vae {
    encoder: Mlp,
    posterior: GaussianHead,
    decoder: Mlp,
    likelihood: Likelihood,
    #[module(skip)]
    beta: Scheduled,
    #[module(skip)]
    latent_dim: usize,
}

impl Autoencoder for Vae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.posterior.mean(self.encoder.forward(x))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood.mean(self.decoder.forward(z))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.likelihood.logits(self.decoder.forward(z))
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(noise.normal([num, self.latent_dim], device))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.posterior.forward(self.encoder.forward(batch.x.clone()));
        let z = posterior.sample(ctx.noise);
        let nll = self.likelihood.nll(batch.x.clone(), self.decoder.forward(z), batch.mask.as_ref());
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
        check_widths("hidden", &self.hidden)?;
        check_code_size("latent_dim", self.latent_dim)?;
        self.activation.resolve(self.hidden.len(), self.hidden.len()).map_err(|error| error.within("activation"))?;
        self.likelihood.check(data).map_err(|error| error.within("likelihood"))?;
        self.beta.check().map_err(|error| error.within("beta"))?;
        if let Some(value) = self.beta.first_outside(0.0, f64::MAX) {
            return Err(ConfigError::new("beta", format!("`beta` weighs a divergence and cannot be negative or infinite, but is {value}")));
        }
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    fn code_size(&self) -> usize {
        self.latent_dim
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.likelihood.term_spec(), TermSpec::new("kl", Unit::Nats, self.beta.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Vae {
        let (inwards, outwards) = self.activation.resolve(self.hidden.len(), self.hidden.len()).expect("the configuration was checked");
        let how = self.initialization;
        let encoder = Mlp::new(data.num_features(), self.hidden.iter().copied().zip(inwards), true, how, initializer);
        let num_features = self.hidden.last().copied().unwrap_or(data.num_features());
        let posterior = GaussianHead::new(num_features, self.latent_dim, how, initializer);
        let widths = self.hidden.iter().rev().copied().zip(outwards).chain([(data.num_features(), Activation::Linear)]);
        let decoder = Mlp::new(self.latent_dim, widths, true, how, initializer);
        let likelihood = self.likelihood.init(initializer);
        Vae { encoder, posterior, decoder, likelihood, beta: self.beta.clone(), latent_dim: self.latent_dim }
    }

    fn example() -> Self {
        Self {
            hidden: vec![16],
            latent_dim: 3,
            likelihood: LikelihoodConfig::Bernoulli,
            beta: one(),
            activation: Activations::default(),
            initialization: Initialization::default(),
        }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let warm_up = Schedule::Linear { from: 0.0, to: 1.0, epochs: Some(2.0) };
        vec![
            ("hidden", Self { hidden: vec![], ..example() }),
            (
                "hidden",
                Self { hidden: vec![12, 8], activation: Activations::Each(vec![Activation::Tanh, Activation::Softplus]), ..example() },
            ),
            ("latent_dim", Self { latent_dim: 2, ..example() }),
            ("likelihood.gaussian", Self { likelihood: LikelihoodConfig::Gaussian { variance: 0.5 }, ..example() }),
            ("likelihood.gaussian_learned_variance", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..example() }),
            ("beta", Self { beta: 4.0.into(), ..example() }),
            ("beta.linear", Self { beta: warm_up.into(), ..example() }),
            ("activation", Self { activation: Activations::All(Activation::Tanh), ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

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
        assert_eq!(path(VaeConfig { hidden: vec![0], ..example() }, Domain::Binary), "hidden.0");
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
}
