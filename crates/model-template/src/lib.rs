//! The noisy-code autoencoder: Gaussian noise on the code, and a price on large codes.
//!
//! Poole, Sohl-Dickstein & Ganguli 2014, "Analyzing noise in autoencoders and deep networks", noise on the
//! activations of the hidden layer only. <https://arxiv.org/abs/1406.1831>
//!
//! ```text
//! L(x) = E_{n ~ N(0, I)} || x - d(e(x) + sigma n) ||^2 + lambda || e(x) ||^2     squared units per example
//! ```
//!
//! Without the second term a larger code would drown the noise, so `lambda` and `sigma` belong together.
//! With a linear decoder of weight W the noise amounts to a penalty, `sigma^2 ||W||_F^2`: see the tests.
//!
//! This crate is the template for a model of your own. Read it from top to bottom: header, configuration,
//! module, [`Autoencoder`] (what it computes), [`ModelConfig`] (what the program must know), tests.
//! `src/main.rs` is the program, `tests/conformance.rs` the laws that every model keeps. Each comment that
//! begins with "Template:" explains a rule of aelab and goes when you copy the file, as do the anchors, by
//! which the page "Adding a model" of the docs shows parts of this file.

#![forbid(unsafe_code)]

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initialization, Initializer, ModelConfig, Objective, Schedule, Scheduled, StepContext,
    TermSpec, Unit,
};
use aelab_losses::squared_error;
use aelab_nn::{Activation, Mlp, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// Template: the configuration is what stands below the model's name in an experiment file. The doc comments
// become the descriptions that an editor shows. `deny_unknown_fields` turns a misspelt key into an error.
// What is science has no default: whoever reads the YAML file should see it. Plumbing has one.

// ANCHOR: config
/// Hyperparameters of [`NoisyCode`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoisyCodeConfig {
    /// Units of each hidden layer of the encoder, from the data inwards, mirrored by the decoder; `[]` for none.
    pub hidden: Vec<usize>,
    /// Units of the code.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Standard deviation of the noise on each unit of the code; a number or a schedule.
    pub sigma: Scheduled,
    /// Weight of the squared norm of the code.
    pub lambda: f64,
    /// Activation of the hidden layers; the code and the reconstruction are linear.
    #[serde(default)]
    pub activation: Activation,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}
// ANCHOR_END: config

// Template: the module holds the parameters. `#[derive(Module)]` makes them visible to optimizers and
// checkpoints. What is not a parameter is marked `skip`: it comes from the configuration, not the checkpoint.

// ANCHOR: module
/// A dense autoencoder with noise on its code.
#[derive(Module, Debug)]
pub struct NoisyCode {
    encoder: Mlp,
    decoder: Mlp,
    #[module(skip)]
    sigma: Scheduled,
    #[module(skip)]
    lambda: f64,
}
// ANCHOR_END: module

// ANCHOR: autoencoder
impl Autoencoder for NoisyCode {
    // Template: `encode` and `decode` are how a trained model is used and measured, so they draw nothing.
    // Examples come flattened, `[batch, feature]`; the shape of an image is in `DataSpec::event_shape`.
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(z)
    }

    // Template: the objective is a list of named terms, each unweighted, summed over features and averaged over
    // the batch; its weight stands beside it. Both are logged, and validation measures the same terms.
    //
    // Noise is drawn from `ctx.noise` and from nowhere else: it depends on (seed, epoch, step) alone, which is
    // what lets a run that was killed go on to the same bits. Schedules are read at `ctx.progress`.
    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let z = self.encode(batch.x.clone());
        let noise = ctx.noise.normal(z.dims(), &z.device());
        let reconstruction = self.decode(z.clone() + noise * self.sigma.at(ctx.progress));
        let error = squared_error(batch.x.clone(), reconstruction, batch.mask.as_ref());
        Objective::new().term("squared_error", error, 1.0).term("code_norm", z.square().sum_dim(1).mean(), self.lambda)
    }
}
// ANCHOR_END: autoencoder

