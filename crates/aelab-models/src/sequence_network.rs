//! The recurrent halves that the models of series share: layers of LSTM from a series to features, and from a code to a series.

use aelab_core::{Batch, ConfigError, DataSpec, Initialization, Initializer, Scheduled, StepContext};
use aelab_nn::{Feedback, LstmDecoder, LstmEncoder, Steps, TeacherForcing, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a decoder of series is told at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// The values of the step before, its own or the true ones; the code sets its first memory.
    #[default]
    Recurrent,
    /// The code, the same at every step; its first memory is empty.
    OneShot,
}

/// Encoder and decoder of series.
#[derive(Module, Debug)]
pub struct SequenceNetwork {
    encoder: LstmEncoder,
    decoder: LstmDecoder,
    #[module(skip)]
    teacher_forcing: Scheduled,
    /// Steps of a whole series.
    #[module(skip)]
    num_steps: usize,
    /// The steps of the series of one batch, for a model conditioned on it.
    #[module(skip)]
    steps: Option<Steps>,
}

impl SequenceNetwork {
    /// The steps of series that nothing is said about: all, or those of the batch that the network is conditioned on.
    fn steps(&self) -> Steps {
        self.steps.clone().unwrap_or_else(|| Steps::all(self.num_steps))
    }

    /// The steps of a batch.
    pub fn steps_of(&self, batch: &Batch) -> Steps {
        batch.mask.as_ref().map_or_else(|| Steps::all(self.num_steps), |mask| Steps::observed(mask, self.num_steps))
    }

    /// The network for the series of one batch, where it has a mask.
    pub fn conditioned(&self, batch: &Batch) -> Option<Self> {
        batch.mask.as_ref()?;
        Some(Self { steps: Some(self.steps_of(batch)), ..self.clone() })
    }

    /// What the encoder's last layer has in mind at the end, `[batch, feature]`, from `[batch, time * channel]`.
    pub fn features(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(x, &self.steps())
    }

    /// The same for series with those steps.
    pub fn features_at(&self, x: Tensor<2>, steps: &Steps) -> Tensor<2> {
        self.encoder.forward(x, steps)
    }

    /// What the decoder's affine map leaves, `[batch, time * channel]`, fed with its own values; `mean` makes values of it.
    pub fn output(&self, z: Tensor<2>, mean: Feedback<'_>) -> Tensor<2> {
        self.decoder.forward(z, &self.steps(), None, mean)
    }

    /// The same in training: fed with `target` as often as `teacher_forcing` says, drawn per series and step.
    pub fn output_towards(
        &self,
        target: &Tensor<2>,
        z: Tensor<2>,
        steps: &Steps,
        ctx: &mut StepContext<'_>,
        mean: Feedback<'_>,
    ) -> Tensor<2> {
        let rate = self.teacher_forcing.at(ctx.progress);
        let forcing = (rate > 0.0).then(|| {
            let shape = [steps.num(), z.dims()[0]];
            let given = (rate < 1.0).then(|| ctx.noise.bernoulli(shape, rate, &z.device()));
            TeacherForcing { target: target.clone(), given }
        });
        self.decoder.forward(z, steps, forcing.as_ref(), mean)
    }
}

/// Hyperparameters of [`SequenceNetwork`], the keys that its models share.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented where `sequence_network_config!` makes it a key")]
pub struct SequenceNetworkConfig {
    pub hidden: Vec<usize>,
    pub bidirectional: bool,
    pub decoding: Decoding,
    pub reverse: bool,
    pub teacher_forcing: Scheduled,
    pub forget_bias: f64,
    pub initialization: Initialization,
}

impl SequenceNetworkConfig {
    /// The first value that no training run could make sense of.
    pub fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        if self.shape(data).is_none() {
            let message = format!(
                "this model is for series, [time, channel], but an example of this data has shape {:?}; take a data set of series \
                 (`aelab datasets`), or another model",
                data.event_shape
            );
            return Err(ConfigError::new("", message));
        }
        if self.hidden.is_empty() {
            return Err(ConfigError::new("hidden", "`hidden` needs at least one layer of LSTM, for example `[64]`"));
        }
        if let Some(layer) = self.hidden.iter().position(|&num_units| num_units == 0) {
            return Err(ConfigError::new(format!("hidden.{layer}"), "a layer needs at least 1 unit: nothing passes through an empty one"));
        }
        self.teacher_forcing.check().map_err(|error| error.within("teacher_forcing"))?;
        if let Some(rate) = self.teacher_forcing.first_outside(0.0, 1.0) {
            let message = format!("`teacher_forcing` is a probability in [0, 1], but is {rate}");
            return Err(ConfigError::new("teacher_forcing", message));
        }
        if self.decoding == Decoding::OneShot && self.teacher_forcing != Scheduled::Constant(0.0) {
            let message = "`decoding: one_shot` feeds nothing back, so there is nothing to force; leave `teacher_forcing` out, or take `decoding: recurrent`";
            return Err(ConfigError::new("teacher_forcing", message));
        }
        if !self.forget_bias.is_finite() {
            return Err(ConfigError::new("forget_bias", format!("`forget_bias` must be a number, but is {}", self.forget_bias)));
        }
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    /// `[time, channel]`.
    fn shape(&self, data: &DataSpec) -> Option<[usize; 2]> {
        match data.event_shape[..] {
            [time, channel] if time > 0 && channel > 0 => Some([time, channel]),
            _ => None,
        }
    }

