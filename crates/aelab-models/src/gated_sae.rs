//! The gated sparse autoencoder: one half of the encoder says which directions are there, the other how much of each.
//!
//! Rajamanoharan, Conmy, Smith, Lieberum, Varma, Kramar, Shah & Nanda 2024, "Improving Dictionary Learning with Gated Sparse
//! Autoencoders", Eqs. 6 to 8. <https://arxiv.org/abs/2404.16014>
//!
//! ```text
//! p = (x - b) W + c_gate,   z = 1[p > 0] ReLU((x - b) W exp(r) + c_mag),   reconstruction = z A + b,   |A_j| = 1
//! L = 1/B sum_b |x_b - r_b|^2 + lambda 1/B sum_bj ReLU(p_bj) + 1/B sum_b |x_b - ReLU(p_b) A' - b'|^2
//! ```
//!
//! `A'` and `b'` are `A` and `b` held fixed as a decoder. The L1 norm weighs on the gate alone, so magnitudes do not shrink; the
//! third term, `auxiliary`, is what trains the gate, through which the first has no gradient.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initializer, ModelConfig, Objective, Scheduled, StepContext, Stream, TermSpec,
    Unit,
};
use aelab_losses::{l1_norm, squared_error};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OutputActivation;
use crate::code_statistics::with_code_statistics;
use crate::dictionary::{Dictionary, InitialBias};
use crate::network::check_code_size;
use crate::variational_network::check_not_negative;

/// Hyperparameters of [`GatedSae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_latent_dim)]
pub struct GatedSaeConfig {
    /// Latents, and as many atoms.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Weight of the L1 norm of the gates; a number or a schedule.
    pub lambda: Scheduled,
    /// Where the bias of the decoder, which the encoder subtracts, starts.
    #[serde(default)]
    pub initial_bias: InitialBias,
}

/// A sparse autoencoder whose latents are gated.
#[derive(Module, Debug)]
pub struct GatedSae {
    /// `W`, `[feature, code]`, of the gates and, scaled, of the magnitudes.
    encoder: Param<Tensor<2>>,
    /// `c_gate`, `[code]`.
    gate_bias: Param<Tensor<1>>,
    /// `r`, `[code]`: the logarithm of what the magnitudes' weights are longer by.
    log_scale: Param<Tensor<1>>,
    /// `c_mag`, `[code]`.
    magnitude_bias: Param<Tensor<1>>,
    dictionary: Dictionary,
    #[module(skip)]
    lambda: Scheduled,
    #[module(skip)]
    initial_bias: InitialBias,
}

impl GatedSae {
    /// What the gates are decided by, and the gated code, each `[batch, code]`.
    fn gates_and_code(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let directions = (x - self.dictionary.bias()).matmul(self.encoder.val());
        let gates = directions.clone() + self.gate_bias.val().unsqueeze::<2>();
        let magnitudes = directions * self.log_scale.val().exp().unsqueeze::<2>() + self.magnitude_bias.val().unsqueeze::<2>();
        let closed = gates.clone().lower_equal_elem(0.0);
        (gates, activation::relu(magnitudes).mask_fill(closed, 0.0))
    }
}

impl Autoencoder for GatedSae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.gates_and_code(x).1
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.dictionary.decode(z)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let (x, mask) = (batch.x.clone(), batch.mask.as_ref());
        let (gates, z) = self.gates_and_code(x.clone());
        let reconstruction = self.decode(z.clone());
        let open = activation::relu(gates);
        let by_gates = open.clone().matmul(self.dictionary.atoms().detach()) + self.dictionary.bias().detach();
        let objective = Objective::new()
            .term("squared_error", squared_error(x.clone(), reconstruction.clone(), mask), 1.0)
            .term("sparsity", l1_norm(open), self.lambda.at(ctx.progress))
            .term("auxiliary", squared_error(x.clone(), by_gates, mask), 1.0);
        with_code_statistics(objective, &z, 0.0, &x, &reconstruction, OutputActivation::Linear)
    }

    fn before_training(self, train: &dyn Examples, stream: &mut Stream) -> Self {
        Self { dictionary: self.dictionary.started_from(self.initial_bias, train, stream), ..self }
    }

    fn after_step(self, _carried: &[Tensor<2>], _ctx: &mut StepContext<'_>) -> Self {
        Self { dictionary: self.dictionary.renormalized(), ..self }
    }
}

