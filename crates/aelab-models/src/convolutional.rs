//! The convolutional autoencoder: images through halving convolutions, a dense code, and back.
//!
//! Masci, Meier, Ciresan & Schmidhuber 2011, "Stacked Convolutional Auto-Encoders for Hierarchical Feature
//! Extraction" (the pooled form); Radford, Metz & Chintala 2016, <https://arxiv.org/abs/1511.06434> (strides
//! instead of pooling). <https://doi.org/10.1007/978-3-642-21735-7_7>
//!
//! ```text
//! L(x) = loss(x, d(e(x)))        squared units or nats per example, as for the undercomplete autoencoder
//! ```
//!
//! Each layer halves the image, rounding up, and the decoder comes back to exactly the size before it.

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initialization, Initializer, ModelConfig, Objective, StepContext, TermSpec};
use aelab_nn::{Activation, Activations, ConvForm, ConvHidden, Hidden};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::{network_methods, overcomplete_warning};
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig, OutputActivation, ReconstructionLoss};

/// Hyperparameters of [`Convolutional`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_latent_dim)]
pub struct ConvolutionalConfig {
    /// Channels after each convolution of the encoder, from the image inwards; each halves the image.
    pub channels: Vec<usize>,
    /// Units of the code.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Pixels along a side of a kernel.
    #[serde(default = "three")]
    pub kernel_size: usize,
    /// How layers halve and double.
    #[serde(default)]
    pub form: ConvForm,
    /// Whether each convolution is followed by batch normalisation.
    #[serde(default)]
    pub batch_norm: bool,
    /// Residual blocks after each halving, and before each doubling.
    #[serde(default)]
    pub residual_blocks: usize,
    /// Units of dense layers between the smallest map and the code.
    #[serde(default)]
    pub dense: Vec<usize>,
    /// Whether a dense layer makes the code; without it the smallest map itself is the code.
    #[serde(default = "yes")]
    pub dense_code: bool,
    /// Activation of the convolutions: one name, or a list with one per convolution of the encoder, which the decoder mirrors.
    #[serde(default)]
    pub activation: Activations,
    /// What the decoder's last layer is followed by.
    #[serde(default)]
    pub output_activation: OutputActivation,
    /// What a reconstruction is compared by.
    #[serde(default)]
    pub loss: ReconstructionLoss,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

fn three() -> usize {
    3
}

fn yes() -> bool {
    true
}

impl ConvolutionalConfig {
    fn network(&self) -> AutoencoderNetworkConfig {
        AutoencoderNetworkConfig {
            hidden: Hidden::Convolutional(ConvHidden {
                channels: self.channels.clone(),
                kernel_size: self.kernel_size,
                form: self.form,
                batch_norm: self.batch_norm,
                residual_blocks: self.residual_blocks,
                dense: self.dense.clone(),
                dense_code: self.dense_code,
            }),
            code_size: self.code_size,
            activation: self.activation.clone(),
            code_activation: Activation::Linear,
            decoder_hidden: None,
            output_activation: self.output_activation,
            loss: self.loss,
            tied: false,
            bias: true,
            initialization: self.initialization,
        }
    }
}

/// Convolutions, a dense layer to the code, a dense layer back, and convolutions.
#[derive(Module, Debug)]
pub struct Convolutional {
    network: AutoencoderNetwork,
}

impl Autoencoder for Convolutional {
    network_methods!();

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let (name, value) = self.network.reconstruction_term(batch.x.clone(), batch.x.clone(), batch.mask.as_ref());
        Objective::new().term(name, value, 1.0)
    }
}

impl ModelConfig for ConvolutionalConfig {
    const NAME: &'static str = "convolutional";
    const SUMMARY: &'static str = "convolutions that halve an image, a dense code, and the way back to the same size";
    const CITATION: &'static str = "Masci, Meier, Ciresan & Schmidhuber 2011, Stacked Convolutional Auto-Encoders for Hierarchical \
                                    Feature Extraction, https://doi.org/10.1007/978-3-642-21735-7_7";
    type Model = Convolutional;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        // The keys of the convolutions stand at the top here.
        let lift = |mut error: ConfigError| {
            for outer in ["hidden.convolutional.", "hidden.convolutional"] {
                if let Some(path) = error.path.strip_prefix(outer) {
                    error.path = path.to_owned();
                }
            }
            error
        };
        self.network().check(data).map_err(lift)
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

    fn validates_as_it_trains(&self) -> bool {
        !self.batch_norm
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Convolutional {
        Convolutional { network: self.network().init(data, initializer) }
    }

    fn example() -> Self {
        Self {
            channels: vec![4, 6],
            code_size: 4,
            kernel_size: 3,
            form: ConvForm::default(),
            batch_norm: false,
            residual_blocks: 0,
            dense: Vec::new(),
            dense_code: true,
            activation: Activations::default(),
            output_activation: OutputActivation::default(),
            loss: ReconstructionLoss::default(),
            initialization: Initialization::default(),
        }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let sigmoid = OutputActivation::Sigmoid;
        vec![
            ("channels", Self { channels: vec![5], ..example() }),
            ("code_size", Self { code_size: 3, ..example() }),
            ("kernel_size", Self { kernel_size: 4, ..example() }),
            ("form", Self { form: ConvForm::Pooled, ..example() }),
            ("batch_norm", Self { batch_norm: true, ..example() }),
            // Smooth: where maps are 0, as behind a ReLU, the biases of what follows start in its kink.
            ("residual_blocks", Self { residual_blocks: 1, activation: Activations::All(Activation::Elu), ..example() }),
            ("residual_blocks", Self { residual_blocks: 2, batch_norm: true, activation: Activations::All(Activation::Tanh), ..example() }),
            ("dense", Self { dense: vec![10], ..example() }),
            ("dense_code", Self { dense_code: false, code_size: 6 * 2 * 2, activation: Activations::All(Activation::Elu), ..example() }),
            ("activation", Self { activation: Activations::Each(vec![Activation::Tanh, Activation::Elu]), ..example() }),
            ("output_activation", Self { output_activation: sigmoid, ..example() }),
            ("loss", Self { loss: ReconstructionLoss::BinaryCrossEntropy, output_activation: sigmoid, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn flat_data_is_refused_with_its_shape() {
        let error = ConvolutionalConfig::example().check(&DataSpec::new([784], Domain::UnitInterval)).unwrap_err();
        assert!(error.message.contains("[784]") && error.message.contains("images"), "{error}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = ConvolutionalConfig::example;
        let path = |config: ConvolutionalConfig| config.check(&DataSpec::new([1, 8, 8], Domain::Real)).unwrap_err().path;
        assert_eq!(path(ConvolutionalConfig { channels: vec![], ..example() }), "channels");
        assert_eq!(path(ConvolutionalConfig { channels: vec![4, 0], ..example() }), "channels.1");
        assert_eq!(path(ConvolutionalConfig { code_size: 0, ..example() }), "code_size");
        assert_eq!(path(ConvolutionalConfig { kernel_size: 2, form: ConvForm::Pooled, ..example() }), "kernel_size");
        let activation = Activations::Each(vec![Activation::Relu]);
        assert_eq!(path(ConvolutionalConfig { activation, ..example() }), "activation");
        let loss = ReconstructionLoss::BinaryCrossEntropy;
        assert_eq!(path(ConvolutionalConfig { loss, ..example() }), "output_activation");
    }
}
