//! The DIP-VAE: a variational autoencoder whose codes, over the data set, shall be uncorrelated and of variance 1.
//!
//! Kumar, Sattigeri & Balakrishnan 2018, "Variational Inference of Disentangled Latent Concepts from Unlabeled
//! Observations", Eq. 6 (I) and Eq. 7 (II). <https://arxiv.org/abs/1711.00848>
//!
//! ```text
//! L = - E_{q(z|x)} [log p(x|z)] + KL(q(z|x) || N(0, I)) + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2
//! I:   C = Cov[mean(x)]                    II:   C = Cov[mean(x)] + E[diag(exp(log_var(x)))]
//! ```
//!
//! The covariance is that of the minibatch. Form II asks for the covariance of what the decoder sees; form I lets the
//! means alone spread as the prior does.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::{aggregate_covariance, covariance, kl_to_standard_normal, off_diagonal_squares, unit_variance_squares};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::variational_network::{check_not_negative, variational_config_methods, variational_methods, variational_network_config};
use crate::{VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`DipVae`].
    pub struct DipVaeConfig {
        /// Which covariance is meant.
        pub variant: DipVariant,
        /// Weight of the squared covariances; a number or a schedule.
        pub lambda_od: Scheduled,
        /// Weight of the squared distances of the variances from 1; a number or a schedule.
        pub lambda_d: Scheduled,
    }
}

/// Which covariance is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DipVariant {
    /// DIP-VAE-I: that of the posterior means.
    I,
    /// DIP-VAE-II: that of codes drawn from the posteriors.
    Ii,
}

/// A variational autoencoder with penalties on the covariance of its codes.
#[derive(Module, Debug)]
pub struct DipVae {
    network: VariationalNetwork,
    #[module(skip)]
    variant: DipVariant,
    #[module(skip)]
    lambda_od: Scheduled,
    #[module(skip)]
    lambda_d: Scheduled,
}

impl Autoencoder for DipVae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let nll = self.network.nll(batch.x.clone(), posterior.sample(ctx.noise), batch.mask.as_ref());
        let covariance = match self.variant {
            DipVariant::I => covariance(posterior.mean.clone()),
            DipVariant::Ii => aggregate_covariance(&posterior),
        };
        Objective::new()
            .term("nll", nll, 1.0)
            .term("kl", kl_to_standard_normal(&posterior), 1.0)
            .term("covariance", off_diagonal_squares(covariance.clone()), self.lambda_od.at(ctx.progress))
            .term("unit_variance", unit_variance_squares(covariance), self.lambda_d.at(ctx.progress))
    }
}

impl ModelConfig for DipVaeConfig {
    const NAME: &'static str = "dip_vae";
    const SUMMARY: &'static str = "a variational autoencoder whose codes shall be uncorrelated over the data set";
    const CITATION: &'static str = "Kumar, Sattigeri & Balakrishnan 2018, Variational Inference of Disentangled Latent Concepts from \
                                    Unlabeled Observations, Eq. 6 and 7, https://arxiv.org/abs/1711.00848";
    type Model = DipVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("lambda_od", &self.lambda_od, "weighs a penalty")?;
        check_not_negative("lambda_d", &self.lambda_d, "weighs a penalty")
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            self.likelihood.term_spec(),
            TermSpec::new("kl", Unit::Nats, 1.0),
            TermSpec::new("covariance", Unit::Penalty, self.lambda_od.clone()),
            TermSpec::new("unit_variance", Unit::Penalty, self.lambda_d.clone()),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> DipVae {
        DipVae {
            network: self.network().init(data, initializer),
            variant: self.variant,
            lambda_od: self.lambda_od.clone(),
            lambda_d: self.lambda_d.clone(),
        }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), DipVariant::Ii, 10.0.into(), 5.0.into())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = VariationalNetworkConfig::variations().into_iter();
        let shared = shared.map(|(key, network)| (key, Self::with_network(network, DipVariant::Ii, 10.0.into(), 5.0.into())));
        let own = vec![
            ("variant", Self { variant: DipVariant::I, ..example() }),
            ("lambda_od", Self { lambda_od: 1.0.into(), ..example() }),
            ("lambda_d", Self { lambda_d: 1.0.into(), ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn the_variants_are_the_papers_roman_numbers_and_the_weights_are_required() {
        let brief = r#"{"hidden": [16], "latent_dim": 3, "likelihood": "bernoulli", "variant": "ii", "lambda_od": 10.0, "lambda_d": 5.0}"#;
        assert_eq!(serde_json::from_str::<DipVaeConfig>(brief).unwrap(), DipVaeConfig::example());
        let error = serde_json::from_str::<DipVaeConfig>(&brief.replace(r#", "lambda_d": 5.0"#, "")).unwrap_err().to_string();
        assert!(error.contains("missing field `lambda_d`"), "{error}");
    }

    #[test]
    fn impossible_weights_are_refused_at_their_path() {
        let path = |config: DipVaeConfig| config.check(&DataSpec::new([6], Domain::Binary)).unwrap_err().path;
        assert_eq!(path(DipVaeConfig { lambda_od: (-1.0).into(), ..DipVaeConfig::example() }), "lambda_od");
        assert_eq!(path(DipVaeConfig { lambda_d: f64::NAN.into(), ..DipVaeConfig::example() }), "lambda_d");
    }
}
