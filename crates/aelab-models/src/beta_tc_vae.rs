//! The beta-TC-VAE: the KL term taken apart, and only the dependence between dimensions made dear.
//!
//! Chen, Li, Grosse & Duvenaud 2018, "Isolating Sources of Disentanglement in Variational Autoencoders", Eq. 4.
//! <https://arxiv.org/abs/1802.04942>
//!
//! ```text
//! L = - E_{q(z|x)} [log p(x|z)] + alpha I(x; z) + beta KL(q(z) || prod_j q(z_j)) + gamma sum_j KL(q(z_j) || p(z_j))
//! ```
//!
//! in nats per example. `q(z)`, the posterior of the whole data set, is estimated from the minibatch; see
//! [`decompose_kl`]. With all weights 1 the three parts are a one-sample estimate of the KL term of the VAE.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initializer, ModelConfig, Noise, Objective, Scheduled, StepContext, Stream,
    TermSpec, Unit,
};
use aelab_losses::{AggregateEstimator, KlDecomposition, decompose_kl, kl_to_standard_normal};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::variational_network::{check_not_negative, one, variational_config_methods, variational_methods, variational_network_config};
use crate::{VariationalNetwork, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`BetaTcVae`].
    pub struct BetaTcVaeConfig {
        /// Weight of the total correlation; a number or a schedule.
        pub beta: Scheduled,
        /// Weight of the mutual information of example and code; a number or a schedule.
        #[serde(default = "one")]
        pub alpha: Scheduled,
        /// Weight of the dimension-wise KL; a number or a schedule.
        #[serde(default = "one")]
        pub gamma: Scheduled,
        /// How the posterior of the whole data set is estimated from a minibatch.
        #[serde(default)]
        pub estimator: TotalCorrelationEstimator,
    }
}

/// How the posterior of the whole data set is estimated from a minibatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TotalCorrelationEstimator {
    /// Minibatch weighted sampling: the mean over the minibatch, divided by the size of the data set.
    #[default]
    MinibatchWeighted,
    /// Minibatch stratified sampling: weights that make the estimate of the density unbiased.
    MinibatchStratified,
}

impl From<TotalCorrelationEstimator> for AggregateEstimator {
    fn from(estimator: TotalCorrelationEstimator) -> Self {
        match estimator {
            TotalCorrelationEstimator::MinibatchWeighted => AggregateEstimator::MinibatchWeighted,
            TotalCorrelationEstimator::MinibatchStratified => AggregateEstimator::MinibatchStratified,
        }
    }
}

/// A variational autoencoder with a weight for each part of its KL term.
#[derive(Module, Debug)]
pub struct BetaTcVae {
    network: VariationalNetwork,
    /// Size of the training set, `[1]`: 0 before training, where the batch is taken for the whole data set.
    num_examples: Param<Tensor<1>>,
    #[module(skip)]
    beta: Scheduled,
    #[module(skip)]
    alpha: Scheduled,
    #[module(skip)]
    gamma: Scheduled,
    #[module(skip)]
    estimator: TotalCorrelationEstimator,
}

impl Autoencoder for BetaTcVae {
    variational_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let posterior = self.network.posterior(batch.x.clone());
        let z = posterior.sample(ctx.noise);
        let nll = self.network.nll(batch.x.clone(), z.clone(), batch.mask.as_ref());
        let parts = decompose_kl(&posterior, z, self.num_examples.val(), self.estimator.into());
        let KlDecomposition { mutual_information, total_correlation, dimension_wise_kl } = parts;
        Objective::new()
            .term("nll", nll, 1.0)
            .term("mutual_information", mutual_information, self.alpha.at(ctx.progress))
            .term("total_correlation", total_correlation, self.beta.at(ctx.progress))
            .term("dimension_wise_kl", dimension_wise_kl, self.gamma.at(ctx.progress))
            .term("kl", kl_to_standard_normal(&posterior), 0.0)
    }

    fn before_training(self, train: &dyn Examples, _stream: &mut Stream) -> Self {
        let num_examples = train.len() as f32;
        Self { num_examples: self.num_examples.map(|count| (count.zeros_like() + num_examples).set_require_grad(false)), ..self }
    }
}

