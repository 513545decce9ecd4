//! The beta-VAE: a variational autoencoder whose code must be short, so that its dimensions come apart.
//!
//! Higgins, Matthey, Pal, Burgess, Glorot, Botvinick, Mohamed & Lerchner 2017, "beta-VAE: Learning Basic Visual
//! Concepts with a Constrained Variational Framework", Eq. 4. <https://openreview.net/forum?id=Sy2fzU9gl>
//! Burgess, Higgins, Pal, Matthey, Watters, Desjardins & Lerchner 2018, "Understanding disentangling in beta-VAE",
//! Eq. 8. <https://arxiv.org/abs/1804.03599>
//!
//! ```text
//! with `beta`:      L(x) = - E_{q(z|x)} [log p(x|z)] + beta KL(q(z|x) || N(0, I))          nats per example
//! with `capacity`:  L(x) = - E_{q(z|x)} [log p(x|z)] + gamma | KL(q(z|x) || N(0, I)) - C |
//! ```
//!
//! A weight above 1 makes every nat of the code dear. The capacity `C` instead lets the code have so many nats and no
//! more, and grows during training. The KL in `|KL - C|` is the mean over the batch.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Schedule, Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::kl_to_standard_normal;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::variational_network::{check_not_negative, variational_config_methods, variational_methods, variational_network_config};
use crate::{VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`BetaVae`]: `beta` or `capacity`, one of the two.
    pub struct BetaVaeConfig {
        /// Weight of the KL term (Higgins et al. 2017); a number or a schedule.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub beta: Option<Scheduled>,
        /// How many nats the code may have (Burgess et al. 2018).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub capacity: Option<CapacityConfig>,
    }
}

/// The price of a code with more or fewer nats than its capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityConfig {
    /// Weight of `|KL - C|`; a number or a schedule.
    pub gamma: Scheduled,
    /// `C` in nats per example; a number or a schedule, such as `{linear: {from: 0, to: 25}}`.
    pub nats: Scheduled,
}

/// What the KL term costs.
#[derive(Debug, Clone)]
enum Price {
    Weight(Scheduled),
    Capacity(CapacityConfig),
}

impl BetaVaeConfig {
    fn price(&self) -> Option<Price> {
        match (&self.beta, &self.capacity) {
            (Some(beta), None) => Some(Price::Weight(beta.clone())),
            (None, Some(capacity)) => Some(Price::Capacity(capacity.clone())),
            _ => None,
        }
    }
}

/// A variational autoencoder with a weighted or a bounded KL term.
#[derive(Module, Debug)]
pub struct BetaVae {
    network: VariationalNetwork,
    #[module(skip)]
    price: Price,
}

impl Autoencoder for BetaVae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let nll = self.network.nll(batch.x.clone(), posterior.sample(ctx.noise), batch.mask.as_ref());
        let kl = kl_to_standard_normal(&posterior);
        let objective = Objective::new().term("nll", nll, 1.0);
        match &self.price {
            Price::Weight(beta) => objective.term("kl", kl, beta.at(ctx.progress)),
            Price::Capacity(CapacityConfig { gamma, nats }) => {
                let excess = (kl.clone() - nats.at(ctx.progress)).abs();
                objective.term("kl", kl, 0.0).term("capacity_excess", excess, gamma.at(ctx.progress))
            }
        }
    }
}

