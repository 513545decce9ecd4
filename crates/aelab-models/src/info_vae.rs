//! The InfoVAE: the codes of the whole data set shall be distributed as the prior, each single posterior need not be.
//!
//! Zhao, Song & Ermon 2019, "InfoVAE: Balancing Learning and Inference in Variational Autoencoders", Eq. 6 and
//! Sec. 3.2. <https://arxiv.org/abs/1706.02262>
//!
//! ```text
//! L = - E_{q(z|x)} [log p(x|z)] + (1 - alpha) KL(q(z|x) || N(0, I)) + (alpha + lambda - 1) MMD(q(z), N(0, I))
//! ```
//!
//! `alpha` favours mutual information of example and code: at 1 the KL term is gone. The divergence of the aggregate
//! posterior `q(z)` is the squared maximum mean discrepancy of the minibatch from as many draws of the prior; see
//! [`mmd`](aelab_losses::mmd).

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Schedule, Scheduled, StepContext, TermSpec, Unit,
};
use aelab_losses::kl_to_standard_normal;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::discrepancy::mmd_from_standard_normal;
use crate::variational_network::{variational_config_methods, variational_methods, variational_network_config};
use crate::{DiscrepancyEstimator, KernelConfig, VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`InfoVae`].
    pub struct InfoVaeConfig {
        /// Preference for mutual information, at most 1: the KL term weighs `1 - alpha`.
        pub alpha: f64,
        /// Weight of the aggregate posterior's divergence, which in all weighs `alpha + lambda - 1`; a number, or a `linear` or
        /// `cosine` schedule.
        pub lambda: Scheduled,
        /// Kernel of the maximum mean discrepancy.
        #[serde(default = "KernelConfig::rbf")]
        pub kernel: KernelConfig,
        /// How the discrepancy is estimated.
        #[serde(default)]
        pub estimator: DiscrepancyEstimator,
    }
}

impl InfoVaeConfig {
    /// `alpha + lambda - 1`, where that is a number or a schedule.
    fn discrepancy_weight(&self) -> Option<Scheduled> {
        let by = self.alpha - 1.0;
        match &self.lambda {
            Scheduled::Constant(lambda) => Some((lambda + by).into()),
            Scheduled::Schedule(schedule) => match schedule.as_ref() {
                Schedule::Linear { from, to, epochs } => Some(Schedule::Linear { from: from + by, to: to + by, epochs: *epochs }.into()),
                Schedule::Cosine { from, to, epochs } => Some(Schedule::Cosine { from: from + by, to: to + by, epochs: *epochs }.into()),
                _ => None,
            },
        }
    }
}

/// A variational autoencoder with a price on the distance of its aggregate posterior from the prior.
#[derive(Module, Debug)]
pub struct InfoVae {
    network: VariationalNetwork,
    #[module(skip)]
    kl_weight: f64,
    #[module(skip)]
    discrepancy_weight: Scheduled,
    #[module(skip)]
    kernel: KernelConfig,
    #[module(skip)]
    estimator: DiscrepancyEstimator,
}

impl Autoencoder for InfoVae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let z = posterior.sample(ctx.noise);
        let nll = self.network.nll(batch.x.clone(), z.clone(), batch.mask.as_ref());
        let mmd = mmd_from_standard_normal(z, ctx.noise, &self.kernel, self.estimator);
        Objective::new().term("nll", nll, 1.0).term("kl", kl_to_standard_normal(&posterior), self.kl_weight).term(
            "mmd",
            mmd,
            self.discrepancy_weight.at(ctx.progress),
        )
    }
}

