//! The deterministic autoencoder that several models train with objectives of their own.

use aelab_core::{ConfigError, DataSpec, Initialization, Initializer};
use aelab_kernels::SparseCode;
use aelab_nn::{Activation, Activations, Decoder, Encoder, Hidden, TiedMlp, check_initialization, keep_largest};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::{OutputActivation, Reconstruction, ReconstructionLoss};

/// Encoder and decoder around a code, and how its output is compared with the data.
#[derive(Module, Debug)]
pub struct AutoencoderNetwork {
    encoder: Encoder,
    decoder: MaybeTied,
    #[module(skip)]
    reconstruction: Reconstruction,
}

/// A decoder with weights of its own, or with those of the encoder.
#[derive(Module, Debug)]
pub(crate) enum MaybeTied {
    Untied(Decoder),
    Tied(TiedMlp),
}

/// Adds up squares on the tape.
struct SquaredNorm {
    weights_only: bool,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquaredNorm {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 1 && self.weights_only {
            return;
        }
        let square = param.val().square().sum();
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + square,
            None => square,
        });
    }
}

impl AutoencoderNetwork {
    /// `[batch, feature]` to `[batch, code]`.
    pub fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(x)
    }

    /// The `k` largest of a linear code, 0 in place of the others, `[batch, code]`, without a tape, and what the last layer
    /// leaves of them, before the output activation, `[batch, feature]`.
    pub fn through_largest(&self, x: Tensor<2>, k: usize) -> (Tensor<2>, Tensor<2>) {
        self.through_sparse_code(&x, k).unwrap_or_else(|| {
            let z = keep_largest(self.encode(x), k);
            (z.clone().detach(), self.output(z))
        })
    }

    /// The same by the kernel, where the layers on both sides of the code are dense.
    fn through_sparse_code(&self, x: &Tensor<2>, k: usize) -> Option<(Tensor<2>, Tensor<2>)> {
        let encoder = self.encoder.dense()?;
        let ((layer, before), activations) = (encoder.layers().split_last()?, encoder.activations());
        if activations.last() != Some(&Activation::Linear) {
            return None;
        }
        let (decoder_weight, decoder_bias) = match &self.decoder {
            MaybeTied::Tied(decoder) if before.is_empty() => (None, decoder.biases().first().map(Param::val)),
            MaybeTied::Untied(Decoder::Dense(decoder)) if decoder.layers().len() == 1 => {
                let layer = &decoder.layers()[0];
                (Some(layer.weight.val()), layer.bias.as_ref().map(Param::val))
            }
            _ => return None,
        };
        let reached = before.iter().zip(activations).fold(x.clone(), |x, (layer, activation)| layer.forward_activated(x, *activation));
        let bias = layer.bias.as_ref().map(Param::val);
        SparseCode { weight: layer.weight.val(), bias, decoder_weight, decoder_bias, k }.forward(&reached)
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

    /// Name and value of the reconstruction term: `target`, `[batch, feature]`, against what becomes of the code `z`.
    pub fn reconstruction_term_of_code(&self, z: Tensor<2>, target: Tensor<2>, mask: Option<&Tensor<2>>) -> (&'static str, Tensor<1>) {
        self.reconstruction.term(target, self.output(z), mask)
    }

    /// How outputs become reconstructions, and what these are compared by.
    pub fn reconstruction(&self) -> Reconstruction {
        self.reconstruction
    }

    /// The sum of the squares of the decoder's parameters, `[1]`; with `tied` those of the encoder's weights, which it shares.
    pub fn decoder_squared_norm(&self) -> Tensor<1> {
        let mut squares = SquaredNorm { weights_only: false, sum: None };
        self.decoder.visit(&mut squares);
        if matches!(self.decoder, MaybeTied::Tied(_)) {
            squares.weights_only = true;
            self.encoder.visit(&mut squares);
        }
        squares.sum.expect("a decoder has parameters")
    }

    /// The layers from data to code, the code's own among them.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// `[batch, code]` to what the last layer leaves, before the output activation, `[batch, feature]`.
    pub fn output(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.output(z, &self.encoder)
    }
}

