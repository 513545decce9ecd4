//! The regularised autoencoder: deterministic, kept smooth by penalties instead of noise, and generative by a density that is
//! fitted to its codes afterwards.
//!
//! Ghosh, Sajjadi, Vergari, Black & Schoelkopf 2020, "From Variational to Deterministic Autoencoders", Eq. 11 to 15 and
//! Sec. 5. <https://arxiv.org/abs/1903.12436>
//!
//! ```text
//! L = loss(x, d(e(x))) + beta 1/2 |e(x)|^2 + lambda R(d)        squared units or nats per example
//! l2:                R(d) = |theta_d|^2, the decoder's parameters
//! gradient_penalty:  R(d) = 1/2 |dd(z)/dz|_F^2 at z = e(x)
//! ```
//!
//! The squared Frobenius norm of the Jacobian `J` is estimated with one random direction `v ~ N(0, I)` per example, since
//! `E |J v|^2 = |J|_F^2` (Hutchinson 1990), and `J v` by a central difference of the decoder over `+-h v` with `h = 0.01`,
//! which is off by an order of `h^2`. Its gradient is that of this expression, on the tape, for decoders of any kind.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initializer, ModelConfig, Noise, Objective, Scheduled, StepContext, Stream,
    StreamNoise, TermSpec, Unit,
};
use aelab_losses::squared_error;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::{autoencoder_network_config, network_config_methods, network_methods};
use crate::variational_network::check_not_negative;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig, CodeDensity, GaussianMixture};

/// Half the step of the difference that measures the decoder's slope, in units of the code.
const STEP: f64 = 0.01;
/// Codes that the density is fitted to at most; where there are more examples, they are taken at even distances.
const MAX_CODES: usize = 10_000;
/// Examples that are encoded at a time.
const CHUNK: usize = 500;

autoencoder_network_config! {
    /// Hyperparameters of [`Rae`].
    pub struct RaeConfig {
        /// Weight of half the squared norm of the code; a number or a schedule.
        pub beta: Scheduled,
        /// What keeps the decoder smooth.
        pub regularizer: DecoderRegularizer,
        /// What is fitted to the codes after training, to draw new ones from.
        #[serde(default)]
        pub density: DensityConfig,
    }
}

/// What keeps the decoder smooth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DecoderRegularizer {
    /// Nothing.
    None,
    /// The squared norm of the decoder's parameters.
    L2 {
        /// Weight; a number or a schedule.
        lambda: Scheduled,
    },
    /// Half the squared Frobenius norm of the decoder's Jacobian at the codes.
    GradientPenalty {
        /// Weight; a number or a schedule.
        lambda: Scheduled,
    },
}

impl DecoderRegularizer {
    fn check(&self) -> Result<(), ConfigError> {
        let (name, lambda) = match self {
            DecoderRegularizer::None => return Ok(()),
            DecoderRegularizer::L2 { lambda } => ("l2", lambda),
            DecoderRegularizer::GradientPenalty { lambda } => ("gradient_penalty", lambda),
        };
        check_not_negative("lambda", lambda, "weighs a penalty").map_err(|error| error.within(name))
    }

    fn term_spec(&self) -> Option<TermSpec> {
        match self {
            DecoderRegularizer::None => None,
            DecoderRegularizer::L2 { lambda } => Some(TermSpec::new("decoder_norm", Unit::Penalty, lambda.clone())),
            DecoderRegularizer::GradientPenalty { lambda } => Some(TermSpec::new("decoder_slope", Unit::Penalty, lambda.clone())),
        }
    }
}

/// The density that is fitted to the codes of the training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DensityConfig {
    /// One Gaussian with the codes' mean and covariance.
    Gaussian {},
    /// A mixture of Gaussians with full covariances.
    GaussianMixture {
        /// Components of the mixture.
        #[serde(default = "ten")]
        components: usize,
    },
}

fn ten() -> usize {
    10
}

impl Default for DensityConfig {
    fn default() -> Self {
        DensityConfig::GaussianMixture { components: ten() }
    }
}

impl DensityConfig {
    fn num_components(self) -> usize {
        match self {
            DensityConfig::Gaussian {} => 1,
            DensityConfig::GaussianMixture { components } => components,
        }
    }
}