impl ModelConfig for GatedSaeConfig {
    const NAME: &'static str = "gated_sae";
    const SUMMARY: &'static str = "data as a sum of few out of many directions, whether and how much decided apart";
    const CITATION: &'static str = "Rajamanoharan et al. 2024, Improving Dictionary Learning with Gated Sparse Autoencoders, Eq. 8, \
                                    https://arxiv.org/abs/2404.16014";
    const SURROGATE_GRADIENT: Option<&'static str> = Some("the auxiliary term takes the decoder as fixed");
    type Model = GatedSae;

    fn check(&self, _data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        check_not_negative("lambda", &self.lambda, "weighs a norm")
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0),
            TermSpec::new("sparsity", Unit::Penalty, self.lambda.clone()),
            TermSpec::new("auxiliary", Unit::SquaredUnits, 1.0),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> GatedSae {
        let dictionary = Dictionary::new(self.code_size, data.num_features(), initializer);
        GatedSae {
            encoder: dictionary.transposed(initializer),
            gate_bias: initializer.constant([self.code_size], 0.0),
            log_scale: initializer.constant([self.code_size], 0.0),
            magnitude_bias: initializer.constant([self.code_size], 0.0),
            dictionary,
            lambda: self.lambda.clone(),
            initial_bias: self.initial_bias,
        }
    }