impl ModelConfig for BetaTcVaeConfig {
    const NAME: &'static str = "beta_tc_vae";
    const SUMMARY: &'static str = "a variational autoencoder that makes only the dependence between its dimensions dear";
    const CITATION: &'static str = "Chen, Li, Grosse & Duvenaud 2018, Isolating Sources of Disentanglement in Variational Autoencoders, \
                                    Eq. 4, https://arxiv.org/abs/1802.04942";
    type Model = BetaTcVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("alpha", &self.alpha, "weighs a mutual information")?;
        check_not_negative("beta", &self.beta, "weighs a divergence")?;
        check_not_negative("gamma", &self.gamma, "weighs a divergence")
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            self.likelihood.term_spec(),
            TermSpec::new("mutual_information", Unit::Nats, self.alpha.clone()),
            TermSpec::new("total_correlation", Unit::Nats, self.beta.clone()),
            TermSpec::new("dimension_wise_kl", Unit::Nats, self.gamma.clone()),
            TermSpec::new("kl", Unit::Nats, 0.0),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> BetaTcVae {
        BetaTcVae {
            network: self.network().init(data, initializer),
            num_examples: initializer.buffer([1], 0.0),
            beta: self.beta.clone(),
            alpha: self.alpha.clone(),
            gamma: self.gamma.clone(),
            estimator: self.estimator,
        }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), 6.0.into(), one(), one(), TotalCorrelationEstimator::default())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = VariationalNetworkConfig::variations();
        let shared = shared
            .into_iter()
            .map(|(key, network)| (key, Self::with_network(network, 6.0.into(), one(), one(), TotalCorrelationEstimator::default())));
        let own = vec![
            ("beta", Self { beta: 2.0.into(), ..example() }),
            ("alpha", Self { alpha: 0.0.into(), ..example() }),
            ("gamma", Self { gamma: 0.5.into(), ..example() }),
            ("estimator", Self { estimator: TotalCorrelationEstimator::MinibatchStratified, ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Progress, Purpose, StreamNoise, stream};

    struct Many(DataSpec);

    impl Examples for Many {
        fn spec(&self) -> &DataSpec {
            &self.0
        }

        fn len(&self) -> usize {
            5000
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            out.extend(vec![0.5; 6 * indices.len()]);
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }

    fn values(model: &BetaTcVae) -> Vec<(&'static str, f64)> {
        let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
        let progress = Progress { step: 0, epoch: 0.0, num_epochs: 1.0 };
        let batch = Batch::new(Tensor::ones([8, 6], &Device::flex()) * 0.3);
        let objective = model.objective(&batch, &mut StepContext { progress, learning_rate: 0.0, noise: &mut noise });
        objective.values().terms.iter().map(|term| (term.name, term.value)).collect()
    }

    #[test]
    fn the_size_of_the_training_set_is_taken_from_it_and_kept_in_the_record() {
        let data = DataSpec::new([6], Domain::UnitInterval);
        let config = BetaTcVaeConfig::example();
        let model = || config.init(&data, &mut Initializer::new(1, &Device::flex()));
        let untrained = values(&model());
        let model_of_data = model().before_training(&Many(data.clone()), &mut stream(1, Purpose::DataDependent, 0, 0));
        let found = values(&model_of_data);
        // Weighted sampling: I(x; z) rises by log(N / B), since the density falls by that factor.
        let rise = found[1].1 - untrained[1].1;
        assert!((rise - (5000.0f64 / 8.0).ln()).abs() < 1e-4, "{rise}");
        assert_eq!(values(&model().load_record(model_of_data.into_record())), found);
    }

    #[test]
    fn impossible_weights_are_refused_at_their_path() {
        let data = DataSpec::new([6], Domain::UnitInterval);
        let path = |config: BetaTcVaeConfig| config.check(&data).unwrap_err().path;
        assert_eq!(path(BetaTcVaeConfig { beta: (-1.0).into(), ..BetaTcVaeConfig::example() }), "beta");
        assert_eq!(path(BetaTcVaeConfig { alpha: (-1.0).into(), ..BetaTcVaeConfig::example() }), "alpha");
        assert_eq!(path(BetaTcVaeConfig { gamma: f64::INFINITY.into(), ..BetaTcVaeConfig::example() }), "gamma");
    }
}
