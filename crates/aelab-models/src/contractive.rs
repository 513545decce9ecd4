//! The contractive autoencoder: a code that moves little when the data does.
//!
//! Rifai, Vincent, Muller, Glorot & Bengio 2011, "Contractive Auto-Encoders: Explicit Invariance During Feature Extraction",
//! Eq. 6; its second order: Rifai, Mesnil, Vincent, Muller, Bengio, Dauphin & Glorot 2011, "Higher Order Contractive
//! Auto-Encoder", Eq. 5. <https://icml.cc/2011/papers/455_icmlpaper.pdf>
//!
//! ```text
//! L = 1/B sum_b [ loss(x_b, d(e(x_b))) + lambda |J(x_b)|_F^2 + gamma E_n |J(x_b) - J(x_b + n)|_F^2 ]
//! J(x) = d e / d x,    n ~ N(0, sigma^2 I)
//! ```
//!
//! The first norm is exact, for one layer and for many, or estimated by random projections of the code where that is too
//! dear; see `aelab_losses::contraction`. Encoders are dense and smooth: the slope of each unit is written as a function of
//! its activation, so gradients are exact without second derivatives. The norms are always measured, also with weight 0.

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, Scheduled, StepContext, TermSpec, Unit};
use aelab_losses::{SmoothLayer, contraction, jacobian_change, projected_contraction, projected_jacobian_change};
use aelab_nn::Activation;
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::{autoencoder_network_config, network_methods};
use crate::variational_network::check_not_negative;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Contractive`].
    pub struct ContractiveConfig {
        /// Weight of the squared norm of the encoder's Jacobian; a number or a schedule.
        pub lambda: Scheduled,
        /// How the norm is come by.
        #[serde(default)]
        pub penalty: ContractionPenalty,
        /// A penalty on how the Jacobian changes nearby; none where left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub hessian: Option<HessianPenalty>,
    }
}

/// How the squared norm of the Jacobian is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ContractionPenalty {
    /// In closed form for one layer, and layer by layer for more.
    #[default]
    Exact,
    /// As the mean of `|v^T J|^2` over random normal directions `v` of the code: right on average.
    Stochastic {
        /// Directions drawn for each example.
        num_projections: usize,
    },
}

/// The second-order penalty: `E |J(x) - J(x + n)|^2`, from sampled neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HessianPenalty {
    /// Weight of the penalty; a number or a schedule.
    pub gamma: Scheduled,
    /// Standard deviation of the noise that makes a neighbour, in data units.
    pub sigma: f64,
    /// Neighbours drawn for each example.
    pub num_samples: usize,
}

/// An autoencoder whose encoder is kept from stretching.
#[derive(Module, Debug)]
pub struct Contractive {
    network: AutoencoderNetwork,
    #[module(skip)]
    lambda: Scheduled,
    #[module(skip)]
    penalty: ContractionPenalty,
    #[module(skip)]
    hessian: Option<HessianPenalty>,
}

impl Contractive {
    /// The code, `[batch, code]`, and the layers that made it.
    fn encode_with_layers(&self, x: Tensor<2>) -> (Tensor<2>, Vec<SmoothLayer>) {
        let encoder = self.network.encoder().dense().expect("the configuration was checked to have dense layers");
        let (z, slopes) = encoder.forward_with_slopes(x);
        let layers = encoder.layers().iter().zip(slopes).map(|(layer, slope)| SmoothLayer { weight: layer.weight.val(), slope });
        (z, layers.collect())
    }
}

impl Autoencoder for Contractive {
    network_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let x = batch.x.clone();
        let (z, layers) = self.encode_with_layers(x.clone());
        let (name, value) = self.network.reconstruction_term_of_code(z.clone(), x.clone(), batch.mask.as_ref());
        let directions: Vec<Tensor<2>> = match self.penalty {
            ContractionPenalty::Exact => Vec::new(),
            ContractionPenalty::Stochastic { num_projections } => {
                (0..num_projections).map(|_| ctx.noise.normal(z.dims(), &x.device())).collect()
            }
        };
        let norm = if directions.is_empty() { contraction(&layers) } else { projected_contraction(&layers, &directions) };
        let objective = Objective::new().term(name, value, 1.0).term("contraction", norm, self.lambda.at(ctx.progress));
        let Some(HessianPenalty { gamma, sigma, num_samples }) = &self.hessian else { return objective };
        let changes = (0..*num_samples).map(|_| {
            let neighbour = x.clone() + ctx.noise.normal(x.dims(), &x.device()) * *sigma;
            let (_, others) = self.encode_with_layers(neighbour);
            if directions.is_empty() { jacobian_change(&layers, &others) } else { projected_jacobian_change(&layers, &others, &directions) }
        });
        let change = changes.reduce(|sum, change| sum + change).expect("at least one neighbour is drawn") / *num_samples as f64;
        objective.term("hessian", change, gamma.at(ctx.progress))
    }
}

impl ContractiveConfig {
    fn check_smooth(&self) -> Result<(), ConfigError> {
        let Some(widths) = self.hidden.dense() else {
            let message = "the Jacobian is formed through dense layers; take a list of widths for `hidden`, or another model";
            return Err(ConfigError::new("hidden", message));
        };
        let (inwards, _) =
            self.activation.resolve(widths.len(), self.decoder_hidden.as_ref().map_or(widths.len(), |hidden| hidden.num_layers()))?;
        let refused = |key: &str, activation: Activation| {
            let message = format!(
                "the penalty is on slopes and needs layers whose slope does not jump, but {} was chosen; take sigmoid, tanh, softplus, elu or \
                 linear",
                activation.name()
            );
            ConfigError::new(key, message)
        };
        if let Some(rough) = inwards.iter().find(|activation| !activation.has_slope()) {
            return Err(refused("activation", *rough));
        }
        if self.code_activation.has_slope() { Ok(()) } else { Err(refused("code_activation", self.code_activation)) }
    }
}

impl ModelConfig for ContractiveConfig {
    const NAME: &'static str = "contractive";
    const SUMMARY: &'static str = "a code that moves little when the data does, by a penalty on the encoder's Jacobian";
    const CITATION: &'static str = "Rifai, Vincent, Muller, Glorot & Bengio 2011, Contractive Auto-Encoders: Explicit Invariance During \
                                    Feature Extraction, Eq. 6, https://icml.cc/2011/papers/455_icmlpaper.pdf";
    type Model = Contractive;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        self.check_smooth()?;
        check_not_negative("lambda", &self.lambda, "weighs a norm")?;
        if self.penalty == (ContractionPenalty::Stochastic { num_projections: 0 }) {
            let message = "at least one direction has to be drawn; one is enough for a gradient that is right on average";
            return Err(ConfigError::new("penalty.stochastic.num_projections", message));
        }
        let Some(HessianPenalty { gamma, sigma, num_samples }) = &self.hessian else { return Ok(()) };
        check_not_negative("gamma", gamma, "weighs a norm").map_err(|error| error.within("hessian"))?;
        if !(*sigma > 0.0 && sigma.is_finite()) {
            let message = format!("the standard deviation of the noise must be a positive number, but is {sigma}");
            return Err(ConfigError::new("hessian.sigma", message));
        }
        if *num_samples == 0 {
            return Err(ConfigError::new("hessian.num_samples", "at least one neighbour has to be drawn; leave out `hessian` for none"));
        }
        Ok(())
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        let untied = (!self.tied).then(|| {
            "without `tied: true` the penalty is defeated: the encoder shrinks, the decoder grows by as much, and nothing else changes"
                .to_owned()
        });
        self.network().warnings(data).into_iter().chain(untied).collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let hessian = self.hessian.as_ref().map(|hessian| TermSpec::new("hessian", Unit::Penalty, hessian.gamma.clone()));
        let contraction = TermSpec::new("contraction", Unit::Penalty, self.lambda.clone());
        [self.network().reconstruction().term_spec(), contraction].into_iter().chain(hessian).collect()
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Contractive {
        Contractive {
            network: self.network().init(data, initializer),
            lambda: self.lambda.clone(),
            penalty: self.penalty,
            hessian: self.hessian.clone(),
        }
    }

    fn example() -> Self {
        let network = AutoencoderNetworkConfig {
            hidden: vec![].into(),
            code_activation: Activation::Sigmoid,
            activation: aelab_nn::Activations::All(Activation::Sigmoid),
            tied: true,
            ..AutoencoderNetworkConfig::example()
        };
        Self::with_network(network, 0.1.into(), ContractionPenalty::Exact, None)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        use aelab_nn::Activations::{All, Each};
        let example = Self::example;
        let deep = || Self { hidden: vec![12, 8].into(), ..example() };
        let hessian = || HessianPenalty { gamma: 0.5.into(), sigma: 0.2, num_samples: 2 };
        // Keys of the network, with smooth activations wherever the Jacobian goes.
        let shared = AutoencoderNetworkConfig::variations()
            .into_iter()
            .filter(|(key, _)| matches!(*key, "code_size" | "output_activation" | "loss" | "bias" | "initialization"));
        let shared = shared.map(|(key, network)| {
            let AutoencoderNetworkConfig { code_size, output_activation, loss, bias, initialization, .. } = network;
            (key, Self { code_size, output_activation, loss, bias, initialization, ..example() })
        });
        let own = vec![
            ("hidden", deep()),
            ("hidden", Self { hidden: vec![6].into(), code_size: 80, ..example() }),
            ("activation", Self { activation: Each(vec![Activation::Tanh, Activation::Softplus]), ..deep() }),
            ("activation", Self { activation: All(Activation::Elu), ..deep() }),
            ("code_activation", Self { code_activation: Activation::Tanh, ..example() }),
            ("code_activation", Self { code_activation: Activation::Linear, ..deep() }),
            ("decoder_hidden", Self { decoder_hidden: Some(vec![8].into()), tied: false, ..example() }),
            ("tied", Self { tied: false, ..example() }),
            ("lambda", Self { lambda: 1.0.into(), ..example() }),
            ("penalty.stochastic", Self { penalty: ContractionPenalty::Stochastic { num_projections: 2 }, ..deep() }),
            ("hessian", Self { hessian: Some(hessian()), ..example() }),
            ("hessian", Self { hessian: Some(hessian()), ..deep() }),
            ("hessian", Self { hessian: Some(hessian()), penalty: ContractionPenalty::Stochastic { num_projections: 1 }, ..deep() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Noise, Progress, Purpose, StreamNoise, stream};
    use burn::tensor::Device;

    fn data() -> DataSpec {
        DataSpec::new([5], Domain::UnitInterval)
    }

    fn terms(model: &Contractive, x: Tensor<2>, noise: &mut dyn Noise) -> Vec<(&'static str, f64)> {
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
        model.objective(&Batch::new(x), ctx).values().terms.iter().map(|term| (term.name, term.value)).collect()
    }

    /// `sum |d code / d x|^2 / batch`, by one backward pass per code unit of `encode`.
    fn norm_by_backward_passes(model: &Contractive, x: &Tensor<2>) -> f64 {
        let [batch, _] = x.dims();
        let code_size = model.encode(x.clone()).dims()[1];
        let squares = (0..code_size).map(|unit| {
            let x = x.clone().detach().require_grad();
            let gradients = model.encode(x.clone()).narrow(1, unit, 1).sum().backward();
            f64::from(x.grad(&gradients).unwrap().square().sum().into_scalar::<f32>())
        });
        squares.sum::<f64>() / batch as f64
    }

    #[test]
    fn the_penalty_is_the_squared_norm_of_the_jacobian_of_encode_whatever_the_encoder() {
        let device = Device::flex().autodiff();
        let x = StreamNoise(stream(1, Purpose::Evaluation, 0, 0)).normal([4, 5], &device);
        for (key, config) in ContractiveConfig::variations() {
            if config.penalty != ContractionPenalty::Exact {
                continue;
            }
            let model = config.init(&data(), &mut Initializer::new(1, &device));
            let expected = norm_by_backward_passes(&model, &x);
            let mut noise = StreamNoise(stream(2, Purpose::Evaluation, 0, 0));
            let (name, found) = terms(&model, x.clone(), &mut noise)[1];
            assert_eq!(name, "contraction");
            assert!((found - expected).abs() < 1e-5 * expected, "{key}: {found} is not {expected}");
        }
    }

    #[test]
    fn the_norm_is_reported_also_where_it_weighs_nothing() {
        let device = Device::flex();
        let x = Tensor::<2>::from_data([[0.1, 0.9, 0.4, 0.6, 0.2]], &device);
        let norm = |lambda: f64| {
            let config = ContractiveConfig { lambda: lambda.into(), ..ContractiveConfig::example() };
            let model = config.init(&data(), &mut Initializer::new(1, &device));
            terms(&model, x.clone(), &mut FixedNoise::new([]))[1]
        };
        assert!(norm(0.0).1 > 0.0);
        assert_eq!(norm(0.0), norm(3.0));
    }

    #[test]
    fn the_second_order_term_compares_the_jacobian_with_that_of_a_noisy_neighbour() {
        // One sigmoid unit of one weight: J = w h (1 - h).
        let device = Device::flex();
        let hessian = HessianPenalty { gamma: 1.0.into(), sigma: 0.5, num_samples: 2 };
        let config = ContractiveConfig { code_size: 1, bias: false, hessian: Some(hessian), ..ContractiveConfig::example() };
        let model = config.init(&DataSpec::new([1], Domain::Real), &mut Initializer::new(3, &device));
        let weight = f64::from(model.network.encoder().dense().unwrap().layers()[0].weight.val().into_scalar::<f32>());
        let slope = |x: f64| {
            let h = 1.0 / (1.0 + (-weight * x).exp());
            weight * h * (1.0 - h)
        };
        let expected = [1.2, -0.7].map(|noise| (slope(0.4) - slope(0.4 + 0.5 * noise)).powi(2)).iter().sum::<f64>() / 2.0;
        let mut noise = FixedNoise::new([vec![1.2], vec![-0.7]]);
        let (name, found) = terms(&model, Tensor::from_data([[0.4]], &device), &mut noise)[2];
        assert_eq!(name, "hessian");
        assert!((found - expected).abs() < 1e-4 * expected, "{found} is not {expected}");
    }

    #[test]
    fn rough_or_convolutional_encoders_are_refused_with_what_to_take() {
        let refused = |config: ContractiveConfig| {
            let error = config.check(&DataSpec::new([1, 8, 8], Domain::UnitInterval)).unwrap_err();
            (error.path, error.message)
        };
        let example = ContractiveConfig::example;
        let relu = aelab_nn::Activations::All(Activation::Relu);
        let (path, message) = refused(ContractiveConfig { hidden: vec![4].into(), activation: relu.clone(), ..example() });
        assert_eq!(path, "activation");
        assert!(message.contains("relu was chosen; take sigmoid, tanh"), "{message}");
        assert_eq!(refused(ContractiveConfig { code_activation: Activation::Selu, ..example() }).0, "code_activation");
        let (_, conv) = aelab_nn::Hidden::examples().pop().unwrap();
        assert_eq!(refused(ContractiveConfig { hidden: conv, tied: false, ..example() }).0, "hidden");
        assert_eq!(refused(ContractiveConfig { lambda: (-1.0).into(), ..example() }).0, "lambda");
        let penalty = ContractionPenalty::Stochastic { num_projections: 0 };
        assert_eq!(refused(ContractiveConfig { penalty, ..example() }).0, "penalty.stochastic.num_projections");
        let hessian = |sigma, num_samples| Some(HessianPenalty { gamma: 1.0.into(), sigma, num_samples });
        assert_eq!(refused(ContractiveConfig { hessian: hessian(0.0, 1), ..example() }).0, "hessian.sigma");
        assert_eq!(refused(ContractiveConfig { hessian: hessian(0.1, 0), ..example() }).0, "hessian.num_samples");
        // Without hidden layers the activation of hidden layers is nobody's.
        assert_eq!(ContractiveConfig { activation: relu, ..example() }.check(&data()), Ok(()));
    }

    #[test]
    fn untied_weights_are_warned_of() {
        assert!(ContractiveConfig::example().warnings(&data()).is_empty());
        assert_eq!(ContractiveConfig { tied: false, ..ContractiveConfig::example() }.warnings(&data()).len(), 1);
    }
}