impl MaybeTied {
    fn output(&self, z: Tensor<2>, encoder: &Encoder) -> Tensor<2> {
        match (self, encoder.dense()) {
            (MaybeTied::Untied(decoder), _) => decoder.forward(z),
            (MaybeTied::Tied(decoder), Some(encoder)) => decoder.forward(z, encoder),
            (MaybeTied::Tied(_), None) => unreachable!("only dense layers are tied"),
        }
    }
}

/// One encoder and several decoders around one code.
#[derive(Module, Debug)]
pub struct SharedEncoderNetwork {
    encoder: Encoder,
    pub(crate) decoders: Vec<MaybeTied>,
    #[module(skip)]
    reconstruction: Reconstruction,
}

impl SharedEncoderNetwork {
    /// `[batch, feature]` to `[batch, code]`.
    pub fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(x)
    }

    /// What the last layer of one decoder leaves, before the output activation, from `[batch, code]` to `[batch, feature]`.
    ///
    /// # Panics
    /// When there is no decoder of that number.
    pub fn output(&self, z: Tensor<2>, decoder: usize) -> Tensor<2> {
        self.decoders[decoder].output(z, &self.encoder)
    }

    /// Number of decoders.
    pub fn num_decoders(&self) -> usize {
        self.decoders.len()
    }

    /// Output activation and loss.
    pub fn reconstruction(&self) -> Reconstruction {
        self.reconstruction
    }
}

/// Hyperparameters of [`AutoencoderNetwork`], the keys that its models share.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented where `autoencoder_network_config!` makes it a key")]
pub struct AutoencoderNetworkConfig {
    pub hidden: Hidden,
    pub code_size: usize,
    pub activation: Activations,
    pub code_activation: Activation,
    pub decoder_hidden: Option<Hidden>,
    pub output_activation: OutputActivation,
    pub loss: ReconstructionLoss,
    pub tied: bool,
    pub bias: bool,
    pub initialization: Initialization,
}

