//! The undercomplete autoencoder: data squeezed through a code that is smaller than it.
//!
//! Rumelhart, Hinton & Williams 1986, "Learning Internal Representations by Error Propagation"; deep:
//! Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks", Science 313.
//! <https://doi.org/10.1126/science.1127647>
//!
//! ```text
//! L(x) = || x - d(e(x)) ||^2                        squared units per example, or
//! L(x) = - sum_i log Bernoulli(x_i; d(e(x))_i)      nats per example
//! ```
//!
//! With linear layers and a squared error its optimum spans the principal subspace of the data
//! (Bourlard & Kamp 1988; Baldi & Hornik 1989).

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, StepContext, TermSpec};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::mlp_autoencoder::{mlp_autoencoder_config, overcomplete_warning};
use crate::{MlpAutoencoder, MlpAutoencoderConfig};

mlp_autoencoder_config! {
    /// Hyperparameters of [`Undercomplete`].
    pub struct UndercompleteConfig {}
}

/// A dense autoencoder that reconstructs what it is shown.
#[derive(Module, Debug)]
pub struct Undercomplete {
    network: MlpAutoencoder,
}

impl Autoencoder for Undercomplete {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.network.encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.network.decode_logits(z)
    }

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let (name, value) = self.network.reconstruction_term(batch.x.clone(), batch.x.clone(), batch.mask.as_ref());
        Objective::new().term(name, value, 1.0)
    }
}

impl ModelConfig for UndercompleteConfig {
    const NAME: &'static str = "undercomplete";
    const SUMMARY: &'static str = "dense layers through a code smaller than the data; linear ones find the principal subspace";
    const CITATION: &'static str = "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, \
                                    https://doi.org/10.1126/science.1127647";
    type Model = Undercomplete;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.network().warnings(data).into_iter().chain(overcomplete_warning(self.code_size, data)).collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.network().reconstruction().term_spec()]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Undercomplete {
        Undercomplete { network: self.network().init(data, initializer) }
    }

    fn example() -> Self {
        Self::with_network(MlpAutoencoderConfig::example())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        MlpAutoencoderConfig::variations().into_iter().map(|(key, network)| (key, Self::with_network(network))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn only_the_architecture_is_required_and_latent_dim_is_another_name_for_code_size() {
        let brief: UndercompleteConfig = serde_json::from_str(r#"{"hidden": [16], "latent_dim": 4}"#).unwrap();
        assert_eq!(brief, UndercompleteConfig::example());
        for missing in [r#"{"hidden": []}"#, r#"{"code_size": 3}"#] {
            let error = serde_json::from_str::<UndercompleteConfig>(missing).unwrap_err().to_string();
            assert!(error.contains("missing field"), "{error}");
        }
    }

    #[test]
    fn an_overcomplete_code_is_warned_of() {
        let data = DataSpec::new([4], Domain::Real);
        assert_eq!(UndercompleteConfig::example().warnings(&data).len(), 1);
        assert!(UndercompleteConfig { code_size: 3, ..UndercompleteConfig::example() }.warnings(&data).is_empty());
    }
}
