//! The dense autoencoder that several models train with objectives of their own.

use aelab_core::{ConfigError, DataSpec, Initialization, Initializer};
use aelab_nn::{Activation, Activations, Mlp, TiedMlp, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::{OutputActivation, Reconstruction, ReconstructionLoss};

/// Dense encoder and decoder around a code, and how its output is compared with the data.
#[derive(Module, Debug)]
pub struct MlpAutoencoder {
    encoder: Mlp,
    decoder: Decoder,
    #[module(skip)]
    reconstruction: Reconstruction,
}

/// A decoder with weights of its own, or with those of the encoder.
#[derive(Module, Debug)]
enum Decoder {
    Untied(Mlp),
    Tied(TiedMlp),
}

impl MlpAutoencoder {
    /// `[batch, feature]` to `[batch, code]`.
    pub fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(x)
    }

    /// `[batch, code]` to reconstructions, `[batch, feature]`.
    pub fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.reconstruction.mean(self.output(z))
    }

    /// `[batch, code]` to logits of the reconstruction, `[batch, feature]`, where the output is a sigmoid.
    pub fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.reconstruction.logits(self.output(z))
    }

    /// Name and value of the reconstruction term: `target` against what becomes of `input`, both `[batch, feature]`.
    pub fn reconstruction_term(&self, input: Tensor<2>, target: Tensor<2>, mask: Option<&Tensor<2>>) -> (&'static str, Tensor<1>) {
        self.reconstruction.term(target, self.output(self.encode(input)), mask)
    }

    /// What the last layer leaves, before the output activation.
    fn output(&self, z: Tensor<2>) -> Tensor<2> {
        match &self.decoder {
            Decoder::Untied(decoder) => decoder.forward(z),
            Decoder::Tied(decoder) => decoder.forward(z, &self.encoder),
        }
    }
}

/// Hyperparameters of [`MlpAutoencoder`], the keys that its models share.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented where `mlp_autoencoder_config!` makes it a key")]
pub struct MlpAutoencoderConfig {
    pub hidden: Vec<usize>,
    pub code_size: usize,
    pub activation: Activations,
    pub code_activation: Activation,
    pub decoder_hidden: Option<Vec<usize>>,
    pub output_activation: OutputActivation,
    pub loss: ReconstructionLoss,
    pub tied: bool,
    pub bias: bool,
    pub initialization: Initialization,
}

