//! AutoRec: an autoencoder of rows of ratings, most of which are missing.
//!
//! Sedhain, Menon, Sanner & Xie 2015, "AutoRec: Autoencoders Meet Collaborative Filtering", Eq. 1.
//! <https://doi.org/10.1145/2740908.2742726>
//!
//! ```text
//! L(r) = || r - h(r) ||^2_O + lambda/2 (||W||^2 + ||V||^2)        h(r) = W g(V r + mu) + b
//! ```
//!
//! `O` are the observed ratings of a row: only they count, only their errors send gradients, and those that are
//! missing enter the encoder as 0. Rows are items (I-AutoRec, the better one in the paper) or users: a property of
//! the data. The first term is averaged over the batch here and summed over all rows in the paper, so its `lambda` is
//! ours times the number of rows.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Domain, Initialization, Initializer, ModelConfig, Objective, Scheduled, StepContext,
    TermSpec, Unit,
};
use aelab_losses::{squared_error, weight_decay};
use aelab_nn::{Activation, Mlp, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::check_code_size;
use crate::variational_network::check_not_negative;

/// Hyperparameters of [`AutoRec`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_latent_dim)]
pub struct AutoRecConfig {
    /// Units of the code, the paper's hidden layer.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Weight of half the sum of squares of all weights; a number or a schedule.
    pub lambda: Scheduled,
    /// Units of further dense layers between the ratings and the code, which the decoder mirrors; the paper's model has none.
    #[serde(default)]
    pub hidden: Vec<usize>,
    /// Activation of the code and of the hidden layers.
    #[serde(default = "sigmoid")]
    pub activation: Activation,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

fn sigmoid() -> Activation {
    Activation::Sigmoid
}

/// An autoencoder that is judged by observed values alone.
#[derive(Module, Debug)]
pub struct AutoRec {
    encoder: Mlp,
    decoder: Mlp,
    #[module(skip)]
    lambda: Scheduled,
    /// What was observed of the rows of one batch, for a model conditioned on it.
    #[module(skip)]
    mask: Option<Tensor<2>>,
}

impl AutoRec {
    fn weights(&self) -> impl Iterator<Item = Tensor<2>> {
        self.encoder.layers().iter().chain(self.decoder.layers()).map(|layer| layer.weight.val())
    }
}

/// `x` with 0 for what was not observed.
fn observed(x: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    match mask {
        Some(mask) => x * mask.clone(),
        None => x,
    }
}

impl Autoencoder for AutoRec {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(observed(x, self.mask.as_ref()))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(z)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let mask = batch.mask.as_ref();
        let predictions = self.decode(self.encoder.forward(observed(batch.x.clone(), mask)));
        Objective::new().term("squared_error", squared_error(batch.x.clone(), predictions, mask), 1.0).term(
            "weight_decay",
            weight_decay(self.weights()),
            self.lambda.at(ctx.progress),
        )
    }

    fn conditioned(&self, batch: &Batch) -> Option<Self> {
        Some(Self { mask: Some(batch.mask.clone()?), ..self.clone() })
    }
}

impl ModelConfig for AutoRecConfig {
    const NAME: &'static str = "auto_rec";
    const SUMMARY: &'static str = "predicts missing ratings from those that are there, trained on observed ones alone";
    const CITATION: &'static str = "Sedhain, Menon, Sanner & Xie 2015, AutoRec: Autoencoders Meet Collaborative Filtering, Eq. 1, \
                                    https://doi.org/10.1145/2740908.2742726";
    type Model = AutoRec;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        if data.domain == Domain::Binary {
            let message = "`auto_rec` predicts ratings, but this data is 0 or 1 everywhere; take the ratings themselves, or `mult_dae` for \
                           what was chosen and what was not";
            return Err(ConfigError::new("", message));
        }
        check_code_size("code_size", self.code_size)?;
        check_widths(&self.hidden)?;
        check_not_negative("lambda", &self.lambda, "weighs the squares of the weights")?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0),
            TermSpec::new("weight_decay", Unit::Penalty, self.lambda.clone()),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> AutoRec {
        let (num_features, how) = (data.num_features(), self.initialization);
        let inwards = self.hidden.iter().copied().chain([self.code_size]).map(|width| (width, self.activation));
        let outwards = self.hidden.iter().rev().map(|&width| (width, self.activation)).chain([(num_features, Activation::Linear)]);
        let encoder = Mlp::new(num_features, inwards, true, how, initializer);
        let decoder = Mlp::new(self.code_size, outwards, true, how, initializer);
        AutoRec { encoder, decoder, lambda: self.lambda.clone(), mask: None }
    }

    fn example() -> Self {
        Self { code_size: 5, lambda: 0.01.into(), hidden: Vec::new(), activation: sigmoid(), initialization: Initialization::default() }
    }

    fn example_data() -> DataSpec {
        DataSpec::new([16], Domain::Real)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        vec![
            ("code_size", Self { code_size: 3, ..example() }),
            ("lambda", Self { lambda: 0.1.into(), ..example() }),
            ("lambda", Self { lambda: 0.0.into(), ..example() }),
            ("hidden", Self { hidden: vec![8], ..example() }),
            ("activation", Self { activation: Activation::Elu, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

/// Rejects empty layers, at their path.
pub(crate) fn check_widths(hidden: &[usize]) -> Result<(), ConfigError> {
    match hidden.iter().position(|&width| width == 0) {
        Some(layer) => {
            Err(ConfigError::new(format!("hidden.{layer}"), "a layer needs at least 1 unit: nothing passes through an empty one"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{FixedNoise, Progress};
    use burn::tensor::{Device, TensorData};

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn tensor(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    fn objective(model: &AutoRec, batch: &Batch) -> Objective {
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise: &mut FixedNoise::new([]) };
        model.objective(batch, ctx)
    }

    #[test]
    fn the_loss_is_that_of_the_paper_computed_by_hand() {
        let device = Device::flex();
        let config = AutoRecConfig { code_size: 2, lambda: 0.3.into(), ..AutoRecConfig::example() };
        let model = config.init(&DataSpec::new([3], Domain::Real), &mut Initializer::new(1, &device));
        let parameters = |mlp: &Mlp| (numbers(mlp.layers()[0].weight.val()), numbers(mlp.layers()[0].bias.as_ref().unwrap().val()));
        let ((v, mu), (w, b)) = (parameters(&model.encoder), parameters(&model.decoder));
        let (r, seen) = ([4.0, 99.0, 1.0f32], [1.0, 0.0, 1.0f32]);
        let hidden = [0, 1].map(|unit| {
            let input: f32 = (0..3).map(|item| seen[item] * r[item] * v[2 * item + unit]).sum::<f32>() + mu[unit];
            1.0 / (1.0 + (-input).exp())
        });
        let error: f32 = (0..3).map(|item| seen[item] * (r[item] - hidden[0] * w[item] - hidden[1] * w[3 + item] - b[item]).powi(2)).sum();
        let decay = 0.5 * v.iter().chain(&w).map(|weight| weight * weight).sum::<f32>();
        let batch = Batch { mask: Some(tensor(&seen, [1, 3], &device)), ..Batch::new(tensor(&r, [1, 3], &device)) };
        let loss = objective(&model, &batch).loss().into_scalar::<f32>();
        assert!((loss - (error + 0.3 * decay)).abs() < 1e-5 * loss, "{loss} is not {}", error + 0.3 * decay);
    }

    #[test]
    fn what_was_not_observed_sends_no_gradient_and_is_not_looked_at() {
        let device = Device::flex().autodiff();
        let config = AutoRecConfig { lambda: 0.0.into(), ..AutoRecConfig::example() };
        let model = config.init(&DataSpec::new([4], Domain::Real), &mut Initializer::new(1, &device));
        let mask = || tensor(&[1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0], [2, 4], &device);
        let run = |rubbish: f32| {
            let x = tensor(&[3.0, rubbish, 5.0, rubbish, 1.0, 2.0, rubbish, rubbish], [2, 4], &device);
            let batch = Batch { mask: Some(mask()), ..Batch::new(x) };
            let loss = objective(&model, &batch).loss();
            let gradients = loss.backward();
            let bias = model.decoder.layers()[0].bias.as_ref().unwrap().val().grad(&gradients).unwrap();
            let weight = model.encoder.layers()[0].weight.val().grad(&gradients).unwrap();
            let code = model.conditioned(&batch).unwrap().encode(batch.x.clone());
            (loss.into_scalar::<f32>(), numbers(bias), numbers(weight), numbers(code))
        };
        let (loss, bias, weight, code) = run(0.0);
        // Nobody rated the fourth item.
        assert!(bias[3] == 0.0 && bias[..3].iter().all(|slope| *slope != 0.0), "{bias:?}");
        assert!(weight[15..].iter().all(|slope| *slope == 0.0), "{weight:?}");
        assert_eq!((loss, bias, weight, code), run(77.0));
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = AutoRecConfig::example;
        let path = |config: AutoRecConfig, domain| config.check(&DataSpec::new([4], domain)).unwrap_err().path;
        assert_eq!(path(example(), Domain::Binary), "");
        assert_eq!(path(AutoRecConfig { hidden: vec![3, 0], ..example() }, Domain::Real), "hidden.1");
        assert_eq!(path(AutoRecConfig { lambda: (-1.0).into(), ..example() }, Domain::Real), "lambda");
        assert_eq!(path(AutoRecConfig { code_size: 0, ..example() }, Domain::Real), "code_size");
    }
}
