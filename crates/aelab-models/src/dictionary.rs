//! The decoder of sparse autoencoders that take data apart into directions: atoms of length 1, and a bias.

use aelab_core::{Examples, Initialization, Initializer, Stream};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Examples that the initial bias is computed from: more would not move it.
const NUM_FOR_BIAS: usize = 4096;

/// Where the decoder's bias starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialBias {
    /// At the point with the least summed distance to the training examples.
    #[default]
    GeometricMedian,
    /// At the mean of the training examples.
    Mean,
    /// At 0.
    Zero,
}

/// `x = z A + b` with the rows of `A`, the atoms, of length 1.
///
/// The parameter is divided by its lengths wherever it is used, and set to the quotient after every step. At length 1 the
/// gradient of `a / |a|` is the gradient by `a` with its part along `a` taken out: the projection that Bricken et al.
/// 2023 and Gao et al. 2024 apply before the optimizer sees it is what the tape gives here by itself.
#[derive(Module, Debug)]
pub(crate) struct Dictionary {
    /// `[code, feature]`.
    atoms: Param<Tensor<2>>,
    /// `[feature]`.
    bias: Param<Tensor<1>>,
}

impl Dictionary {
    /// Atoms in directions drawn uniformly; a bias of 0.
    pub(crate) fn new(num_atoms: usize, num_features: usize, initializer: &mut Initializer) -> Self {
        let drawn = initializer.weight([num_atoms, num_features], num_features, num_atoms, Initialization::Normal { sigma: 1.0 });
        Self { atoms: drawn.map(set_to_unit_length), bias: initializer.constant([num_features], 0.0) }
    }

    /// The atoms, `[code, feature]`, each of length 1.
    pub(crate) fn atoms(&self) -> Tensor<2> {
        unit_rows(self.atoms.val())
    }

    /// An encoder's weight, `[feature, code]`, that starts as the transpose of the atoms and then goes its own way.
    pub(crate) fn transposed(&self, initializer: &mut Initializer) -> Param<Tensor<2>> {
        let trainable = initializer.device().is_autodiff();
        let weight = self.atoms().detach().transpose().into_data();
        Param::initialized(initializer.id(), Tensor::from_data(weight, initializer.device()).set_require_grad(trainable))
    }

    /// `b` as a row, `[1, feature]`.
    pub(crate) fn bias(&self) -> Tensor<2> {
        self.bias.val().unsqueeze()
    }

    /// `[batch, code]` to `[batch, feature]`.
    pub(crate) fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        z.matmul(self.atoms()) + self.bias()
    }

    /// After an optimizer step: the atoms at length 1 again.
    pub(crate) fn renormalized(self) -> Self {
        Self { atoms: self.atoms.map(set_to_unit_length), ..self }
    }

    /// With its bias where the data says.
    pub(crate) fn started_from(self, initial: InitialBias, train: &dyn Examples, stream: &mut Stream) -> Self {
        let start = match initial {
            InitialBias::Zero => return self,
            InitialBias::Mean => mean(&sample(train, stream)),
            InitialBias::GeometricMedian => geometric_median(&sample(train, stream)),
        };
        let bias = self.bias.map(|bias| {
            let values: Vec<f32> = start.iter().map(|value| *value as f32).collect();
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), &bias.device()).set_require_grad(bias.is_require_grad())
        });
        Self { bias, ..self }
    }
}

fn unit_rows(rows: Tensor<2>) -> Tensor<2> {
    let lengths = rows.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
    rows / lengths
}

fn set_to_unit_length(atoms: Tensor<2>) -> Tensor<2> {
    let trainable = atoms.is_require_grad();
    // Detached last: what is detached first would stay a leaf of the tape, and this result hang on it.
    unit_rows(atoms).detach().set_require_grad(trainable)
}

/// Evenly spread examples, row after row.
fn sample(train: &dyn Examples, stream: &mut Stream) -> Vec<Vec<f64>> {
    let num = train.len().min(NUM_FOR_BIAS);
    let indices: Vec<usize> = (0..num).map(|index| index * train.len() / num).collect();
    let mut values = Vec::new();
    train.gather(&indices, stream, &mut values);
    values.chunks(train.spec().num_features()).map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect()
}

fn weighted_mean(rows: &[Vec<f64>], weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let (mut sum, mut total) = (vec![0.0; rows.first().map_or(0, Vec::len)], 0.0);
    for (row, weight) in rows.iter().zip(weights) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        total += weight;
    }
    sum.iter().map(|sum| sum / total).collect()
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    weighted_mean(rows, std::iter::repeat(1.0))
}

