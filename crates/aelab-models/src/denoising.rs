//! The denoising autoencoder: it is shown a corrupted example and asked for the clean one.
//!
//! Vincent, Larochelle, Bengio & Manzagol 2008, "Extracting and Composing Robust Features with Denoising
//! Autoencoders", Eq. 5. <https://doi.org/10.1145/1390156.1390294>
//!
//! ```text
//! L(x) = E_{c ~ C(c | x)} loss(x, d(e(c)))        one corruption drawn per example and step
//! ```
//!
//! The code may be larger than the data: copying does not undo the corruption. Validation corrupts too,
//! because it measures the training objective's own terms; clean reconstructions are what metrics see.

use aelab_core::{Autoencoder, Batch, ConfigError, Corruption, DataSpec, Initializer, ModelConfig, Objective, StepContext, TermSpec};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::network::autoencoder_network_config;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Denoising`].
    pub struct DenoisingConfig {
        /// What is done to the input, anew at each step. Required: it is the experiment.
        pub corruption: Corruption,
    }
}

/// A dense autoencoder that reconstructs the clean example from a corrupted one.
#[derive(Module, Debug)]
pub struct Denoising {
    network: AutoencoderNetwork,
    #[module(skip)]
    corruption: Corruption,
}

impl Autoencoder for Denoising {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.network.encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.network.decode_logits(z)
    }

    fn corrupted(&self, x: Tensor<2>, ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        Some(self.corruption.apply(x, ctx.progress, ctx.noise))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let corrupted = self.corruption.apply(batch.x.clone(), ctx.progress, ctx.noise);
        let (name, value) = self.network.reconstruction_term(corrupted, batch.x.clone(), batch.mask.as_ref());
        Objective::new().term(name, value, 1.0)
    }
}

impl ModelConfig for DenoisingConfig {
    const NAME: &'static str = "denoising";
    const SUMMARY: &'static str = "dense layers that restore a clean example from a corrupted one";
    const CITATION: &'static str = "Vincent, Larochelle, Bengio & Manzagol 2008, Extracting and Composing Robust Features with \
                                    Denoising Autoencoders, Eq. 5, https://doi.org/10.1145/1390156.1390294";
    type Model = Denoising;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        self.corruption.check().map_err(|error| error.within("corruption"))
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.network().warnings(data)
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn validates_as_it_trains(&self) -> bool {
        self.network().validates_as_it_trains()
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.network().reconstruction().term_spec()]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Denoising {
        Denoising { network: self.network().init(data, initializer), corruption: self.corruption.clone() }
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example(), Corruption::Masking { rate: 0.3.into() })
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let corruptions = [
            ("corruption.masking.rate", Corruption::Masking { rate: 0.5.into() }),
            ("corruption.gaussian", Corruption::Gaussian { sigma: 0.2.into() }),
            ("corruption.salt_and_pepper", Corruption::SaltAndPepper { rate: 0.2.into() }),
        ];
        let with_network = |(key, network)| (key, Self::with_network(network, Self::example().corruption));
        let shared = AutoencoderNetworkConfig::variations().into_iter().map(with_network);
        let own = corruptions.into_iter().map(|(key, corruption)| (key, Self { corruption, ..Self::example() }));
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Progress, Schedule};
    use burn::tensor::Device;

    fn data() -> DataSpec {
        DataSpec::new([4], Domain::UnitInterval)
    }

    #[test]
    fn the_corrupted_input_is_compared_with_the_clean_one() {
        let device = Device::flex();
        let config = DenoisingConfig { hidden: vec![].into(), code_size: 4, ..DenoisingConfig::example() };
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        let x = Tensor::<2>::from_data([[0.1, 0.9, 0.4, 0.6]], &device);
        let kept = vec![1.0, 0.0, 0.0, 1.0];
        let corrupted = Tensor::from_data([[0.1, 0.0, 0.0, 0.6]], &device);
        let expected = (model.reconstruct(corrupted) - x.clone()).square().sum().into_scalar::<f32>();
        let mut noise = FixedNoise::new([kept]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise: &mut noise };
        let found = model.objective(&Batch::new(x), ctx).loss().into_scalar::<f32>();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_rate_that_leaves_the_unit_interval_is_refused_at_its_path() {
        let schedule = Schedule::Linear { from: 0.0, to: 1.5, epochs: None };
        let config = DenoisingConfig { corruption: Corruption::Masking { rate: schedule.into() }, ..DenoisingConfig::example() };
        assert_eq!(config.check(&data()).unwrap_err().path, "corruption.masking.rate");
    }

    #[test]
    fn the_corruption_is_required_and_an_overcomplete_code_is_not_warned_of() {
        let error = serde_json::from_str::<DenoisingConfig>(r#"{"hidden": [], "code_size": 9}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `corruption`"), "{error}");
        assert!(DenoisingConfig { code_size: 9, ..DenoisingConfig::example() }.warnings(&data()).is_empty());
    }
}