impl ModelConfig for BetaVaeConfig {
    const NAME: &'static str = "beta_vae";
    const SUMMARY: &'static str = "a variational autoencoder with a dear KL term, or with a capacity that grows, for disentangled codes";
    const CITATION: &'static str = "Higgins et al. 2017, beta-VAE, Eq. 4, https://openreview.net/forum?id=Sy2fzU9gl; Burgess et al. 2018, \
                                    Understanding disentangling in beta-VAE, Eq. 8, https://arxiv.org/abs/1804.03599";
    type Model = BetaVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        match (&self.beta, &self.capacity) {
            (Some(_), Some(_)) => {
                let message = "`beta` and `capacity` are two objectives; take one of them: `beta: 4.0`, or \
                               `capacity: {gamma: 1000.0, nats: {linear: {from: 0, to: 25}}}`";
                Err(ConfigError::new("capacity", message))
            }
            (None, None) => {
                let message = "the KL term needs a price: `beta: 4.0`, or `capacity: {gamma: 1000.0, nats: {linear: {from: 0, to: 25}}}`";
                Err(ConfigError::new("", message))
            }
            (Some(beta), None) => check_not_negative("beta", beta, "weighs a divergence"),
            (None, Some(capacity)) => check_not_negative("gamma", &capacity.gamma, "weighs a distance")
                .and_then(|()| check_not_negative("nats", &capacity.nats, "is a divergence"))
                .map_err(|error| error.within("capacity")),
        }
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let nll = self.likelihood.term_spec();
        let kl = |weight: Scheduled| TermSpec::new("kl", Unit::Nats, weight);
        match (&self.beta, &self.capacity) {
            (_, Some(capacity)) => vec![nll, kl(0.0.into()), TermSpec::new("capacity_excess", Unit::Nats, capacity.gamma.clone())],
            (beta, None) => vec![nll, kl(beta.clone().unwrap_or(0.0.into()))],
        }
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> BetaVae {
        BetaVae { network: self.network().init(data, initializer), price: self.price().expect("the configuration was checked") }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), Some(4.0.into()), None)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = VariationalNetworkConfig::variations()
            .into_iter()
            .map(|(key, network)| (key, Self::with_network(network, Some(4.0.into()), None)));
        let growing = Schedule::Linear { from: 0.5, to: 5.0, epochs: Some(2.0) };
        let with_capacity =
            |gamma: f64, nats: Scheduled| Self { beta: None, capacity: Some(CapacityConfig { gamma: gamma.into(), nats }), ..example() };
        let own = vec![
            ("beta", Self { beta: Some(1.0.into()), ..example() }),
            ("beta.linear", Self { beta: Some(Schedule::Linear { from: 0.0, to: 4.0, epochs: Some(2.0) }.into()), ..example() }),
            ("capacity", with_capacity(5.0, growing.into())),
            ("capacity.nats", with_capacity(5.0, 1.0.into())),
            ("capacity.gamma", with_capacity(2.0, 1.0.into())),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Progress, Purpose, StreamNoise, stream};

    fn data() -> DataSpec {
        DataSpec::new([6], Domain::UnitInterval)
    }

    #[test]
    fn exactly_one_objective_is_asked_for() {
        let capacity = Some(CapacityConfig { gamma: 10.0.into(), nats: 2.0.into() });
        let both = BetaVaeConfig { capacity: capacity.clone(), ..BetaVaeConfig::example() };
        assert_eq!(both.check(&data()).unwrap_err().path, "capacity");
        let neither = BetaVaeConfig { beta: None, ..BetaVaeConfig::example() }.check(&data()).unwrap_err();
        assert!(neither.message.contains("beta: 4.0") && neither.message.contains("capacity:"), "{neither}");
        assert!(BetaVaeConfig { beta: None, capacity, ..BetaVaeConfig::example() }.check(&data()).is_ok());
        let negative = Some(CapacityConfig { gamma: 10.0.into(), nats: (-2.0).into() });
        let error = BetaVaeConfig { beta: None, capacity: negative, ..BetaVaeConfig::example() }.check(&data()).unwrap_err();
        assert_eq!(error.path, "capacity.nats");
    }

    #[test]
    fn the_loss_is_the_price_of_the_distance_from_the_capacity_of_that_moment() {
        let device = Device::flex();
        let nats = Schedule::Linear { from: 0.0, to: 25.0, epochs: None };
        let capacity = Some(CapacityConfig { gamma: 10.0.into(), nats: nats.into() });
        let config = BetaVaeConfig { beta: None, capacity, ..BetaVaeConfig::example() };
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        let batch = Batch::new(Tensor::ones([4, 6], &device) * 0.3);
        for (epoch, capacity) in [(0.0, 0.0), (1.0, 12.5), (2.0, 25.0)] {
            let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
            let progress = Progress { step: 0, epoch, num_epochs: 2.0 };
            let mut ctx = StepContext { progress, learning_rate: 0.0, noise: &mut noise };
            let terms = model.objective(&batch, &mut ctx).values();
            let value = |name: &str| terms.terms.iter().find(|term| term.name == name).unwrap().value;
            let expected = value("nll") + 10.0 * (value("kl") - capacity).abs();
            assert!((terms.loss - expected).abs() < 1e-4, "{} is not {expected}", terms.loss);
        }
    }
}