/// By the iteration of Weiszfeld 1937.
fn geometric_median(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut median = mean(rows);
    for _ in 0..50 {
        let distance = |row: &Vec<f64>| row.iter().zip(&median).map(|(value, center)| (value - center).powi(2)).sum::<f64>().sqrt();
        let weights: Vec<f64> = rows.iter().map(|row| 1.0 / distance(row).max(1e-9)).collect();
        median = weighted_mean(rows, weights.into_iter());
    }
    median
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aelab_core::{Batch, DataSpec, Domain, Noise, Purpose, StreamNoise, Trainee, stream};
    use burn::tensor::Device;

    /// The atoms of a trained model, one per row, by decoding unit codes and nothing.
    pub(crate) fn learned_atoms(decode: impl Fn(Tensor<2>) -> Tensor<2>, num: usize, device: &Device) -> Tensor<2> {
        decode(Tensor::eye(num, device)) - decode(Tensor::zeros([1, num], device))
    }

    /// Superpositions of `num_active` of the rows of `atoms`, with coefficients from 0.5 to 1.5, about `center`.
    pub(crate) fn superpositions(atoms: &Tensor<2>, num_active: usize, num: usize, center: f64, seed: u64) -> Tensor<2> {
        let mut noise = StreamNoise(stream(seed, Purpose::Evaluation, 0, 0));
        let ([num_atoms, _], device) = (atoms.dims(), atoms.device());
        let chosen = aelab_nn::keep_largest(noise.uniform([num, num_atoms], &device), num_active).sign();
        let coefficients = chosen * (noise.uniform([num, num_atoms], &device) + 0.5);
        coefficients.matmul(atoms.clone()) + center
    }

    /// Over true atoms, the mean of the largest cosine with any learned one.
    pub(crate) fn mean_max_cosine(learned: Tensor<2>, atoms: &Tensor<2>) -> f32 {
        let cosines = unit_rows(atoms.clone()).matmul(unit_rows(learned).transpose());
        cosines.max_dim(1).mean().into_scalar()
    }

    pub(crate) fn random_atoms(num: usize, num_features: usize, seed: u64) -> Tensor<2> {
        unit_rows(StreamNoise(stream(seed, Purpose::Evaluation, 1, 0)).normal([num, num_features], &Device::flex()))
    }

    /// `Examples` of the given rows.
    pub(crate) struct Rows(pub(crate) Vec<f32>, pub(crate) DataSpec);

    impl Rows {
        pub(crate) fn new(x: &Tensor<2>) -> Self {
            let width = x.dims()[1];
            Self(x.clone().into_data().try_to_vec().unwrap(), DataSpec::new([width], Domain::Real))
        }
    }

    impl Examples for Rows {
        fn spec(&self) -> &DataSpec {
            &self.1
        }

        fn len(&self) -> usize {
            self.0.len() / self.1.num_features()
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            let width = self.1.num_features();
            indices.iter().for_each(|index| out.extend_from_slice(&self.0[index * width..(index + 1) * width]));
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }

    /// Trains on batches of the rows in turn.
    pub(crate) fn train(trainee: &mut dyn Trainee, x: &Tensor<2>, batch_size: usize, num_steps: u64, learning_rate: f64, device: &Device) {
        trainee.enter_stage(0, &Rows::new(x)).unwrap();
        let x = Tensor::<2>::from_data(x.clone().into_data(), device);
        let num_batches = x.dims()[0] / batch_size;
        for step in 0..num_steps {
            let start = (step as usize % num_batches) * batch_size;
            let batch = Batch::new(x.clone().narrow(0, start, batch_size));
            let progress = aelab_core::Progress { step, epoch: step as f64, num_epochs: num_steps as f64 };
            let learning_rate = learning_rate * (1.0 - 0.95 * step as f64 / num_steps as f64);
            let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
            let terms = trainee.train_step(&batch, &mut aelab_core::StepContext { progress, learning_rate, noise });
            assert_eq!(terms.first_non_finite(), None, "step {step}");
        }
    }

    #[test]
    fn atoms_have_length_1_and_their_gradient_no_part_along_them() {
        let device = Device::flex().autodiff();
        let dictionary = Dictionary::new(5, 4, &mut Initializer::new(1, &device));
        let lengths = dictionary.atoms.val().square().sum_dim(1);
        assert!((lengths - 1.0).abs().max().into_scalar::<f32>() < 1e-6);
        let z = StreamNoise(stream(1, Purpose::Evaluation, 0, 0)).normal([3, 5], &device);
        let gradients = (dictionary.decode(z.clone()) - 1.0).square().sum().backward();
        let gradient = dictionary.atoms.val().grad(&gradients).unwrap();
        let atoms = dictionary.atoms.val().inner();
        assert!((gradient.clone() * atoms.clone()).sum_dim(1).abs().max().into_scalar::<f32>() < 1e-5);
        // What the papers do by hand: the gradient of the plain product, less its part along each atom.
        let free = dictionary.atoms.val().detach().require_grad();
        let gradients = (z.matmul(free.clone()) + dictionary.bias() - 1.0).square().sum().backward();
        let plain = free.grad(&gradients).unwrap();
        let projected = plain.clone() - (plain * atoms.clone()).sum_dim(1) * atoms;
        assert!((projected - gradient).abs().max().into_scalar::<f32>() < 1e-5);
    }

    #[test]
    fn the_bias_starts_at_the_mean_or_the_geometric_median() {
        let device = Device::flex();
        // Four points and an outlier: the median of the first coordinate stays with the four.
        let x = Tensor::<2>::from_data([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [100.0, 0.5]], &device);
        let start = |initial| -> Vec<f32> {
            let dictionary = Dictionary::new(3, 2, &mut Initializer::new(1, &device));
            let stream = &mut stream(1, Purpose::DataDependent, 0, 0);
            dictionary.started_from(initial, &Rows::new(&x), stream).bias.val().into_data().try_to_vec().unwrap()
        };
        assert_eq!(start(InitialBias::Zero), [0.0, 0.0]);
        assert_eq!(start(InitialBias::Mean), [20.4, 0.5]);
        let median = start(InitialBias::GeometricMedian);
        assert!(median[0] > 0.5 && median[0] < 1.0 && (median[1] - 0.5).abs() < 1e-6, "{median:?}");
    }
}
