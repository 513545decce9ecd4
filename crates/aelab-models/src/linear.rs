//! The linear autoencoder, with or without a price on its weights.
//!
//! Kunin, Bloom, Goeva & Seed 2019, "Loss Landscapes of Regularized Linear Autoencoders", ICML.
//! <https://arxiv.org/abs/1901.08168>; without the price: Bourlard & Kamp 1988; Baldi & Hornik 1989, "Neural Networks and
//! Principal Component Analysis".
//!
//! ```text
//! L(x) = || (x - m) - W_2 W_1 (x - m) ||^2 + lambda ( |W_1|^2 + |W_2|^2 )          m: the mean of the training data
//! ```
//!
//! Without the price every optimum spans the principal subspace, in any basis. With it, `W_1 = W_2^T`, the singular vectors are
//! the principal directions themselves, and the singular values are `sqrt(1 - lambda / s_i)` for eigenvalues `s_i > lambda` of
//! the covariance, 0 for others. Then the mean loss over the training data is
//!
//! ```text
//! sum_{i <= k, s_i > lambda} [ 2 lambda - lambda^2 / s_i ]  +  sum of all other s_i
//! ```

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initialization, Initializer, ModelConfig, Objective, Scheduled, StepContext,
    Stream, TermSpec, Unit,
};
use aelab_losses::squared_error;
use aelab_nn::check_initialization;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::{check_code_size, overcomplete_warning};
use crate::schema::accept_latent_dim;

/// Hyperparameters of [`LinearAutoencoder`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = accept_latent_dim)]
pub struct LinearConfig {
    /// Units of the code.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Price of the squared weights of encoder and decoder, in squared data units. Required: it is the experiment; 0 is PCA.
    pub lambda: Scheduled,
    /// Whether the decoder is the transpose of the encoder.
    #[serde(default)]
    pub tied: bool,
    /// Whether the mean of the training data is taken away before encoding and given back after decoding.
    #[serde(default = "yes")]
    pub center: bool,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

fn yes() -> bool {
    true
}

/// Two matrices and the mean of the data.
#[derive(Module, Debug)]
pub struct LinearAutoencoder {
    /// `W_1` transposed, `[feature, code]`.
    encoder: Param<Tensor<2>>,
    /// `W_2` transposed, `[code, feature]`; absent where it is the transpose of the encoder.
    decoder: Option<Param<Tensor<2>>>,
    /// `m`, `[feature]`: measured before training and moved by no optimizer.
    mean: Param<Tensor<1>>,
    #[module(skip)]
    lambda: Scheduled,
    #[module(skip)]
    center: bool,
}

impl LinearAutoencoder {
    fn decoder(&self) -> Tensor<2> {
        self.decoder.as_ref().map_or_else(|| self.encoder.val().transpose(), Param::val)
    }

    /// `|W_1|^2 + |W_2|^2`.
    fn squared_weights(&self) -> Tensor<1> {
        let squares = |weight: Tensor<2>| weight.square().sum();
        match &self.decoder {
            None => squares(self.encoder.val()) * 2.0,
            Some(decoder) => squares(self.encoder.val()) + squares(decoder.val()),
        }
    }
}

impl Autoencoder for LinearAutoencoder {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        (x - self.mean.val().unsqueeze()).matmul(self.encoder.val())
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        z.matmul(self.decoder()) + self.mean.val().unsqueeze()
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let error = squared_error(batch.x.clone(), self.reconstruct(batch.x.clone()), batch.mask.as_ref());
        let lambda = self.lambda.at(ctx.progress);
        Objective::new().term("squared_error", error, 1.0).term("squared_weights", self.squared_weights(), lambda)
    }

    fn before_training(mut self, train: &dyn Examples, stream: &mut Stream) -> Self {
        if self.center {
            let mean = mean(train, stream);
            let device = self.mean.val().device();
            self.mean = self.mean.map(|_| Tensor::from_data(TensorData::from(&mean[..]), &device));
        }
        self
    }
}