impl AutoencoderNetworkConfig {
    /// The first value that no training run could make sense of.
    pub fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        self.hidden.check(data, self.code_size).map_err(|error| error.within("hidden"))?;
        if let Some(hidden) = &self.decoder_hidden {
            hidden.check(data, self.code_size).map_err(|error| error.within("decoder_hidden"))?;
        }
        if self.tied {
            self.check_tied()?;
        }
        self.activations().map_err(|error| error.within("activation"))?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))?;
        self.reconstruction().check(data)
    }

    fn check_tied(&self) -> Result<(), ConfigError> {
        if self.hidden.dense().is_none() {
            let message = "`tied: true` runs backwards through dense layers; take a list of widths for `hidden`, or `tied: false`";
            return Err(ConfigError::new("tied", message));
        }
        if self.decoder_layers() != self.hidden {
            let message = "`tied: true` makes the decoder the mirror image of the encoder, but `decoder_hidden` is another one; leave out one of the two";
            return Err(ConfigError::new("decoder_hidden", message));
        }
        Ok(())
    }

    /// What is allowed but probably not meant, whatever the objective.
    pub fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.reconstruction().warning(data).into_iter().collect()
    }

    /// See [`ModelConfig::validates_as_it_trains`](aelab_core::ModelConfig::validates_as_it_trains).
    pub fn validates_as_it_trains(&self) -> bool {
        !self.hidden.has_batch_norm() && !self.decoder_hidden.as_ref().is_some_and(Hidden::has_batch_norm)
    }

    /// Output activation and loss.
    pub fn reconstruction(&self) -> Reconstruction {
        Reconstruction { activation: self.output_activation, loss: self.loss }
    }

    /// The module with initial parameters: encoder, then decoder, each from its input to its output.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the configuration.
    pub fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> AutoencoderNetwork {
        self.init_with_input(data, data, initializer)
    }

    /// The same, with an encoder that is given something else than the data, of shape `input`. Only an untied network may be.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the configuration.
    pub fn init_with_input(&self, input: &DataSpec, data: &DataSpec, initializer: &mut Initializer) -> AutoencoderNetwork {
        let SharedEncoderNetwork { encoder, mut decoders, reconstruction } = self.init_parts(input, data, 1, initializer);
        AutoencoderNetwork { encoder, decoder: decoders.remove(0), reconstruction }
    }

    /// One encoder with several decoders, one after the other.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the configuration.
    pub fn init_shared(&self, data: &DataSpec, num_decoders: usize, initializer: &mut Initializer) -> SharedEncoderNetwork {
        self.init_parts(data, data, num_decoders, initializer)
    }

    fn init_parts(&self, input: &DataSpec, data: &DataSpec, num_decoders: usize, initializer: &mut Initializer) -> SharedEncoderNetwork {
        let (inwards, mut outwards) = self.activations().expect("the configuration was checked");
        let (bias, how) = (self.bias, self.initialization);
        let code = Some((self.code_size, self.code_activation));
        let encoder = Encoder::new(&self.hidden, input, inwards, code, bias, how, initializer);
        let tied_to = encoder.dense().filter(|_| self.tied);
        if tied_to.is_some() {
            // The last layer's activation belongs to the reconstruction, which needs the logits.
            outwards.push(Activation::Linear);
        }
        let mut decoder = || match tied_to {
            Some(encoder) => MaybeTied::Tied(TiedMlp::new(encoder, outwards.clone(), bias, how, initializer)),
            None => {
                let layers = self.decoder_layers();
                MaybeTied::Untied(Decoder::new(&layers, data, self.code_size, outwards.clone(), bias, how, initializer))
            }
        };
        let decoders = (0..num_decoders).map(|_| decoder()).collect();
        SharedEncoderNetwork { encoder, decoders, reconstruction: self.reconstruction() }
    }

    /// A small network.
    pub fn example() -> Self {
        Self {
            hidden: vec![16].into(),
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
        let kinds = Hidden::examples().into_iter().map(|(key, hidden)| (key, Self { hidden, ..example() }));
        let own = vec![
            ("hidden", Self { hidden: vec![].into(), ..example() }),
            (
                "hidden",
                Self { hidden: vec![20, 8].into(), activation: Activations::Each(vec![Activation::Tanh, Activation::Elu]), ..example() },
            ),
            ("code_size", Self { code_size: 3, ..example() }),
            ("activation", Self { activation: Activations::All(Activation::Tanh), ..example() }),
            ("code_activation", Self { code_activation: Activation::Sigmoid, ..example() }),
            ("decoder_hidden", Self { decoder_hidden: Some(vec![8, 12].into()), ..example() }),
            ("output_activation", Self { output_activation: sigmoid, ..example() }),
            ("loss", Self { loss: ReconstructionLoss::BinaryCrossEntropy, output_activation: sigmoid, ..example() }),
            ("tied", Self { tied: true, ..example() }),
            ("tied", Self { tied: true, bias: false, hidden: vec![12, 8].into(), ..example() }),
            ("bias", Self { bias: false, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ];
        own.into_iter().chain(kinds).collect()
    }

    /// The decoder's hidden layers, named from the data inwards.
    fn decoder_layers(&self) -> Hidden {
        let reversed = |widths: &[usize]| widths.iter().rev().copied().collect();
        match &self.decoder_hidden {
            None => self.hidden.clone(),
            Some(Hidden::Dense(widths)) => Hidden::Dense(reversed(widths)),
            Some(Hidden::Gated(widths)) => Hidden::Gated(reversed(widths)),
            Some(Hidden::Convolutional(conv)) => Hidden::Convolutional(conv.clone()),
        }
    }

    fn activations(&self) -> Result<(Vec<Activation>, Vec<Activation>), ConfigError> {
        self.activation.resolve(self.hidden.num_layers(), self.decoder_layers().num_layers())
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

/// Defines the configuration of a model that trains an [`AutoencoderNetwork`]: the keys of
/// [`AutoencoderNetworkConfig`], then those of its own. Written once here, because flattening one struct into
/// another would cost the line numbers of error messages.
///
/// Makes `network(&self) -> AutoencoderNetworkConfig` and `with_network(network, own keys in order)`.
macro_rules! autoencoder_network_config {
    ($(#[$attribute:meta])* pub struct $name:ident { $($(#[$own_attribute:meta])* pub $own:ident: $own_type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(transform = crate::schema::accept_latent_dim)]
        pub struct $name {
            /// The layers between data and code: units of dense ones from the data inwards (`[]` for none), `{gated: [...]}` or
            /// `{convolutional: {...}}`.
            pub hidden: aelab_nn::Hidden,
            /// Units of the code.
            #[serde(alias = "latent_dim")]
            pub code_size: usize,
            /// Activation of the hidden layers: one name, or a list with one per hidden layer of the encoder,
            /// which the decoder mirrors.
            #[serde(default)]
            pub activation: aelab_nn::Activations,
            /// Activation of the code.
            #[serde(default = "crate::network::default_code_activation")]
            pub code_activation: aelab_nn::Activation,
            /// The layers of the decoder: units from the code outwards; the mirror image of `hidden` where left out.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub decoder_hidden: Option<aelab_nn::Hidden>,
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
            #[serde(default = "crate::network::default_bias")]
            pub bias: bool,
            /// How weights start.
            #[serde(default)]
            pub initialization: aelab_core::Initialization,
            $($(#[$own_attribute])* pub $own: $own_type,)*
        }

        impl $name {
            /// The keys that models with a dense autoencoder share.
            pub fn network(&self) -> crate::AutoencoderNetworkConfig {
                crate::AutoencoderNetworkConfig {
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
            pub fn with_network(network: crate::AutoencoderNetworkConfig $(, $own: $own_type)*) -> Self {
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
pub(crate) use autoencoder_network_config;

/// The methods of an [`Autoencoder`](aelab_core::Autoencoder) with an [`AutoencoderNetwork`] in its field `network`.
macro_rules! network_methods {
    () => {
        fn encode(&self, x: Tensor<2>) -> Tensor<2> {
            self.network.encode(x)
        }

        fn decode(&self, z: Tensor<2>) -> Tensor<2> {
            self.network.decode(z)
        }

        fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
            self.network.decode_logits(z)
        }
    };
}
pub(crate) use network_methods;

/// The methods of a [`ModelConfig`](aelab_core::ModelConfig) made by [`autoencoder_network_config!`] that say the same for all
/// of them whose code is constrained otherwise than by its size.
macro_rules! network_config_methods {
    () => {
        fn warnings(&self, data: &DataSpec) -> Vec<String> {
            self.network().warnings(data)
        }

        fn validates_as_it_trains(&self) -> bool {
            self.network().validates_as_it_trains()
        }

        fn code_size(&self) -> usize {
            self.code_size
        }
    };
}
pub(crate) use network_config_methods;

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

    fn refused(config: AutoencoderNetworkConfig) -> (String, String) {
        let error = config.check(&data()).unwrap_err();
        (error.path, error.message)
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = AutoencoderNetworkConfig::example;
        assert_eq!(refused(AutoencoderNetworkConfig { hidden: vec![8, 0].into(), ..example() }).0, "hidden.1");
        assert_eq!(refused(AutoencoderNetworkConfig { code_size: 0, ..example() }).0, "code_size");
        assert_eq!(refused(AutoencoderNetworkConfig { decoder_hidden: Some(vec![0].into()), ..example() }).0, "decoder_hidden.0");
        let activation = Activations::Each(vec![Activation::Relu; 3]);
        let (path, message) = refused(AutoencoderNetworkConfig { activation, ..example() });
        assert_eq!(path, "activation");
        assert!(message.contains("3 activations, expected 1"), "{message}");
        let (path, message) = refused(AutoencoderNetworkConfig { tied: true, decoder_hidden: Some(vec![9].into()), ..example() });
        assert_eq!(path, "decoder_hidden");
        assert!(message.contains("leave out one of the two"), "{message}");
        let hidden = Hidden::Gated(vec![4]);
        assert_eq!(refused(AutoencoderNetworkConfig { tied: true, hidden, ..example() }).0, "tied");
        let initialization = Initialization::Normal { sigma: -1.0 };
        assert_eq!(refused(AutoencoderNetworkConfig { initialization, ..example() }).0, "initialization.normal.sigma");
    }

    #[test]
    fn a_tied_network_has_one_set_of_weights() {
        let config = AutoencoderNetworkConfig { hidden: vec![7].into(), code_size: 3, tied: true, ..AutoencoderNetworkConfig::example() };
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