impl MlpAutoencoderConfig {
    /// The first value that no training run could make sense of.
    pub fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_widths("hidden", &self.hidden)?;
        check_code_size("code_size", self.code_size)?;
        check_widths("decoder_hidden", self.decoder_hidden.as_deref().unwrap_or_default())?;
        if self.tied && self.decoder_hidden() != self.mirrored() {
            let message = format!(
                "`tied: true` makes the decoder the mirror image of the encoder, {:?}, but `decoder_hidden` is {:?}; leave out one of the two",
                self.mirrored(),
                self.decoder_hidden()
            );
            return Err(ConfigError::new("decoder_hidden", message));
        }
        self.activations().map_err(|error| error.within("activation"))?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))?;
        self.reconstruction().check(data)
    }

    /// What is allowed but probably not meant, whatever the objective.
    pub fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.reconstruction().warning(data).into_iter().collect()
    }

    /// Output activation and loss.
    pub fn reconstruction(&self) -> Reconstruction {
        Reconstruction { activation: self.output_activation, loss: self.loss }
    }

    /// The module with initial parameters: encoder, then decoder, each from its input to its output.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the configuration.
    pub fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> MlpAutoencoder {
        let (encoder_activations, decoder_activations) = self.activations().expect("the configuration was checked");
        let encoder_layers = self.hidden.iter().copied().zip(encoder_activations).chain([(self.code_size, self.code_activation)]);
        let encoder = Mlp::new(data.num_features(), encoder_layers, self.bias, self.initialization, initializer);
        let widths = self.decoder_hidden().into_iter().chain([data.num_features()]);
        // The last layer's activation belongs to the reconstruction, which needs the logits.
        let activations = decoder_activations.into_iter().chain([Activation::Linear]);
        let decoder = if self.tied {
            Decoder::Tied(TiedMlp::new(&encoder, activations.collect(), self.bias, self.initialization, initializer))
        } else {
            Decoder::Untied(Mlp::new(self.code_size, widths.zip(activations), self.bias, self.initialization, initializer))
        };
        MlpAutoencoder { encoder, decoder, reconstruction: self.reconstruction() }
    }

    /// A small network.
    pub fn example() -> Self {
        Self {
            hidden: vec![16],
            code_size: 4,
            activation: Activations::default(),
            code_activation: Activation::Linear,
            decoder_hidden: None,
            output_activation: OutputActivation::default(),
            loss: ReconstructionLoss::default(),
            tied: false,
            bias: true,
            initialization: Initialization::default(),
        }
    }

    /// An alternative to [`example`](Self::example) for each key.
    pub fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let sigmoid = OutputActivation::Sigmoid;
        vec![
            ("hidden", Self { hidden: vec![], ..example() }),
            ("hidden", Self { hidden: vec![20, 8], activation: Activations::Each(vec![Activation::Tanh, Activation::Elu]), ..example() }),
            ("code_size", Self { code_size: 3, ..example() }),
            ("activation", Self { activation: Activations::All(Activation::Tanh), ..example() }),
            ("code_activation", Self { code_activation: Activation::Sigmoid, ..example() }),
            ("decoder_hidden", Self { decoder_hidden: Some(vec![8, 12]), ..example() }),
            ("output_activation", Self { output_activation: sigmoid, ..example() }),
            ("loss", Self { loss: ReconstructionLoss::BinaryCrossEntropy, output_activation: sigmoid, ..example() }),
            ("tied", Self { tied: true, ..example() }),
            ("tied", Self { tied: true, bias: false, hidden: vec![12, 8], ..example() }),
            ("bias", Self { bias: false, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }

    fn mirrored(&self) -> Vec<usize> {
        self.hidden.iter().rev().copied().collect()
    }

    fn decoder_hidden(&self) -> Vec<usize> {
        self.decoder_hidden.clone().unwrap_or_else(|| self.mirrored())
    }

    fn activations(&self) -> Result<(Vec<Activation>, Vec<Activation>), ConfigError> {
        self.activation.resolve(self.hidden.len(), self.decoder_hidden().len())
    }
}

/// Rejects layers without units.
pub(crate) fn check_widths(key: &str, widths: &[usize]) -> Result<(), ConfigError> {
    match widths.iter().position(|&width| width == 0) {
        Some(index) => Err(ConfigError::new(format!("{key}.{index}"), "a layer needs at least one unit; leave the layer out instead")),
        None => Ok(()),
    }
}

/// Rejects an empty code.
pub(crate) fn check_code_size(key: &str, code_size: usize) -> Result<(), ConfigError> {
    if code_size > 0 {
        Ok(())
    } else {
        Err(ConfigError::new(key, format!("`{key}` must be at least 1: nothing passes through an empty code")))
    }
}

/// Says so when the code could hold the data as it is.
pub(crate) fn overcomplete_warning(code_size: usize, data: &DataSpec) -> Option<String> {
    let num_features = data.num_features();
    (code_size >= num_features).then(|| {
        format!(
            "the code ({code_size}) is not smaller than the data ({num_features} features): copying is a solution, so the code need not \
             learn anything; take a smaller `code_size`, or a model that is constrained otherwise, such as `denoising`"
        )
    })
}

/// Defines the configuration of a model that trains an [`MlpAutoencoder`]: the keys of
/// [`MlpAutoencoderConfig`], then those of its own. Written once here, because flattening one struct into
/// another would cost the line numbers of error messages.
///
/// Makes `network(&self) -> MlpAutoencoderConfig` and `with_network(network, own keys in order)`.
macro_rules! mlp_autoencoder_config {
    ($(#[$attribute:meta])* pub struct $name:ident { $($(#[$own_attribute:meta])* pub $own:ident: $own_type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(transform = crate::schema::accept_latent_dim)]
        pub struct $name {
            /// Units of each hidden layer of the encoder, from the data inwards; `[]` for none.
            pub hidden: Vec<usize>,
            /// Units of the code.
            #[serde(alias = "latent_dim")]
            pub code_size: usize,
            /// Activation of the hidden layers: one name, or a list with one per hidden layer of the encoder,
            /// which the decoder mirrors.
            #[serde(default)]
            pub activation: aelab_nn::Activations,
            /// Activation of the code.
            #[serde(default = "crate::mlp_autoencoder::default_code_activation")]
            pub code_activation: aelab_nn::Activation,
            /// Units of each hidden layer of the decoder, from the code outwards; the mirror image of `hidden` where left out.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub decoder_hidden: Option<Vec<usize>>,
            /// What the decoder's last layer is followed by.
            #[serde(default)]
            pub output_activation: crate::OutputActivation,
            /// What a reconstruction is compared by.
            #[serde(default)]
            pub loss: crate::ReconstructionLoss,
            /// Whether the decoder runs backwards through the encoder's weights, with biases of its own.
            #[serde(default)]
            pub tied: bool,
            /// Whether layers have biases.
            #[serde(default = "crate::mlp_autoencoder::default_bias")]
            pub bias: bool,
            /// How weights start.
            #[serde(default)]
            pub initialization: aelab_core::Initialization,
            $($(#[$own_attribute])* pub $own: $own_type,)*
        }

        impl $name {
            /// The keys that models with a dense autoencoder share.
            pub fn network(&self) -> crate::MlpAutoencoderConfig {
                crate::MlpAutoencoderConfig {
                    hidden: self.hidden.clone(),
                    code_size: self.code_size,
                    activation: self.activation.clone(),
                    code_activation: self.code_activation,
                    decoder_hidden: self.decoder_hidden.clone(),
                    output_activation: self.output_activation,
                    loss: self.loss,
                    tied: self.tied,
                    bias: self.bias,
                    initialization: self.initialization,
                }
            }

            /// The configuration with that network and the keys of its own.
            pub fn with_network(network: crate::MlpAutoencoderConfig $(, $own: $own_type)*) -> Self {
                Self {
                    hidden: network.hidden,
                    code_size: network.code_size,
                    activation: network.activation,
                    code_activation: network.code_activation,
                    decoder_hidden: network.decoder_hidden,
                    output_activation: network.output_activation,
                    loss: network.loss,
                    tied: network.tied,
                    bias: network.bias,
                    initialization: network.initialization,
                    $($own,)*
                }
            }
        }
    };
}
pub(crate) use mlp_autoencoder_config;

pub(crate) fn default_code_activation() -> Activation {
    Activation::Linear
}

pub(crate) fn default_bias() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;
    use burn::tensor::Device;

    fn data() -> DataSpec {
        DataSpec::new([10], Domain::UnitInterval)
    }

    fn refused(config: MlpAutoencoderConfig) -> (String, String) {
        let error = config.check(&data()).unwrap_err();
        (error.path, error.message)
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = MlpAutoencoderConfig::example;
        assert_eq!(refused(MlpAutoencoderConfig { hidden: vec![8, 0], ..example() }).0, "hidden.1");
        assert_eq!(refused(MlpAutoencoderConfig { code_size: 0, ..example() }).0, "code_size");
        assert_eq!(refused(MlpAutoencoderConfig { decoder_hidden: Some(vec![0]), ..example() }).0, "decoder_hidden.0");
        let activation = Activations::Each(vec![Activation::Relu; 3]);
        let (path, message) = refused(MlpAutoencoderConfig { activation, ..example() });
        assert_eq!(path, "activation");
        assert!(message.contains("3 activations, expected 1"), "{message}");
        let (path, message) = refused(MlpAutoencoderConfig { tied: true, decoder_hidden: Some(vec![9]), ..example() });
        assert_eq!(path, "decoder_hidden");
        assert!(message.contains("[16]") && message.contains("[9]"), "{message}");
        let initialization = Initialization::Normal { sigma: -1.0 };
        assert_eq!(refused(MlpAutoencoderConfig { initialization, ..example() }).0, "initialization.normal.sigma");
    }

    #[test]
    fn a_tied_network_has_one_set_of_weights() {
        let config = MlpAutoencoderConfig { hidden: vec![7], code_size: 3, tied: true, ..MlpAutoencoderConfig::example() };
        let model = config.init(&data(), &mut Initializer::new(1, &Device::flex()));
        let weights = 10 * 7 + 7 * 3;
        let (encoder_biases, decoder_biases) = (7 + 3, 7 + 10);
        assert_eq!(model.num_params(), weights + encoder_biases + decoder_biases);
    }

    #[test]
    fn only_a_code_as_large_as_the_data_is_warned_of() {
        assert_eq!(overcomplete_warning(9, &data()), None);
        assert!(overcomplete_warning(10, &data()).is_some());
    }
}
