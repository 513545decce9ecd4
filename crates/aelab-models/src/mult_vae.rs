//! Mult-VAE: a variational autoencoder of choices, with a multinomial likelihood and a KL term that counts less than once.
//!
//! Liang, Krishnan, Hoffman & Jebara 2018, "Variational Autoencoders for Collaborative Filtering", Eq. 7.
//! <https://arxiv.org/abs/1802.05814>
//!
//! ```text
//! L(x) = - E_{q(z|x)} [sum_i x_i log p_i(z)] + beta KL(q(z|x) || N(0, I)) + lambda/2 sum_k ||W_k||^2
//! ```
//!
//! `beta` rises from 0 and stops below 1, where recommendations are best: `{linear: {from: 0, to: 0.2, epochs: ...}}`. Then
//! the loss is no bound on the likelihood, and samples of the prior are worse; the paper wants neither.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, DiagonalGaussian, Domain, Initialization, Initializer, ModelConfig, Noise, Objective,
    Schedule, Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::{kl_to_standard_normal, multinomial_nll, weight_decay};
use aelab_nn::{Activation, GaussianHead, Mlp, check_initialization};
use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auto_rec::check_widths;
use crate::choices::{check_counts, check_dropout, normalized, with_dropout};
use crate::mult_dae::{half, nothing, tanh};
use crate::network::check_code_size;
use crate::variational_network::check_not_negative;

/// Hyperparameters of [`MultVae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_code_size)]
pub struct MultVaeConfig {
    /// Units of the dense layers between the choices and the code, which the decoder mirrors; `[600]` in the paper.
    pub hidden: Vec<usize>,
    /// Latent dimensions.
    #[serde(alias = "code_size")]
    pub latent_dim: usize,
    /// Weight of the KL term; a number or a schedule.
    pub beta: Scheduled,
    /// Probability that a choice is hidden from the encoder; a number or a schedule.
    #[serde(default = "half")]
    pub input_dropout: Scheduled,
    /// Weight of half the sum of squares of all weights; a number or a schedule.
    #[serde(default = "nothing")]
    pub lambda: Scheduled,
    /// Activation of the hidden layers.
    #[serde(default = "tanh")]
    pub activation: Activation,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

/// A variational autoencoder of choices.
#[derive(Module, Debug)]
pub struct MultVae {
    encoder: Mlp,
    posterior: GaussianHead,
    decoder: Mlp,
    #[module(skip)]
    latent_dim: usize,
    #[module(skip)]
    beta: Scheduled,
    #[module(skip)]
    input_dropout: Scheduled,
    #[module(skip)]
    lambda: Scheduled,
}

impl MultVae {
    fn posterior(&self, shown: Tensor<2>) -> DiagonalGaussian {
        self.posterior.forward(self.encoder.forward(shown))
    }

    fn weights(&self) -> impl Iterator<Item = Tensor<2>> {
        let layers = self.encoder.layers().iter().chain(self.posterior.layers()).chain(self.decoder.layers());
        layers.map(|layer| layer.weight.val())
    }
}

impl Autoencoder for MultVae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.posterior.mean(self.encoder.forward(normalized(x)))
    }

    /// The probability that a choice falls on each item; a row sums to 1.
    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        activation::softmax(self.decoder.forward(z), 1)
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(noise.normal([num, self.latent_dim], device))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let shown = with_dropout(normalized(batch.x.clone()), self.input_dropout.at(ctx.progress), ctx);
        let posterior = self.posterior(shown);
        let logits = self.decoder.forward(posterior.sample(ctx.noise));
        Objective::new()
            .term("nll", multinomial_nll(batch.x.clone(), logits, batch.mask.as_ref()), 1.0)
            .term("kl", kl_to_standard_normal(&posterior), self.beta.at(ctx.progress))
            .term("weight_decay", weight_decay(self.weights()), self.lambda.at(ctx.progress))
    }
}

impl ModelConfig for MultVaeConfig {
    const NAME: &'static str = "mult_vae";
    const SUMMARY: &'static str = "recommends from choices: a variational autoencoder with a multinomial likelihood and a weak KL term";
    const CITATION: &'static str = "Liang, Krishnan, Hoffman & Jebara 2018, Variational Autoencoders for Collaborative Filtering, Eq. 7, \
                                    https://arxiv.org/abs/1802.05814";
    type Model = MultVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_counts(Self::NAME, data)?;
        check_code_size("latent_dim", self.latent_dim)?;
        check_widths(&self.hidden)?;
        check_not_negative("beta", &self.beta, "weighs the KL term")?;
        check_dropout(&self.input_dropout)?;
        check_not_negative("lambda", &self.lambda, "weighs the squares of the weights")?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    fn code_size(&self) -> usize {
        self.latent_dim
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            TermSpec::new("nll", Unit::Nats, 1.0),
            TermSpec::new("kl", Unit::Nats, self.beta.clone()),
            TermSpec::new("weight_decay", Unit::Penalty, self.lambda.clone()),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> MultVae {
        let (num_features, how) = (data.num_features(), self.initialization);
        let layer = |&width: &usize| (width, self.activation);
        let encoder = Mlp::new(num_features, self.hidden.iter().map(layer), true, how, initializer);
        let posterior = GaussianHead::new(self.hidden.last().copied().unwrap_or(num_features), self.latent_dim, how, initializer);
        let outwards = self.hidden.iter().rev().map(layer).chain([(num_features, Activation::Linear)]);
        let decoder = Mlp::new(self.latent_dim, outwards, true, how, initializer);
        MultVae {
            encoder,
            posterior,
            decoder,
            latent_dim: self.latent_dim,
            beta: self.beta.clone(),
            input_dropout: self.input_dropout.clone(),
            lambda: self.lambda.clone(),
        }
    }

    fn example() -> Self {
        Self {
            hidden: vec![12],
            latent_dim: 3,
            beta: 0.2.into(),
            input_dropout: 0.2.into(),
            lambda: nothing(),
            activation: tanh(),
            initialization: Initialization::default(),
        }
    }

    fn example_data() -> DataSpec {
        DataSpec::new([32], Domain::Binary)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let annealed = Schedule::Linear { from: 0.0, to: 0.2, epochs: Some(2.0) };
        vec![
            ("hidden", Self { hidden: vec![], ..example() }),
            ("latent_dim", Self { latent_dim: 2, ..example() }),
            ("beta", Self { beta: annealed.into(), ..example() }),
            ("input_dropout", Self { input_dropout: 0.0.into(), ..example() }),
            ("lambda", Self { lambda: 0.01.into(), ..example() }),
            ("activation", Self { activation: Activation::Sigmoid, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_the_kl_term_is_required_and_may_not_be_negative() {
        let error = serde_json::from_str::<MultVaeConfig>(r#"{"hidden": [12], "latent_dim": 3}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `beta`"), "{error}");
        let data = MultVaeConfig::example_data();
        assert_eq!(MultVaeConfig { beta: (-0.1).into(), ..MultVaeConfig::example() }.check(&data).unwrap_err().path, "beta");
        assert_eq!(MultVaeConfig::example().check(&DataSpec::new([4], Domain::Real)).unwrap_err().path, "");
    }
}