/// Mean of all examples, in double precision until it is done.
fn mean(examples: &dyn Examples, stream: &mut Stream) -> Vec<f32> {
    let num_features = examples.spec().num_features();
    let mut sums = vec![0.0f64; num_features];
    let mut rows = Vec::new();
    let indices: Vec<usize> = (0..examples.len()).collect();
    for indices in indices.chunks(1000) {
        rows.clear();
        examples.gather(indices, stream, &mut rows);
        for row in rows.chunks_exact(num_features) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    sums.iter().map(|sum| (sum / examples.len().max(1) as f64) as f32).collect()
}

impl ModelConfig for LinearConfig {
    const NAME: &'static str = "linear";
    const SUMMARY: &'static str = "two matrices: PCA, or its shrunken form where squared weights have a price";
    const CITATION: &'static str = "Kunin, Bloom, Goeva & Seed 2019, Loss Landscapes of Regularized Linear Autoencoders, \
                                    https://arxiv.org/abs/1901.08168";
    type Model = LinearAutoencoder;

    fn check(&self, _data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        self.lambda.check().map_err(|error| error.within("lambda"))?;
        if let Some(found) = self.lambda.first_outside(0.0, f64::MAX) {
            return Err(ConfigError::new("lambda", format!("the price of squared weights cannot be negative, but is {found}")));
        }
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        overcomplete_warning(self.code_size, data).into_iter().collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![
            TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0),
            TermSpec::new("squared_weights", Unit::Penalty, self.lambda.clone()),
        ]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> LinearAutoencoder {
        let (features, code) = (data.num_features(), self.code_size);
        let encoder = initializer.weight([features, code], features, code, self.initialization);
        let decoder = (!self.tied).then(|| initializer.weight([code, features], code, features, self.initialization));
        let mean = initializer.buffer([features], 0.0);
        LinearAutoencoder { encoder, decoder, mean, lambda: self.lambda.clone(), center: self.center }
    }

    fn example() -> Self {
        Self { code_size: 4, lambda: 0.1.into(), tied: false, center: true, initialization: Initialization::default() }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        vec![
            ("code_size", Self { code_size: 3, ..example() }),
            ("lambda", Self { lambda: 0.0.into(), ..example() }),
            ("lambda", Self { lambda: 1.0.into(), tied: true, ..example() }),
            ("tied", Self { tied: true, ..example() }),
            ("center", Self { center: false, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Optimizer, Progress, SingleOptimizer, Trainee};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::store::ModuleRecord;
    use burn::tensor::{Bytes, Device};

    /// Eigenvalues of the covariance of [`Spectrum`].
    const EIGENVALUES: [f64; 4] = [2.0, 1.0, 0.5, 0.2];
    /// The principal directions, orthonormal, as rows.
    const DIRECTIONS: [[f64; 4]; 4] = [[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5], [0.5, 0.5, -0.5, -0.5], [0.5, -0.5, -0.5, 0.5]];
    /// Mean of the data.
    const MEAN: [f64; 4] = [1.0, -0.5, 0.0, 2.0];

    /// Two points on each principal axis about the mean, `sqrt(4 s_i)` away: the covariance has the eigenvalues `s_i` exactly.
    struct Spectrum(DataSpec);

    impl Spectrum {
        fn new() -> Self {
            Self(DataSpec::new([4], Domain::Real))
        }

        fn x(device: &Device) -> Tensor<2> {
            let mut values = Vec::new();
            Self::new().gather(&[0, 1, 2, 3, 4, 5, 6, 7], &mut aelab_core::stream(1, aelab_core::Purpose::Transform, 0, 0), &mut values);
            Tensor::from_data(TensorData::new(values, [8, 4]), device)
        }
    }

    impl Examples for Spectrum {
        fn spec(&self) -> &DataSpec {
            &self.0
        }

        fn len(&self) -> usize {
            8
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            for index in indices {
                let distance = (4.0 * EIGENVALUES[index / 2]).sqrt() * if index % 2 == 0 { 1.0 } else { -1.0 };
                out.extend((0..4).map(|feature| (MEAN[feature] + distance * DIRECTIONS[index / 2][feature]) as f32));
            }
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }

    /// Trains on all points at once; the last loss and the model.
    fn trained(config: &LinearConfig) -> (f64, LinearAutoencoder) {
        let device = Device::flex().autodiff();
        let data = Spectrum::new();
        let model = config.init(data.spec(), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        trainee.enter_stage(0, &data).unwrap();
        let batch = Batch::new(Spectrum::x(&device));
        let mut loss = f64::INFINITY;
        for step in 0..3000u32 {
            let noise = &mut FixedNoise::new([]);
            let learning_rate = 0.03 * 0.001f64.powf(f64::from(step) / 3000.0);
            let progress = Progress::end(1.0, step.into());
            loss = trainee.train_step(&batch, &mut StepContext { progress, learning_rate, noise }).loss;
        }
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(trainee.state().unwrap().take("model").unwrap())).unwrap();
        (loss, config.init(data.spec(), &mut Initializer::new(2, &device)).try_load_record(record).unwrap())
    }

    fn rows(tensor: Tensor<2>) -> Vec<Vec<f64>> {
        let width = tensor.dims()[1];
        tensor.into_data().iter::<f64>().collect::<Vec<_>>().chunks(width).map(<[f64]>::to_vec).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Sine of the largest principal angle at most between the span of `vectors` and that of the first two directions, in degrees.
    fn largest_angle(vectors: &[Vec<f64>]) -> f64 {
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for vector in vectors {
            let mut rest = vector.clone();
            for unit in &basis {
                let along = dot(&rest, unit);
                rest.iter_mut().zip(unit).for_each(|(rest, unit)| *rest -= along * unit);
            }
            let norm = dot(&rest, &rest).sqrt();
            basis.push(rest.iter().map(|value| value / norm).collect());
        }
        // What of the basis lies outside: its Frobenius norm is at least its largest singular value, the sine.
        let outside: f64 = basis.iter().map(|unit| dot(unit, &DIRECTIONS[2]).powi(2) + dot(unit, &DIRECTIONS[3]).powi(2)).sum();
        outside.sqrt().asin().to_degrees()
    }

    #[test]
    fn without_a_price_both_matrices_span_the_principal_subspace_and_the_loss_is_what_it_leaves() {
        for tied in [false, true] {
            let (loss, model) = trained(&LinearConfig { code_size: 2, lambda: 0.0.into(), tied, ..LinearConfig::example() });
            let least = EIGENVALUES[2] + EIGENVALUES[3];
            assert!(loss >= least - 1e-5 && loss < least * 1.001, "tied {tied}: {loss} is not {least}");
            let angles = [rows(model.decoder()), rows(model.encoder.val().transpose())].map(|vectors| largest_angle(&vectors));
            assert!(angles.iter().all(|angle| *angle < 3.0), "tied {tied}: {angles:?} degrees");
        }
    }

    #[test]
    fn with_a_price_loss_singular_values_and_directions_are_those_of_the_closed_form() {
        for (lambda, tied) in [(0.1, false), (0.1, true), (0.6, false), (1.5, false)] {
            let (loss, model) = trained(&LinearConfig { code_size: 3, lambda: lambda.into(), tied, ..LinearConfig::example() });
            let kept = |index: usize| index < 3 && EIGENVALUES[index] > lambda;
            let share = |index: usize| {
                let eigenvalue = EIGENVALUES[index];
                if kept(index) { 2.0 * lambda - lambda * lambda / eigenvalue } else { eigenvalue }
            };
            let least: f64 = (0..4).map(share).sum();
            assert!((loss - least).abs() < 1e-3 * least, "{lambda}, tied {tied}: {loss} is not {least}");
            // W_1 = W_2^T.
            let apart = (model.encoder.val().transpose() - model.decoder()).abs().max().into_scalar::<f32>();
            assert!(apart < 1e-2, "{lambda}, tied {tied}: the halves differ by {apart}");
            // Each principal direction is a singular vector: W_2 W_2^T u_i = (1 - lambda / s_i) u_i.
            let decoder = rows(model.decoder());
            for (index, direction) in DIRECTIONS.iter().enumerate() {
                let expected = if kept(index) { 1.0 - lambda / EIGENVALUES[index] } else { 0.0 };
                let in_code: Vec<f64> = decoder.iter().map(|row| dot(row, direction)).collect();
                for (other_index, other) in DIRECTIONS.iter().enumerate() {
                    let of_other: Vec<f64> = decoder.iter().map(|row| dot(row, other)).collect();
                    let expected = if index == other_index { expected } else { 0.0 };
                    let found = dot(&in_code, &of_other);
                    assert!((found - expected).abs() < 1e-2, "{lambda}, tied {tied}, {index}, {other_index}: {found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn the_mean_of_the_data_is_reconstructed_exactly_and_its_code_is_zero() {
        let (_, model) = trained(&LinearConfig { code_size: 1, ..LinearConfig::example() });
        let mean = Tensor::<2>::from_data([MEAN.map(|value| value as f32)], &Device::flex().autodiff());
        assert!(model.encode(mean.clone()).abs().max().into_scalar::<f32>() < 1e-6);
        assert!((model.reconstruct(mean.clone()) - mean).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn a_negative_price_is_refused() {
        let config = LinearConfig { lambda: (-0.1).into(), ..LinearConfig::example() };
        assert_eq!(config.check(&DataSpec::new([9], Domain::Real)).unwrap_err().path, "lambda");
    }
}