/// A regularised autoencoder and the density of its codes.
#[derive(Module, Debug)]
pub struct Rae {
    network: AutoencoderNetwork,
    density: CodeDensity,
    #[module(skip)]
    beta: Scheduled,
    #[module(skip)]
    regularizer: DecoderRegularizer,
}

impl Rae {
    /// `1/2 |J v|^2` for a direction per example, a mean over the batch; `z`: `[batch, code]`, the result: `[1]`.
    fn decoder_slope(&self, z: Tensor<2>, noise: &mut dyn Noise) -> Tensor<1> {
        let step = noise.normal(z.dims(), &z.device()) * STEP;
        let (ahead, behind) = (self.network.decode(z.clone() + step.clone()), self.network.decode(z - step));
        squared_error(ahead, behind, None) * (0.5 / (2.0 * STEP).powi(2))
    }
}

impl Autoencoder for Rae {
    network_methods!();

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(self.density.sample(num, noise, device))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let z = self.network.encode(batch.x.clone());
        let (name, value) = self.network.reconstruction_term_of_code(z.clone(), batch.x.clone(), batch.mask.as_ref());
        let norm = squared_error(z.clone(), z.zeros_like(), None) * 0.5;
        let objective = Objective::new().term(name, value, 1.0).term("code_norm", norm, self.beta.at(ctx.progress));
        match &self.regularizer {
            DecoderRegularizer::None => objective,
            DecoderRegularizer::L2 { lambda } => {
                objective.term("decoder_norm", self.network.decoder_squared_norm(), lambda.at(ctx.progress))
            }
            DecoderRegularizer::GradientPenalty { lambda } => {
                objective.term("decoder_slope", self.decoder_slope(z, ctx.noise), lambda.at(ctx.progress))
            }
        }
    }

    fn after_training(self, train: &dyn Examples, stream: &mut Stream) -> Self {
        if train.is_empty() {
            return self;
        }
        let encoder = self.valid();
        let device = self.density.device().inner();
        let num = train.len().min(MAX_CODES);
        let indices: Vec<usize> = (0..num).map(|index| index * train.len() / num).collect();
        let num_features = train.spec().num_features();
        let mut codes: Vec<f64> = Vec::new();
        for chunk in indices.chunks(CHUNK) {
            let mut values = Vec::with_capacity(chunk.len() * num_features);
            train.gather(chunk, stream, &mut values);
            let x = Tensor::<2>::from_data(TensorData::new(values, [chunk.len(), num_features]), &device);
            codes.extend(encoder.encode(x).into_data().convert::<f64>().try_to_vec::<f64>().unwrap_or_default());
        }
        let draws = StreamNoise(stream.clone()).uniform([self.density.num_components(), 1], &device);
        let draws: Vec<f32> = draws.into_data().try_to_vec().unwrap_or_default();
        let (mixture, _) = GaussianMixture::fit(&codes, codes.len() / num, &draws);
        Self { density: self.density.holding(&mixture), ..self }
    }
}

