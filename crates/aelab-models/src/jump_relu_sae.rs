//! The JumpReLU sparse autoencoder: each latent has a threshold of its own, learned against the number of active ones.
//!
//! Rajamanoharan, Lieberum, Sonnerat, Conmy, Varma, Kramar & Nanda 2024, "Jumping Ahead: Improving Reconstruction Fidelity with
//! JumpReLU Sparse Autoencoders", Eqs. 4 and 9 to 12. <https://arxiv.org/abs/2407.14435>
//!
//! ```text
//! p = (x - b) W + c,   z = p H(p - theta),   reconstruction = z A + b,   |A_j| = 1,   theta = exp(t) > 0
//! L = 1/B sum_b |x_b - r_b|^2 + lambda 1/B sum_bj H(p_bj - theta_j)
//! ```
//!
//! Neither step has a slope by its threshold. With `K(u) = 1` for `|u| < 1/2` and bandwidth `epsilon` the gradient is that of
//! the loss expected over the data, estimated near the threshold:
//!
//! ```text
//! d z / d theta := - theta / epsilon K((p - theta) / epsilon)
//! d H / d theta := -     1 / epsilon K((p - theta) / epsilon)
//! ```

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initializer, ModelConfig, Objective, Scheduled, StepContext, Stream, TermSpec,
    Unit,
};
use aelab_losses::squared_error;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OutputActivation;
use crate::code_statistics::with_code_statistics;
use crate::dictionary::{Dictionary, InitialBias};
use crate::network::check_code_size;
use crate::variational_network::check_not_negative;

/// Hyperparameters of [`JumpReluSae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_latent_dim)]
pub struct JumpReluSaeConfig {
    /// Latents, and as many atoms.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Weight of the number of active latents; a number or a schedule.
    pub lambda: Scheduled,
    /// Where every threshold starts, in units of the code; 0.001 in the paper, for data of mean square 1.
    pub initial_threshold: f64,
    /// Width of the kernel, in units of the code, within which a threshold feels an activation; 0.001 in the paper.
    pub bandwidth: f64,
    /// Where the bias of the decoder, which the encoder subtracts, starts.
    #[serde(default)]
    pub initial_bias: InitialBias,
}

/// A sparse autoencoder with learned thresholds.
#[derive(Module, Debug)]
pub struct JumpReluSae {
    /// `W`, `[feature, code]`.
    encoder: Param<Tensor<2>>,
    /// `c`, `[code]`.
    encoder_bias: Param<Tensor<1>>,
    /// `t`, `[code]`.
    log_threshold: Param<Tensor<1>>,
    dictionary: Dictionary,
    #[module(skip)]
    lambda: Scheduled,
    #[module(skip)]
    bandwidth: f64,
    #[module(skip)]
    initial_bias: InitialBias,
}

impl JumpReluSae {
    /// The code, and 1 where a latent is active; each `[batch, code]`, with the gradients of the paper.
    fn jump(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let before = (x - self.dictionary.bias()).matmul(self.encoder.val()) + self.encoder_bias.val().unsqueeze::<2>();
        let threshold = self.log_threshold.val().exp().unsqueeze::<2>();
        let above = before.clone().detach() - threshold.clone().detach();
        let silent = above.clone().lower_equal_elem(0.0);
        let far = above.abs().greater_equal_elem(self.bandwidth / 2.0);
        // 1 / epsilon within the kernel and 0 outside it.
        let kernel = before.clone().detach().ones_like().mask_fill(far, 0.0) / self.bandwidth;
        // A value of 0 whose slope by the threshold is minus the kernel.
        let slope = kernel * (threshold.clone().detach() - threshold.clone());
        let active = before.clone().detach().ones_like().mask_fill(silent.clone(), 0.0) + slope.clone();
        (before.mask_fill(silent, 0.0) + slope * threshold.detach(), active)
    }
}

impl Autoencoder for JumpReluSae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.jump(x).0
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.dictionary.decode(z)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let x = batch.x.clone();
        let (z, active) = self.jump(x.clone());
        let reconstruction = self.decode(z.clone());
        let objective = Objective::new()
            .term("squared_error", squared_error(x.clone(), reconstruction.clone(), batch.mask.as_ref()), 1.0)
            .term("sparsity", active.sum_dim(1).mean(), self.lambda.at(ctx.progress));
        with_code_statistics(objective, &z, 0.0, &x, &reconstruction, OutputActivation::Linear)
    }

    fn before_training(self, train: &dyn Examples, stream: &mut Stream) -> Self {
        Self { dictionary: self.dictionary.started_from(self.initial_bias, train, stream), ..self }
    }

    fn after_step(self, _carried: &[Tensor<2>], _ctx: &mut StepContext<'_>) -> Self {
        Self { dictionary: self.dictionary.renormalized(), ..self }
    }
}

impl ModelConfig for JumpReluSaeConfig {
    const NAME: &'static str = "jump_relu_sae";
    const SUMMARY: &'static str = "data as a sum of few out of many directions, each above a threshold that is learned";
    const CITATION: &'static str = "Rajamanoharan et al. 2024, Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse \
                                    Autoencoders, Eqs. 9 to 12, https://arxiv.org/abs/2407.14435";
    const SURROGATE_GRADIENT: Option<&'static str> =
        Some("a step has no slope by its threshold; a kernel estimates that of the expected loss");
    type Model = JumpReluSae;