    fn example() -> Self {
        Self { code_size: 24, lambda: 0.1.into(), initial_bias: InitialBias::GeometricMedian }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        vec![
            ("code_size", Self { code_size: 80, ..Self::example() }),
            ("lambda", Self { lambda: 1.0.into(), ..Self::example() }),
            ("initial_bias", Self { initial_bias: InitialBias::Mean, ..Self::example() }),
            ("initial_bias", Self { initial_bias: InitialBias::Zero, ..Self::example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::tests::{learned_atoms, mean_max_cosine, random_atoms, superpositions, train};
    use aelab_core::{Domain, FixedNoise, Optimizer, Progress, SingleOptimizer, Trainee};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::{Device, TensorData};

    const FEATURES: usize = 2;
    const CODE: usize = 3;

    fn objective(model: &GatedSae, x: &Tensor<2>) -> Objective {
        let noise = &mut FixedNoise::new([]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
        model.objective(&Batch::new(x.clone()), ctx)
    }

    /// Everything that the encoder has, as plain numbers.
    #[derive(Clone)]
    struct Plain {
        /// Weights, gate biases, log scales and magnitude biases behind one another.
        encoder: Vec<f64>,
        atoms: Vec<f64>,
        bias: [f64; FEATURES],
    }

    impl Plain {
        /// The three terms of one example, by the equations.
        fn terms(&self, x: [f64; FEATURES]) -> [f64; 3] {
            let (weight, rest) = self.encoder.split_at(FEATURES * CODE);
            let (mut reconstruction, mut by_gates, mut l1) = (self.bias, self.bias, 0.0);
            for unit in 0..CODE {
                let direction: f64 = (0..FEATURES).map(|feature| (x[feature] - self.bias[feature]) * weight[feature * CODE + unit]).sum();
                let gate = direction + rest[unit];
                let magnitude = direction * rest[CODE + unit].exp() + rest[2 * CODE + unit];
                let z = if gate > 0.0 { magnitude.max(0.0) } else { 0.0 };
                for feature in 0..FEATURES {
                    reconstruction[feature] += z * self.atoms[unit * FEATURES + feature];
                    by_gates[feature] += gate.max(0.0) * self.atoms[unit * FEATURES + feature];
                }
                l1 += gate.max(0.0);
            }
            let distance = |r: [f64; FEATURES]| (0..FEATURES).map(|feature| (x[feature] - r[feature]).powi(2)).sum::<f64>();
            [distance(reconstruction), l1, distance(by_gates)]
        }
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data().convert::<f64>().try_to_vec().unwrap()
    }

    fn constant<const D: usize>(param: Param<Tensor<D>>, values: &[f32]) -> Param<Tensor<D>> {
        param.map(|tensor| Tensor::from_data(TensorData::new(values.to_vec(), tensor.dims()), &tensor.device()).require_grad())
    }

    #[test]
    fn values_and_gradients_are_those_of_the_papers_equations_with_the_decoder_of_the_auxiliary_term_fixed() {
        let device = Device::flex().autodiff();
        let config = GatedSaeConfig { code_size: CODE, lambda: 0.3.into(), ..GatedSaeConfig::example() };
        let model = config.init(&DataSpec::new([FEATURES], Domain::Real), &mut Initializer::new(2, &device));
        let model = GatedSae {
            gate_bias: constant(model.gate_bias, &[0.1, 0.2, -0.05]),
            log_scale: constant(model.log_scale, &[0.3, -0.2, 0.1]),
            magnitude_bias: constant(model.magnitude_bias, &[0.05, 0.3, 0.4]),
            ..model
        };
        let x = [0.8, -0.3];
        let encoder = [
            numbers(model.encoder.val()),
            numbers(model.gate_bias.val()),
            numbers(model.log_scale.val()),
            numbers(model.magnitude_bias.val()),
        ];
        let plain = Plain { encoder: encoder.concat(), atoms: numbers(model.dictionary.atoms()), bias: [0.0; FEATURES] };
        let batch = Tensor::<2>::from_data([[0.8f32, -0.3]], &device);
        let objective = objective(&model, &batch);
        let expected = plain.terms(x);
        assert!(expected.iter().all(|value| *value > 1e-3), "{expected:?}");
        for (term, expected) in objective.terms().iter().zip(expected) {
            let found = f64::from(term.value.clone().into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-5, "{}: {found} is not {expected}", term.name);
        }

        // By the encoder: central differences of the whole, the decoder being no part of it.
        let loss = |plain: &Plain| {
            let [error, l1, auxiliary] = plain.terms(x);
            error + 0.3 * l1 + auxiliary
        };
        let gradients = objective.loss().backward();
        let taped = [
            numbers(model.encoder.val().grad(&gradients).unwrap()),
            numbers(model.gate_bias.val().grad(&gradients).unwrap()),
            numbers(model.log_scale.val().grad(&gradients).unwrap()),
            numbers(model.magnitude_bias.val().grad(&gradients).unwrap()),
        ]
        .concat();
        for (index, taped) in taped.iter().enumerate() {
            let at = |by: f64| {
                let mut plain = plain.clone();
                plain.encoder[index] += by;
                loss(&plain)
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((taped - slope).abs() < 1e-4, "component {index} of the encoder: {taped} is not {slope}");
        }

        // The decoder hears of the first term alone.
        let by_error = self::objective(&model, &batch).terms()[0].value.clone().backward();
        let z = model.encode(batch);
        let [whole, of_error] = [&gradients, &by_error].map(|gradients| {
            let mut grads = AtomGradients { gradients, found: Vec::new() };
            model.dictionary.visit(&mut grads);
            grads.found[0].clone()
        });
        assert_eq!(whole, of_error);
        assert!(whole.iter().any(|slope| *slope != 0.0) && z.max().into_scalar::<f32>() > 0.0);
    }

    struct AtomGradients<'a> {
        gradients: &'a burn::tensor::Gradients,
        found: Vec<Vec<f64>>,
    }

    impl burn::module::ModuleVisitor for AtomGradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.push(numbers(param.val().grad(self.gradients).unwrap()));
        }
    }

    #[test]
    fn the_atoms_of_sparse_superpositions_are_found_again() {
        let device = Device::flex().autodiff();
        let atoms = random_atoms(24, 16, 3);
        let x = superpositions(&atoms, 3, 4096, 0.5, 4);
        let config = GatedSaeConfig { code_size: 32, lambda: 0.8.into(), initial_bias: InitialBias::GeometricMedian };
        let model = config.init(&DataSpec::new([16], Domain::Real), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        train(&mut trainee, &x, 256, 3000, 0.01, &device);
        let trained = trainee.snapshot();
        let cosine = mean_max_cosine(learned_atoms(|z| trained.decode(z), 32, &Device::flex()), &atoms);
        assert!(cosine > 0.9, "mean largest cosine {cosine}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let data = DataSpec::new([4], Domain::Real);
        let path = |config: GatedSaeConfig| config.check(&data).unwrap_err().path;
        assert_eq!(path(GatedSaeConfig { code_size: 0, ..GatedSaeConfig::example() }), "code_size");
        assert_eq!(path(GatedSaeConfig { lambda: (-1.0).into(), ..GatedSaeConfig::example() }), "lambda");
    }
}