impl ModelConfig for RaeConfig {
    const NAME: &'static str = "rae";
    const SUMMARY: &'static str = "a deterministic autoencoder with a smooth decoder, and a density fitted to its codes afterwards";
    const CITATION: &'static str = "Ghosh, Sajjadi, Vergari, Black & Schoelkopf 2020, From Variational to Deterministic Autoencoders, Eq. 11, https://arxiv.org/abs/1903.12436";
    type Model = Rae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        check_not_negative("beta", &self.beta, "weighs a penalty")?;
        self.regularizer.check().map_err(|error| error.within("regularizer"))?;
        if self.density.num_components() == 0 {
            let message = "a mixture needs at least one component; take `density: {gaussian: {}}` for one";
            return Err(ConfigError::new("density.gaussian_mixture.components", message));
        }
        Ok(())
    }

    network_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let norm = TermSpec::new("code_norm", Unit::Penalty, self.beta.clone());
        [self.network().reconstruction().term_spec(), norm].into_iter().chain(self.regularizer.term_spec()).collect()
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Rae {
        Rae {
            network: self.network().init(data, initializer),
            density: CodeDensity::new(self.density.num_components(), self.code_size, initializer),
            beta: self.beta.clone(),
            regularizer: self.regularizer.clone(),
        }
    }

    fn example() -> Self {
        let regularizer = DecoderRegularizer::L2 { lambda: 1e-3.into() };
        Self::with_network(AutoencoderNetworkConfig::example(), 0.1.into(), regularizer, DensityConfig::default())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = AutoencoderNetworkConfig::variations().into_iter();
        let shared =
            shared.map(|(key, network)| (key, Self::with_network(network, 0.1.into(), example().regularizer, DensityConfig::default())));
        let slope = || DecoderRegularizer::GradientPenalty { lambda: 0.1.into() };
        let smooth = AutoencoderNetworkConfig {
            activation: aelab_nn::Activations::All(aelab_nn::Activation::Tanh),
            tied: true,
            ..AutoencoderNetworkConfig::example()
        };
        let own = vec![
            ("beta", Self { beta: 1.0.into(), ..example() }),
            ("regularizer", Self { regularizer: DecoderRegularizer::None, ..example() }),
            ("regularizer.l2.lambda", Self { regularizer: DecoderRegularizer::L2 { lambda: 0.1.into() }, ..example() }),
            ("regularizer.gradient_penalty", Self { regularizer: slope(), ..example() }),
            ("regularizer.gradient_penalty", Self::with_network(smooth, 0.1.into(), slope(), DensityConfig::default())),
            ("density.gaussian", Self { density: DensityConfig::Gaussian {}, ..example() }),
            ("density.gaussian_mixture.components", Self { density: DensityConfig::GaussianMixture { components: 3 }, ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversarial_training::tests::at_first_step;
    use aelab_core::{BuildContext, Domain, Optimizer, Purpose, TraineeState, stream};
    use aelab_nn::{Activation, Activations};
    use burn::optim::{AdamConfig, ModuleOptimizer};

    fn data() -> DataSpec {
        DataSpec::new([4], Domain::UnitInterval)
    }

    fn value(model: &Rae, name: &str, num: usize) -> f64 {
        let batch = Batch::new(Tensor::ones([num, 4], &Device::flex()) * 0.3);
        let terms = at_first_step(0.0, |ctx| model.objective(&batch, ctx).values());
        terms.terms.iter().find(|term| term.name == name).unwrap().value
    }

    /// The decoder's weight, `[code, feature]`, of a network without hidden layers.
    fn decoder_weight(model: &Rae) -> Vec<f64> {
        let identity = Tensor::<2>::eye(2, &Device::flex());
        let zero = model.decode(Tensor::zeros([2, 2], &Device::flex()));
        (model.decode(identity) - zero).into_data().convert::<f64>().try_to_vec().unwrap()
    }

    #[test]
    fn the_slope_of_a_linear_decoder_is_its_squared_weights() {
        let network = AutoencoderNetworkConfig { hidden: vec![].into(), code_size: 2, ..AutoencoderNetworkConfig::example() };
        let regularizer = DecoderRegularizer::GradientPenalty { lambda: 1.0.into() };
        let config = RaeConfig::with_network(network, 0.1.into(), regularizer, DensityConfig::default());
        let model = config.init(&data(), &mut Initializer::new(1, &Device::flex()));
        let exact = 0.5 * decoder_weight(&model).iter().map(|weight| weight * weight).sum::<f64>();
        // A mean over 20,000 directions, of a standard error below 1 %.
        let found = value(&model, "decoder_slope", 20_000);
        assert!((found / exact - 1.0).abs() < 0.03, "{found} is not {exact}");
    }

    #[test]
    fn the_slope_of_a_smooth_decoder_is_that_of_its_jacobian() {
        let network = AutoencoderNetworkConfig {
            hidden: vec![5].into(),
            code_size: 2,
            activation: Activations::All(Activation::Tanh),
            ..AutoencoderNetworkConfig::example()
        };
        let regularizer = DecoderRegularizer::GradientPenalty { lambda: 1.0.into() };
        let config = RaeConfig::with_network(network, 0.1.into(), regularizer, DensityConfig::default());
        let device = Device::flex().autodiff();
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        let z = model.encode(Tensor::ones([1, 4], &device) * 0.3);
        // One backward pass per feature.
        let mut exact = 0.0;
        for feature in 0..4 {
            let z = z.clone().detach().require_grad();
            let gradients = model.decode(z.clone()).narrow(1, feature, 1).sum().backward();
            exact += 0.5 * f64::from(z.grad(&gradients).unwrap().square().sum().into_scalar::<f32>());
        }
        let found = value(&model.valid(), "decoder_slope", 20_000);
        assert!((found / exact - 1.0).abs() < 0.03, "{found} is not {exact}");
    }

    #[test]
    fn the_norm_of_the_decoder_counts_shared_weights_and_no_biases_of_the_encoder() {
        let network = AutoencoderNetworkConfig {
            hidden: vec![].into(),
            code_size: 2,
            initialization: aelab_core::Initialization::Torch,
            ..AutoencoderNetworkConfig::example()
        };
        for tied in [false, true] {
            let config = RaeConfig::with_network(
                AutoencoderNetworkConfig { tied, ..network.clone() },
                0.1.into(),
                DecoderRegularizer::L2 { lambda: 1.0.into() },
                DensityConfig::default(),
            );
            let model = config.init(&data(), &mut Initializer::new(1, &Device::flex()));
            let bias = model.decode(Tensor::zeros([1, 2], &Device::flex())).square().sum().into_scalar::<f32>();
            let exact = decoder_weight(&model).iter().map(|weight| weight * weight).sum::<f64>() + f64::from(bias);
            let found = value(&model, "decoder_norm", 1);
            assert!((found - exact).abs() < 1e-5, "tied {tied}: {found} is not {exact}");
        }
    }

    /// Examples in two clusters.
    struct Clusters(DataSpec);

    impl Examples for Clusters {
        fn spec(&self) -> &DataSpec {
            &self.0
        }

        fn len(&self) -> usize {
            400
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            let jitter = |index: usize, feature: usize| ((index * 31 + feature * 17) % 101) as f32 / 1010.0;
            for &index in indices {
                out.extend((0..4).map(|feature| (if index.is_multiple_of(2) { 0.1 } else { 0.8 }) + jitter(index, feature)));
            }
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }

    #[test]
    fn the_density_is_fitted_at_the_end_and_is_a_part_of_the_state() {
        let config = RaeConfig { code_size: 2, density: DensityConfig::GaussianMixture { components: 2 }, ..RaeConfig::example() };
        let device = Device::flex().autodiff();
        let optimizer = || Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None);
        let data = data();
        let new = |seed| config.trainee(&BuildContext { data: &data, seed, device: &device, optimizer: &optimizer });
        let draws = |trainee: &dyn aelab_core::Trainee| -> Vec<f32> {
            let mut noise = StreamNoise(stream(1, Purpose::Evaluation, 0, 0));
            let model = trainee.snapshot();
            let codes = model.sample_prior(200, &mut noise, &Device::flex()).unwrap();
            model.decode(codes).into_data().try_to_vec().unwrap()
        };
        let mut trainee = new(1);
        let clusters = Clusters(data.clone());
        let mut x = Vec::new();
        clusters.gather(&(0..64).collect::<Vec<_>>(), &mut stream(1, Purpose::Evaluation, 0, 0), &mut x);
        let batch = Batch::new(Tensor::from_data(TensorData::new(x, [64, 4]), &device));
        for _ in 0..300 {
            at_first_step(0.01, |ctx| trainee.train_step(&batch, ctx));
        }
        let before = draws(&*trainee);
        trainee.finish(&clusters).unwrap();
        let after = draws(&*trainee);
        assert_ne!(before, after);
        // Draws are decoded to the clusters and not between them.
        let near = |values: &[f32]| values.chunks(4).filter(|row| (0.05..0.25).contains(&row[0]) || (0.75..0.95).contains(&row[0])).count();
        assert!(near(&after) > 180, "{} of 200", near(&after));
        let mut second = new(2);
        let state: TraineeState = trainee.state().unwrap();
        second.restore(state).unwrap();
        assert_eq!(draws(&*second), after);
        let mut again = new(1);
        again.restore(trainee.state().unwrap()).unwrap();
        again.finish(&clusters).unwrap();
        assert_eq!(draws(&*again), after, "fitting again gives another density");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = RaeConfig::example;
        let path = |config: RaeConfig| config.check(&data()).unwrap_err().path;
        assert_eq!(path(RaeConfig { beta: (-1.0).into(), ..example() }), "beta");
        let regularizer = DecoderRegularizer::GradientPenalty { lambda: (-1.0).into() };
        assert_eq!(path(RaeConfig { regularizer, ..example() }), "regularizer.gradient_penalty.lambda");
        let density = DensityConfig::GaussianMixture { components: 0 };
        assert_eq!(path(RaeConfig { density, ..example() }), "density.gaussian_mixture.components");
    }
}
