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
use aelab_nn::{Activation, Activations, ConvDecoder, ConvEncoder, ConvForm, ConvLayout, Linear, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mlp_autoencoder::{check_code_size, overcomplete_warning};
use crate::{OutputActivation, Reconstruction, ReconstructionLoss};

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

impl ConvolutionalConfig {
    fn layout(&self, data: &DataSpec) -> Result<ConvLayout, ConfigError> {
        let Some(image) = data.image_shape() else {
            let message = format!(
                "`convolutional` needs images of 1 or 3 channels, but an example of this data has shape {:?}; take `undercomplete` for flat data",
                data.event_shape
            );
            return Err(ConfigError::new("", message));
        };
        ConvLayout::solve(image, &self.channels, self.kernel_size, self.form)
    }

    /// Activations of the encoder's convolutions, and of the decoder's maps, the dense one first.
    fn activations(&self) -> Result<(Vec<Activation>, Vec<Activation>), ConfigError> {
        self.activation.resolve(self.channels.len(), self.channels.len())
    }

    fn reconstruction(&self) -> Reconstruction {
        Reconstruction { activation: self.output_activation, loss: self.loss }
    }
}

/// Convolutions, a dense layer to the code, a dense layer back, and convolutions.
#[derive(Module, Debug)]
pub struct Convolutional {
    encoder: ConvEncoder,
    to_code: Linear,
    from_code: Linear,
    decoder: ConvDecoder,
    #[module(skip)]
    from_code_activation: Activation,
    #[module(skip)]
    reconstruction: Reconstruction,
}

impl Convolutional {
    /// What the last layer leaves, before the output activation.
    fn output(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(self.from_code_activation.apply(self.from_code.forward(z)))
    }
}

impl Autoencoder for Convolutional {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.to_code.forward(self.encoder.forward(x))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.reconstruction.mean(self.output(z))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.reconstruction.logits(self.output(z))
    }

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let output = self.output(self.encode(batch.x.clone()));
        let (name, value) = self.reconstruction.term(batch.x.clone(), output, batch.mask.as_ref());
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
        self.layout(data)?;
        check_code_size("code_size", self.code_size)?;
        self.activations().map_err(|error| error.within("activation"))?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))?;
        self.reconstruction().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.reconstruction().warning(data).into_iter().chain(overcomplete_warning(self.code_size, data)).collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.reconstruction().term_spec()]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Convolutional {
        let layout = self.layout(data).expect("the configuration was checked");
        let (inwards, mut outwards) = self.activations().expect("the configuration was checked");
        let from_code_activation = outwards.remove(0);
        let how = self.initialization;
        Convolutional {
            encoder: ConvEncoder::new(&layout, inwards, how, initializer),
            to_code: Linear::new(layout.num_features(), self.code_size, true, how, initializer),
            from_code: Linear::new(self.code_size, layout.num_features(), true, how, initializer),
            decoder: ConvDecoder::new(&layout, outwards, how, initializer),
            from_code_activation,
            reconstruction: self.reconstruction(),
        }
    }

    fn example() -> Self {
        Self {
            channels: vec![4, 6],
            code_size: 4,
            kernel_size: 3,
            form: ConvForm::default(),
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