    /// The module with initial parameters, and the features that its encoder puts out: encoder, then decoder.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the configuration.
    pub fn init(&self, data: &DataSpec, code_size: usize, initializer: &mut Initializer) -> (SequenceNetwork, usize) {
        let shape = self.shape(data).expect("the configuration was checked");
        let how = self.initialization;
        let encoder = LstmEncoder::new(shape, &self.hidden, self.bidirectional, self.forget_bias, how, initializer);
        let outwards: Vec<usize> = self.hidden.iter().rev().copied().collect();
        let recurrent = self.decoding == Decoding::Recurrent;
        let decoder = LstmDecoder::new(code_size, shape, &outwards, recurrent, self.reverse, self.forget_bias, how, initializer);
        let num_features = encoder.num_outputs();
        let teacher_forcing = self.teacher_forcing.clone();
        (SequenceNetwork { encoder, decoder, teacher_forcing, num_steps: shape[0], steps: None }, num_features)
    }

    /// A small network.
    pub fn example() -> Self {
        Self {
            hidden: vec![6],
            bidirectional: false,
            decoding: Decoding::Recurrent,
            reverse: true,
            teacher_forcing: 0.0.into(),
            forget_bias: default_forget_bias(),
            initialization: Initialization::default(),
        }
    }

    /// An alternative to [`example`](Self::example) for each key.
    pub fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        vec![
            ("hidden", Self { hidden: vec![5, 4], bidirectional: true, ..example() }),
            ("hidden", Self { hidden: vec![5, 4], decoding: Decoding::OneShot, ..example() }),
            ("bidirectional", Self { bidirectional: true, ..example() }),
            ("decoding", Self { decoding: Decoding::OneShot, ..example() }),
            ("reverse", Self { reverse: false, ..example() }),
            ("teacher_forcing", Self { teacher_forcing: 1.0.into(), ..example() }),
            ("teacher_forcing", Self { teacher_forcing: 0.5.into(), ..example() }),
            ("forget_bias", Self { forget_bias: 0.0, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }

    /// Small series of two channels.
    pub fn example_data() -> DataSpec {
        DataSpec::new([12, 2], aelab_core::Domain::Real)
    }
}

/// Defines the configuration of a model that trains a [`SequenceNetwork`]: the keys of [`SequenceNetworkConfig`], then
/// those of its own; see `autoencoder_network_config!`.
///
/// Makes `network(&self) -> SequenceNetworkConfig` and `with_network(network, own keys in order)`.
macro_rules! sequence_network_config {
    ($(#[$attribute:meta])* pub struct $name:ident { $($(#[$own_attribute:meta])* pub $own:ident: $own_type:ty,)* }) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$attribute])*
        pub struct $name {
            /// Units of the layers of LSTM from the series inwards, at least one layer; the decoder mirrors them.
            pub hidden: Vec<usize>,
            $($(#[$own_attribute])* pub $own: $own_type,)*
            /// Whether each layer of the encoder also reads from the end of the series; that doubles its outputs.
            #[serde(default)]
            pub bidirectional: bool,
            /// What the decoder is told at each step.
            #[serde(default)]
            pub decoding: crate::Decoding,
            /// Whether the decoder writes the last step first, so that what was read last is needed first.
            #[serde(default = "crate::sequence_network::default_reverse")]
            pub reverse: bool,
            /// Probability that a recurrent decoder is fed with the true values of the step before, in place of its own;
            /// a number or a schedule.
            #[serde(default = "crate::sequence_network::default_teacher_forcing")]
            pub teacher_forcing: aelab_core::Scheduled,
            /// Added to the initial bias of the forget gates.
            #[serde(default = "crate::sequence_network::default_forget_bias")]
            pub forget_bias: f64,
            /// How weights start.
            #[serde(default)]
            pub initialization: aelab_core::Initialization,
        }

        impl $name {
            /// The keys that models of series share.
            pub fn network(&self) -> crate::SequenceNetworkConfig {
                crate::SequenceNetworkConfig {
                    hidden: self.hidden.clone(),
                    bidirectional: self.bidirectional,
                    decoding: self.decoding,
                    reverse: self.reverse,
                    teacher_forcing: self.teacher_forcing.clone(),
                    forget_bias: self.forget_bias,
                    initialization: self.initialization,
                }
            }

            /// The configuration with that network and the keys of its own.
            pub fn with_network(network: crate::SequenceNetworkConfig $(, $own: $own_type)*) -> Self {
                Self {
                    hidden: network.hidden,
                    bidirectional: network.bidirectional,
                    decoding: network.decoding,
                    reverse: network.reverse,
                    teacher_forcing: network.teacher_forcing,
                    forget_bias: network.forget_bias,
                    initialization: network.initialization,
                    $($own,)*
                }
            }
        }
    };
}
pub(crate) use sequence_network_config;

pub(crate) fn default_reverse() -> bool {
    true
}

pub(crate) fn default_teacher_forcing() -> Scheduled {
    Scheduled::Constant(0.0)
}

pub(crate) fn default_forget_bias() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = SequenceNetworkConfig::example;
        let series = SequenceNetworkConfig::example_data();
        let path = |config: SequenceNetworkConfig, data: &DataSpec| config.check(data).unwrap_err().path;
        assert_eq!(path(example(), &DataSpec::new([1, 8, 8], Domain::Real)), "");
        assert_eq!(path(SequenceNetworkConfig { hidden: vec![], ..example() }, &series), "hidden");
        assert_eq!(path(SequenceNetworkConfig { hidden: vec![4, 0], ..example() }, &series), "hidden.1");
        assert_eq!(path(SequenceNetworkConfig { teacher_forcing: 1.5.into(), ..example() }, &series), "teacher_forcing");
        let forced = SequenceNetworkConfig { decoding: Decoding::OneShot, teacher_forcing: 0.5.into(), ..example() };
        assert_eq!(path(forced, &series), "teacher_forcing");
        assert_eq!(path(SequenceNetworkConfig { forget_bias: f64::NAN, ..example() }, &series), "forget_bias");
    }
}
