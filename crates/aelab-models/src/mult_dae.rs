//! Mult-DAE: a denoising autoencoder of choices, with a multinomial likelihood.
//!
//! Liang, Krishnan, Hoffman & Jebara 2018, "Variational Autoencoders for Collaborative Filtering", Sec. 2.1 and 2.3, Eq. 2.
//! <https://doi.org/10.1145/3178876.3186150>
//!
//! ```text
//! L(x) = - sum_i x_i log p_i + lambda/2 sum_k ||W_k||^2        p = softmax(d(e(dropout(x / ||x||))))
//! ```
//!
//! Items compete for one unit of probability, as they do for places in a list of recommendations. Dropout on the
//! input is the corruption: part of the objective, so validation draws it too (the paper validates without, by
//! ranking). Codes and reconstructions of a trained model are those of the whole row.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Domain, Initialization, Initializer, ModelConfig, Objective, Scheduled, StepContext,
    TermSpec, Unit,
};
use aelab_losses::{multinomial_nll, weight_decay};
use aelab_nn::{Activation, Mlp, check_initialization};
use burn::module::Module;
use burn::tensor::{Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auto_rec::check_widths;
use crate::choices::{check_counts, check_dropout, normalized, with_dropout};
use crate::network::check_code_size;
use crate::variational_network::check_not_negative;

/// Hyperparameters of [`MultDae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_latent_dim)]
pub struct MultDaeConfig {
    /// Units of the dense layers between the choices and the code, which the decoder mirrors; `[]` in the paper.
    pub hidden: Vec<usize>,
    /// Units of the code.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Probability that a choice is hidden from the encoder; a number or a schedule.
    #[serde(default = "half")]
    pub input_dropout: Scheduled,
    /// Weight of half the sum of squares of all weights; a number or a schedule.
    #[serde(default = "nothing")]
    pub lambda: Scheduled,
    /// Activation of all layers but the last, the code among them.
    #[serde(default = "tanh")]
    pub activation: Activation,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

pub(crate) fn half() -> Scheduled {
    Scheduled::Constant(0.5)
}

pub(crate) fn nothing() -> Scheduled {
    Scheduled::Constant(0.0)
}

pub(crate) fn tanh() -> Activation {
    Activation::Tanh
}

/// A denoising autoencoder of choices.
#[derive(Module, Debug)]
pub struct MultDae {
    encoder: Mlp,
    decoder: Mlp,
    #[module(skip)]
    input_dropout: Scheduled,
    #[module(skip)]
    lambda: Scheduled,
}

impl Autoencoder for MultDae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(normalized(x))
    }

    /// The probability that a choice falls on each item; a row sums to 1.
    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        activation::softmax(self.decoder.forward(z), 1)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let shown = with_dropout(normalized(batch.x.clone()), self.input_dropout.at(ctx.progress), ctx);
        let logits = self.decoder.forward(self.encoder.forward(shown));
        let weights = self.encoder.layers().iter().chain(self.decoder.layers()).map(|layer| layer.weight.val());
        Objective::new().term("nll", multinomial_nll(batch.x.clone(), logits, batch.mask.as_ref()), 1.0).term(
            "weight_decay",
            weight_decay(weights),
            self.lambda.at(ctx.progress),
        )
    }
}

impl ModelConfig for MultDaeConfig {
    const NAME: &'static str = "mult_dae";
    const SUMMARY: &'static str = "recommends from choices: a denoising autoencoder with a multinomial likelihood";
    const CITATION: &'static str = "Liang, Krishnan, Hoffman & Jebara 2018, Variational Autoencoders for Collaborative Filtering, Eq. 2, \
                                    https://doi.org/10.1145/3178876.3186150";
    type Model = MultDae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_counts(Self::NAME, data)?;
        check_code_size("code_size", self.code_size)?;
        check_widths(&self.hidden)?;
        check_dropout(&self.input_dropout)?;
        check_not_negative("lambda", &self.lambda, "weighs the squares of the weights")?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![TermSpec::new("nll", Unit::Nats, 1.0), TermSpec::new("weight_decay", Unit::Penalty, self.lambda.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> MultDae {
        let (num_features, how) = (data.num_features(), self.initialization);
        let inwards = self.hidden.iter().copied().chain([self.code_size]).map(|width| (width, self.activation));
        let outwards = self.hidden.iter().rev().map(|&width| (width, self.activation)).chain([(num_features, Activation::Linear)]);
        let encoder = Mlp::new(num_features, inwards, true, how, initializer);
        let decoder = Mlp::new(self.code_size, outwards, true, how, initializer);
        MultDae { encoder, decoder, input_dropout: self.input_dropout.clone(), lambda: self.lambda.clone() }
    }

    fn example() -> Self {
        Self {
            hidden: Vec::new(),
            code_size: 5,
            input_dropout: 0.2.into(),
            lambda: nothing(),
            activation: tanh(),
            initialization: Initialization::default(),
        }
    }

    fn example_data() -> DataSpec {
        DataSpec::new([32], Domain::Binary)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        vec![
            ("hidden", Self { hidden: vec![12], ..example() }),
            ("code_size", Self { code_size: 3, ..example() }),
            ("input_dropout", Self { input_dropout: 0.0.into(), ..example() }),
            ("lambda", Self { lambda: 0.01.into(), ..example() }),
            ("activation", Self { activation: Activation::Sigmoid, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn reconstructions_are_probabilities_whatever_the_number_of_choices() {
        let device = Device::flex();
        let model = MultDaeConfig::example().init(&DataSpec::new([4], Domain::Binary), &mut Initializer::new(1, &device));
        let one = Tensor::from_data([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]], &device);
        let found: Vec<f32> = model.reconstruct(one.clone()).into_data().try_to_vec().unwrap();
        for row in found.chunks(4) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6 && row.iter().all(|p| *p > 0.0), "{row:?}");
        }
        // The row is normalised: twice the counts are the same taste.
        let codes = |x: Tensor<2>| model.encode(x).into_data().try_to_vec::<f32>().unwrap();
        for (once, twice) in codes(one.clone()).into_iter().zip(codes(one * 2.0)) {
            assert!((once - twice).abs() < 1e-6);
        }
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = MultDaeConfig::example;
        let path = |config: MultDaeConfig, domain| config.check(&DataSpec::new([4], domain)).unwrap_err().path;
        assert_eq!(path(example(), Domain::Real), "");
        assert_eq!(path(MultDaeConfig { input_dropout: 1.0.into(), ..example() }, Domain::Binary), "input_dropout");
        assert_eq!(path(MultDaeConfig { lambda: (-1.0).into(), ..example() }, Domain::Binary), "lambda");
        assert_eq!(path(MultDaeConfig { hidden: vec![0], ..example() }, Domain::Binary), "hidden.0");
    }
}