impl ModelConfig for InfoVaeConfig {
    const NAME: &'static str = "info_vae";
    const SUMMARY: &'static str = "a variational autoencoder whose codes together, not one by one, shall be distributed as the prior";
    const CITATION: &'static str = "Zhao, Song & Ermon 2019, InfoVAE: Balancing Learning and Inference in Variational Autoencoders, \
                                    Eq. 6, https://arxiv.org/abs/1706.02262";
    type Model = InfoVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        if !(self.alpha <= 1.0 && self.alpha.is_finite()) {
            let message = format!("the KL term weighs `1 - alpha`, so `alpha` is at most 1, but it is {}", self.alpha);
            return Err(ConfigError::new("alpha", message));
        }
        self.lambda.check().map_err(|error| error.within("lambda"))?;
        let Some(weight) = self.discrepancy_weight() else {
            return Err(ConfigError::new("lambda", "`lambda` takes a number, or a `linear` or `cosine` schedule"));
        };
        if let Some(value) = weight.first_outside(0.0, f64::MAX) {
            let message = format!(
                "the discrepancy weighs `alpha + lambda - 1`, which must not be negative or infinite, but is {value}; take `lambda` of at least {}",
                1.0 - self.alpha
            );
            return Err(ConfigError::new("lambda", message));
        }
        self.kernel.check().map_err(|error| error.within("kernel"))
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            self.likelihood.term_spec(),
            TermSpec::new("kl", Unit::Nats, 1.0 - self.alpha),
            TermSpec::new("mmd", Unit::Penalty, self.discrepancy_weight().unwrap_or(0.0.into())),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> InfoVae {
        InfoVae {
            network: self.network().init(data, initializer),
            kl_weight: 1.0 - self.alpha,
            discrepancy_weight: self.discrepancy_weight().expect("the configuration was checked"),
            kernel: self.kernel.clone(),
            estimator: self.estimator,
        }
    }

    fn example() -> Self {
        let estimator = DiscrepancyEstimator::default();
        Self::with_network(VariationalNetworkConfig::example(), 0.5, 20.0.into(), KernelConfig::rbf(), estimator)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = VariationalNetworkConfig::variations().into_iter();
        let shared = shared.map(|(key, network)| {
            (key, Self::with_network(network, 0.5, 20.0.into(), KernelConfig::rbf(), DiscrepancyEstimator::default()))
        });
        let own = vec![
            ("alpha", Self { alpha: 1.0, ..example() }),
            ("alpha", Self { alpha: -1.0, ..example() }),
            ("lambda", Self { lambda: 5.0.into(), ..example() }),
            ("lambda.linear", Self { lambda: Schedule::Linear { from: 1.0, to: 20.0, epochs: Some(2.0) }.into(), ..example() }),
            ("kernel", Self { kernel: KernelConfig::imq(), ..example() }),
            ("kernel.rbf.scales", Self { kernel: KernelConfig::Rbf { scales: vec![0.5, 2.0] }, ..example() }),
            ("estimator", Self { estimator: DiscrepancyEstimator::Biased, ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn the_weights_are_those_of_the_paper() {
        let weights = |alpha, lambda: Scheduled| -> Vec<f64> {
            let config = InfoVaeConfig { alpha, lambda, ..InfoVaeConfig::example() };
            config.terms(&DataSpec::new([6], Domain::Binary)).iter().map(|term| term.weight.last(1.0)).collect()
        };
        assert_eq!(weights(0.25, 10.0.into()), [1.0, 0.75, 9.25]);
        // alpha 0 and lambda 1 is the VAE.
        assert_eq!(weights(0.0, 1.0.into()), [1.0, 1.0, 0.0]);
        assert_eq!(weights(0.5, Schedule::Cosine { from: 1.0, to: 8.0, epochs: None }.into()), [1.0, 0.5, 7.5]);
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = InfoVaeConfig::example;
        let path = |config: InfoVaeConfig| config.check(&DataSpec::new([6], Domain::Binary)).unwrap_err().path;
        assert_eq!(path(InfoVaeConfig { alpha: 1.5, ..example() }), "alpha");
        assert_eq!(path(InfoVaeConfig { lambda: 0.25.into(), ..example() }), "lambda");
        assert_eq!(path(InfoVaeConfig { lambda: Schedule::Exponential { from: 1.0, factor: 0.5 }.into(), ..example() }), "lambda");
        assert_eq!(path(InfoVaeConfig { kernel: KernelConfig::Rbf { scales: vec![-1.0] }, ..example() }), "kernel.rbf.scales.0");
    }
}
