//! The Wasserstein autoencoder: a deterministic code whose distribution over the data is that of the prior.
//!
//! Tolstikhin, Bousquet, Gelly & Schoelkopf 2018, "Wasserstein Auto-Encoders", Eq. 4 and Algorithm 2 (WAE-MMD).
//! <https://arxiv.org/abs/1711.01558>
//!
//! ```text
//! L = loss(x, d(e(x))) + lambda MMD(q(z), N(0, I))        squared units or nats per example
//! ```
//!
//! With the squared error it bounds, for `lambda` to infinity, the squared 2-Wasserstein distance of model and data.
//! The discrepancy is the squared maximum mean discrepancy of the codes of the minibatch from as many draws of the prior;
//! see [`mmd`](aelab_losses::mmd). The WAE-GAN of the same paper is the model `adversarial`.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Scheduled, StepContext, TermSpec, Unit,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::discrepancy::mmd_from_standard_normal;
use crate::network::{autoencoder_network_config, network_config_methods, network_methods};
use crate::variational_network::check_not_negative;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig, DiscrepancyEstimator, KernelConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Wae`].
    pub struct WaeConfig {
        /// Weight of the discrepancy; a number or a schedule.
        pub lambda: Scheduled,
        /// Kernel of the maximum mean discrepancy.
        #[serde(default = "KernelConfig::imq")]
        pub kernel: KernelConfig,
        /// How the discrepancy is estimated.
        #[serde(default)]
        pub estimator: DiscrepancyEstimator,
    }
}

/// An autoencoder with a price on the distance of its codes from the prior.
#[derive(Module, Debug)]
pub struct Wae {
    network: AutoencoderNetwork,
    #[module(skip)]
    lambda: Scheduled,
    #[module(skip)]
    kernel: KernelConfig,
    #[module(skip)]
    estimator: DiscrepancyEstimator,
    #[module(skip)]
    code_size: usize,
}

impl Autoencoder for Wae {
    network_methods!();

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(noise.normal([num, self.code_size], device))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let z = self.network.encode(batch.x.clone());
        let (name, value) = self.network.reconstruction_term_of_code(z.clone(), batch.x.clone(), batch.mask.as_ref());
        let mmd = mmd_from_standard_normal(z, ctx.noise, &self.kernel, self.estimator);
        Objective::new().term(name, value, 1.0).term("mmd", mmd, self.lambda.at(ctx.progress))
    }
}

impl ModelConfig for WaeConfig {
    const NAME: &'static str = "wae";
    const SUMMARY: &'static str = "a deterministic autoencoder whose codes together are distributed as the prior";
    const CITATION: &'static str =
        "Tolstikhin, Bousquet, Gelly & Schoelkopf 2018, Wasserstein Auto-Encoders, Eq. 4, https://arxiv.org/abs/1711.01558";
    type Model = Wae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("lambda", &self.lambda, "weighs a discrepancy")?;
        self.kernel.check().map_err(|error| error.within("kernel"))
    }

    network_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.network().reconstruction().term_spec(), TermSpec::new("mmd", Unit::Penalty, self.lambda.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Wae {
        Wae {
            network: self.network().init(data, initializer),
            lambda: self.lambda.clone(),
            kernel: self.kernel.clone(),
            estimator: self.estimator,
            code_size: self.code_size,
        }
    }

    fn example() -> Self {
        let network = AutoencoderNetworkConfig::example();
        Self::with_network(network, 10.0.into(), KernelConfig::imq(), DiscrepancyEstimator::default())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = AutoencoderNetworkConfig::variations().into_iter();
        let shared = shared
            .map(|(key, network)| (key, Self::with_network(network, 10.0.into(), KernelConfig::imq(), DiscrepancyEstimator::default())));
        let own = vec![
            ("lambda", Self { lambda: 1.0.into(), ..example() }),
            ("kernel", Self { kernel: KernelConfig::rbf(), ..example() }),
            ("kernel.imq.scales", Self { kernel: KernelConfig::Imq { scales: vec![1.0] }, ..example() }),
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
    fn the_weight_is_required_and_the_kernel_is_the_papers() {
        let brief = r#"{"hidden": [16], "code_size": 4, "lambda": 10.0}"#;
        assert_eq!(serde_json::from_str::<WaeConfig>(brief).unwrap(), WaeConfig::example());
        let error = serde_json::from_str::<WaeConfig>(r#"{"hidden": [16], "code_size": 4}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `lambda`"), "{error}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = WaeConfig::example;
        let path = |config: WaeConfig| config.check(&DataSpec::new([6], Domain::Real)).unwrap_err().path;
        assert_eq!(path(WaeConfig { lambda: (-1.0).into(), ..example() }), "lambda");
        assert_eq!(path(WaeConfig { kernel: KernelConfig::Imq { scales: vec![] }, ..example() }), "kernel.imq.scales");
    }
}