    fn check(&self, _data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        check_not_negative("lambda", &self.lambda, "weighs a count")?;
        for (key, value) in [("initial_threshold", self.initial_threshold), ("bandwidth", self.bandwidth)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(ConfigError::new(
                    key,
                    format!("`{key}` is a length in units of the code and must be positive, but is {value}"),
                ));
            }
        }
        Ok(())
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0),
            TermSpec::new("sparsity", Unit::Penalty, self.lambda.clone()),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> JumpReluSae {
        let dictionary = Dictionary::new(self.code_size, data.num_features(), initializer);
        JumpReluSae {
            encoder: dictionary.transposed(initializer),
            encoder_bias: initializer.constant([self.code_size], 0.0),
            log_threshold: initializer.constant([self.code_size], self.initial_threshold.ln() as f32),
            dictionary,
            lambda: self.lambda.clone(),
            bandwidth: self.bandwidth,
            initial_bias: self.initial_bias,
        }
    }

    fn example() -> Self {
        Self { code_size: 24, lambda: 0.05.into(), initial_threshold: 0.1, bandwidth: 0.2, initial_bias: InitialBias::GeometricMedian }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        vec![
            ("code_size", Self { code_size: 80, ..Self::example() }),
            ("lambda", Self { lambda: 0.5.into(), ..Self::example() }),
            ("initial_threshold", Self { initial_threshold: 0.2, ..Self::example() }),
            ("bandwidth", Self { bandwidth: 0.1, ..Self::example() }),
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
    use burn::tensor::Device;

    /// One feature, one latent; the weight and the atom are 1 or -1, and -1 times -1 is 1 again.
    fn model(threshold: f64, device: &Device) -> JumpReluSae {
        let config = JumpReluSaeConfig {
            code_size: 1,
            lambda: 0.7.into(),
            initial_threshold: threshold,
            bandwidth: 0.2,
            initial_bias: InitialBias::Zero,
        };
        let model = config.init(&DataSpec::new([1], Domain::Real), &mut Initializer::new(1, device));
        let one = |weight: Tensor<2>| weight.ones_like().detach().set_require_grad(device.is_autodiff());
        JumpReluSae { encoder: model.encoder.map(one), ..model }
    }

    #[test]
    fn a_latent_keeps_its_value_above_the_threshold_and_is_0_below_it() {
        let device = Device::flex();
        let z: Vec<f32> =
            model(0.5, &device).encode(Tensor::from_data([[-1.0], [0.45], [0.55], [2.0]], &device)).into_data().try_to_vec().unwrap();
        assert_eq!(z, [0.0, 0.0, 0.55, 2.0]);
    }

    /// The gradients of the loss by the threshold and by the weight, from the formulas of the paper, for activations below, just
    /// below, just above and far above a threshold of 0.5 with a kernel 0.2 wide.
    #[test]
    fn the_gradients_are_those_of_the_papers_pseudo_derivatives() {
        let device = Device::flex().autodiff();
        let (theta, epsilon, lambda) = (0.5f64, 0.2f64, 0.7f64);
        let model = model(theta, &device);
        let atom = f64::from(model.dictionary.atoms().into_scalar::<f32>());
        for p in [0.2f64, 0.45, 0.55, 0.9] {
            let x = Tensor::<2>::from_data([[p as f32]], &device);
            let noise = &mut FixedNoise::new([]);
            let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
            let gradients = model.objective(&Batch::new(x), ctx).loss().backward();
            let z = if p > theta { p } else { 0.0 };
            let by_z = -2.0 * (p - z * atom) * atom;
            let kernel = if (p - theta).abs() < epsilon / 2.0 { 1.0 / epsilon } else { 0.0 };
            let by_theta = by_z * -theta * kernel + lambda * -kernel;
            let expected = by_theta * theta;
            let found = f64::from(model.log_threshold.val().grad(&gradients).unwrap().into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-4, "at {p}: {found} by the log of the threshold is not {expected}");
            let expected = if p > theta { by_z * p } else { 0.0 };
            let found = f64::from(model.encoder.val().grad(&gradients).unwrap().into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-4, "at {p}: {found} by the weight is not {expected}");
        }
    }

    #[test]
    fn the_atoms_of_sparse_superpositions_are_found_again() {
        let device = Device::flex().autodiff();
        let atoms = random_atoms(24, 16, 3);
        let x = superpositions(&atoms, 3, 4096, 0.5, 4);
        let config = JumpReluSaeConfig {
            code_size: 32,
            lambda: 0.05.into(),
            initial_threshold: 0.1,
            bandwidth: 0.1,
            initial_bias: InitialBias::GeometricMedian,
        };
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
        let path = |config: JumpReluSaeConfig| config.check(&data).unwrap_err().path;
        let example = JumpReluSaeConfig::example;
        assert_eq!(path(JumpReluSaeConfig { code_size: 0, ..example() }), "code_size");
        assert_eq!(path(JumpReluSaeConfig { lambda: (-1.0).into(), ..example() }), "lambda");
        assert_eq!(path(JumpReluSaeConfig { initial_threshold: 0.0, ..example() }), "initial_threshold");
        assert_eq!(path(JumpReluSaeConfig { bandwidth: -1.0, ..example() }), "bandwidth");
    }
}