// ANCHOR: model_config
impl ModelConfig for NoisyCodeConfig {
    // Template: one spelling everywhere: YAML key, registry, file name.
    const NAME: &'static str = "noisy_code";
    const SUMMARY: &'static str = "dense layers with Gaussian noise on the code and a penalty on its norm";
    const CITATION: &'static str = "Poole, Sohl-Dickstein & Ganguli 2014, Analyzing noise in autoencoders and deep networks, \
                                    https://arxiv.org/abs/1406.1831";
    type Model = NoisyCode;

    // Template: called before anything runs, with the shape and the domain of the data. An error names the key
    // (so that the message can show the line of the file), what was found, what is expected. Whatever would
    // panic in `init` or in training is refused here.
    fn check(&self, _data: &DataSpec) -> Result<(), ConfigError> {
        if let Some(index) = self.hidden.iter().position(|&width| width == 0) {
            return Err(ConfigError::new(format!("hidden.{index}"), "a layer needs at least one unit; leave the layer out instead"));
        }
        if self.code_size == 0 {
            return Err(ConfigError::new("code_size", "`code_size` must be at least 1: nothing passes through an empty code"));
        }
        self.sigma.check().map_err(|error| error.within("sigma"))?;
        if let Some(value) = self.sigma.first_outside(0.0, f64::MAX) {
            return Err(ConfigError::new(
                "sigma",
                format!("`sigma` is a standard deviation and cannot be negative or infinite, but is {value}"),
            ));
        }
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return Err(ConfigError::new("lambda", format!("`lambda` must be a number from 0, but is {}", self.lambda)));
        }
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    // Template: what is allowed but probably not meant.
    fn warnings(&self, _data: &DataSpec) -> Vec<String> {
        let is_noisy = self.sigma != Scheduled::Constant(0.0);
        let message = "`lambda` is 0, so the model can make its code so large that the noise does not matter; take `lambda` above 0";
        (is_noisy && self.lambda == 0.0).then(|| message.to_owned()).into_iter().collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    // Template: the terms of `objective`, in its order, with unit and weight: what listings and logs print.
    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0),
            TermSpec::new("code_norm", Unit::Penalty, self.lambda),
        ]
    }

    // Template: every initial value comes from the initializer, in a fixed order: it decides the bits of a seed.
    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> NoisyCode {
        let how = self.initialization;
        let hidden = |width: &usize| (*width, self.activation);
        let inwards = self.hidden.iter().map(hidden).chain([(self.code_size, Activation::Linear)]);
        let outwards = self.hidden.iter().rev().map(hidden).chain([(data.num_features(), Activation::Linear)]);
        NoisyCode {
            encoder: Mlp::new(data.num_features(), inwards, true, how, initializer),
            decoder: Mlp::new(self.code_size, outwards, true, how, initializer),
            sigma: self.sigma.clone(),
            lambda: self.lambda,
        }
    }

    // Template: a small configuration, for `describe` and for the conformance suite ...
    fn example() -> Self {
        Self {
            hidden: vec![16],
            code_size: 4,
            sigma: 0.1.into(),
            lambda: 0.01,
            activation: Activation::default(),
            initialization: Initialization::default(),
        }
    }

    // ... and for each key an alternative that must train to other weights: the suite fails on a key that is
    // missing here, or that changes nothing.
    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let rising = Schedule::Linear { from: 0.0, to: 0.2, epochs: None };
        vec![
            ("hidden", Self { hidden: vec![], ..example() }),
            ("code_size", Self { code_size: 3, ..example() }),
            ("sigma", Self { sigma: 0.5.into(), ..example() }),
            ("sigma.linear", Self { sigma: rising.into(), ..example() }),
            ("lambda", Self { lambda: 0.1, ..example() }),
            ("activation", Self { activation: Activation::Tanh, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}
// ANCHOR_END: model_config

// Template: the conformance suite tests what is true of every model; here stands what is true of this one
// alone: closed forms, limits, the messages of `check`. A test is named by what it claims.
#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Progress};
    use burn::tensor::Device;

    const DATA: [[f32; 3]; 2] = [[0.1, 0.9, 0.4], [0.6, 0.2, 0.7]];

    fn data() -> DataSpec {
        DataSpec::new([3], Domain::UnitInterval)
    }

    fn linear(sigma: f64) -> NoisyCode {
        let config = NoisyCodeConfig { hidden: vec![], code_size: 2, sigma: sigma.into(), lambda: 0.5, ..NoisyCodeConfig::example() };
        config.init(&data(), &mut Initializer::new(1, &Device::flex()))
    }

    /// The terms with the given noise, one value per example and unit of the code.
    fn terms(model: &NoisyCode, noise: [f32; 4]) -> [f64; 2] {
        let mut noise = FixedNoise::new([noise.to_vec()]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise: &mut noise };
        let values = model.objective(&Batch::new(Tensor::from_data(DATA, &Device::flex())), ctx).values();
        [values.terms[0].value, values.terms[1].value]
    }

    #[test]
    fn without_noise_the_first_term_is_the_error_of_the_reconstruction() {
        let model = linear(0.0);
        let x = Tensor::<2>::from_data(DATA, &Device::flex());
        let expected = [(model.reconstruct(x.clone()) - x.clone()).square().sum() / 2.0, model.encode(x).square().sum() / 2.0];
        for (found, expected) in terms(&model, [9.0; 4]).into_iter().zip(expected) {
            let expected = f64::from(expected.into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    /// E || r - sigma W n ||^2 = || r ||^2 + sigma^2 || W ||_F^2. The mean over n = (+-a, +-a), a = 1, is exact,
    /// because only the second moments of the noise enter.
    #[test]
    fn noise_on_the_code_of_a_linear_decoder_is_weight_decay() {
        let sigma = 0.3;
        let model = linear(sigma);
        let signs = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]];
        let mean = signs.map(|[a, b]| terms(&model, [a, b, a, b])[0]).into_iter().sum::<f64>() / 4.0;
        let weight = model.decoder.layers()[0].weight.val();
        let squared_norm = f64::from(weight.square().sum().into_scalar::<f32>());
        let expected = terms(&linear(0.0), [0.0; 4])[0] + sigma * sigma * squared_norm;
        assert!((mean - expected).abs() < 1e-5, "{mean} is not {expected}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = NoisyCodeConfig::example;
        let path = |config: NoisyCodeConfig| config.check(&data()).unwrap_err().path;
        assert_eq!(path(NoisyCodeConfig { hidden: vec![8, 0], ..example() }), "hidden.1");
        assert_eq!(path(NoisyCodeConfig { code_size: 0, ..example() }), "code_size");
        assert_eq!(path(NoisyCodeConfig { sigma: (-0.1).into(), ..example() }), "sigma");
        assert_eq!(path(NoisyCodeConfig { lambda: f64::NAN, ..example() }), "lambda");
        let initialization = Initialization::Normal { sigma: 0.0 };
        assert_eq!(path(NoisyCodeConfig { initialization, ..example() }), "initialization.normal.sigma");
    }

    #[test]
    fn noise_without_a_penalty_is_warned_of() {
        let without = NoisyCodeConfig { lambda: 0.0, ..NoisyCodeConfig::example() };
        assert_eq!(without.warnings(&data()).len(), 1);
        assert!(NoisyCodeConfig { sigma: 0.0.into(), ..without }.warnings(&data()).is_empty());
        assert!(NoisyCodeConfig::example().warnings(&data()).is_empty());
    }

    #[test]
    fn what_is_science_is_required() {
        for json in [r#"{"hidden": [], "code_size": 2, "sigma": 0.1}"#, r#"{"hidden": [], "code_size": 2, "lambda": 0.1}"#] {
            let error = serde_json::from_str::<NoisyCodeConfig>(json).unwrap_err().to_string();
            assert!(error.contains("missing field"), "{error}");
        }
    }
}
