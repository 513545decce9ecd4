//! A small classifier whose last hidden layer is the feature space of generated examples.
//!
//! What Inception is to photographs: any network that tells the classes apart will do, as long as all that are compared share
//! it. It is a function of the training split alone (its seed is fixed and it trains in one thread), so that all trials of a
//! run have the same one.

use aelab_core::{DataSpec, Examples, Initialization, Initializer, Optimizer, draw_positions};
use burn::module::{Module, Param};
use burn::optim::AdamConfig;
use burn::store::ModuleRecord;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Bytes, Device, Tensor, TensorData};

use crate::pass::{Draw, Rows, to_labels, to_values};
use crate::{EvaluationError, Moments};

/// Raised with any change of what is trained or how: distances in the space of another classifier do not compare.
pub(crate) const CLASSIFIER_VERSION: u32 = 1;
/// Units of the last hidden layer.
pub(crate) const NUM_FEATURES: usize = 64;
/// All trials share the classifier, so it is not theirs.
pub(crate) const CLASSIFIER_SEED: u64 = 0;

const CHANNELS: [usize; 2] = [16, 32];
const HIDDEN: usize = 256;
/// Images with a smaller side are taken for a list of numbers.
const MIN_SIDE: usize = 8;
const BATCH_SIZE: usize = 128;
const MAX_STEPS: usize = 1407;
const MAX_EPOCHS: usize = 30;
const LEARNING_RATE: f64 = 2e-3;
/// Examples that are classified together.
const EXAMPLES_AT_ONCE: usize = 500;

/// An affine map.
#[derive(Module, Debug)]
struct Dense {
    /// `[input, output]`.
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Dense {
    fn new(num_inputs: usize, num_outputs: usize, initializer: &mut Initializer) -> Self {
        let how = Initialization::HeNormal;
        let weight = initializer.weight([num_inputs, num_outputs], num_inputs, num_outputs, how);
        Self { weight, bias: initializer.bias(num_outputs, num_inputs, how) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        burn::tensor::module::linear(x, self.weight.val(), Some(self.bias.val()))
    }
}

/// A convolution of 3 x 3 that halves the image.
#[derive(Module, Debug)]
struct Convolution {
    /// `[output, input, 3, 3]`.
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Convolution {
    fn new(num_inputs: usize, num_outputs: usize, initializer: &mut Initializer) -> Self {
        let how = Initialization::HeNormal;
        let weight = initializer.weight([num_outputs, num_inputs, 3, 3], num_inputs * 9, num_outputs * 9, how);
        Self { weight, bias: initializer.bias(num_outputs, num_inputs * 9, how) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val(), Some(self.bias.val()), ConvOptions::new([2; 2], [1; 2], [1; 2], 1))
    }
}

/// Two layers that look at the data, convolutions for images and a dense one otherwise, one of features, one of classes.
#[derive(Module, Debug)]
struct Network {
    convolutions: Vec<Convolution>,
    hidden: Option<Dense>,
    features: Dense,
    classes: Dense,
    #[module(skip)]
    image_shape: [usize; 3],
}

impl Network {
    fn new(data: &DataSpec, num_classes: usize, device: &Device) -> Self {
        let mut initializer = Initializer::new(CLASSIFIER_SEED, device);
        let image_shape = data.image_shape().filter(|[_, height, width]| *height.min(width) >= MIN_SIDE);
        let (convolutions, hidden, num_inputs) = match image_shape {
            Some([channels, height, width]) => {
                let first = Convolution::new(channels, CHANNELS[0], &mut initializer);
                let second = Convolution::new(CHANNELS[0], CHANNELS[1], &mut initializer);
                (vec![first, second], None, CHANNELS[1] * height.div_ceil(2).div_ceil(2) * width.div_ceil(2).div_ceil(2))
            }
            None => (Vec::new(), Some(Dense::new(data.num_features(), HIDDEN, &mut initializer)), HIDDEN),
        };
        let features = Dense::new(num_inputs, NUM_FEATURES, &mut initializer);
        let classes = Dense::new(NUM_FEATURES, num_classes, &mut initializer);
        Self { convolutions, hidden, features, classes, image_shape: image_shape.unwrap_or_default() }
    }

    /// `[batch, feature of the data]` to `[batch, NUM_FEATURES]`.
    fn features(&self, x: Tensor<2>) -> Tensor<2> {
        let num = x.dims()[0];
        let hidden = match &self.hidden {
            Some(hidden) => relu(hidden.forward(x)),
            None => {
                let [channels, height, width] = self.image_shape;
                let image = x.reshape([num, channels, height, width]);
                self.convolutions.iter().fold(image, |image, convolution| relu(convolution.forward(image))).flatten(1, 3)
            }
        };
        relu(self.features.forward(hidden))
    }
}

/// Shift and scale of every feature of the data: `(x - shift) * scale` has mean 0 and variance 1, over all pixels of an image and
/// over each feature of anything else.
fn standardization(data: &DataSpec, moments: &Moments) -> [Vec<f32>; 2] {
    let of = |mean: f64, mean_square: f64| {
        let variance = mean_square - mean * mean;
        // What is constant has no variance but its rounding.
        if variance > 1e-12 * mean_square { (mean as f32, variance.sqrt().recip() as f32) } else { (mean as f32, 1.0) }
    };
    let each = moments.mean.iter().zip(&moments.mean_square);
    if data.image_shape().is_some() {
        let num = moments.mean.len();
        let average = |values: &[f64]| values.iter().sum::<f64>() / num as f64;
        let (shift, scale) = of(average(&moments.mean), average(&moments.mean_square));
        [vec![shift; num], vec![scale; num]]
    } else {
        let (shift, scale) = each.map(|(&mean, &mean_square)| of(mean, mean_square)).unzip();
        [shift, scale]
    }
}

/// A trained classifier.
#[derive(Debug)]
pub(crate) struct Classifier {
    network: Network,
    shift: Tensor<2>,
    scale: Tensor<2>,
    num_classes: usize,
    device: Device,
}

/// What the classifier makes of examples.
#[derive(Debug, Default)]
pub(crate) struct Classified {
    /// `[example, NUM_FEATURES]`.
    pub(crate) features: Vec<f32>,
    /// The likeliest class of each example, the first of equals.
    pub(crate) classes: Vec<u32>,
}

impl Classifier {
    fn around(network: Network, data: &DataSpec, moments: &Moments, num_classes: usize, device: &Device) -> Self {
        let row = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [1, data.num_features()]), device);
        let [shift, scale] = standardization(data, moments).map(row);
        Self { network, shift, scale, num_classes, device: device.clone() }
    }

    /// Trains on labelled examples with those moments, by Adam on the cross-entropy, in one thread.
    ///
    /// # Panics
    /// When there are no labels or no examples.
    pub(crate) fn train(train: &dyn Examples, moments: &Moments, num_classes: usize, device: &Device) -> Self {
        let work = || Self::train_here(train, moments, num_classes, device);
        match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(work),
            // No thread to be had: this one will do.
            Err(_) => work(),
        }
    }

    fn train_here(train: &dyn Examples, moments: &Moments, num_classes: usize, device: &Device) -> Self {
        let training_device = device.clone().autodiff();
        let data = train.spec();
        let network = Network::new(data, num_classes, &training_device);
        let mut trained = Self::around(network, data, moments, num_classes, &training_device);
        let mut optimizer = Optimizer::new(AdamConfig::new().with_epsilon(1e-8).init(), None);
        let mut stream = Draw::Classifier.stream(CLASSIFIER_SEED);
        let batch_size = BATCH_SIZE.min(train.len());
        let num_steps = (train.len().div_ceil(batch_size) * MAX_EPOCHS).min(MAX_STEPS);
        let mut order = Vec::new();
        for step in 0..num_steps {
            if order.len() < batch_size {
                order = draw_positions(&mut stream, train.len(), train.len());
            }
            let indices = order.split_off(order.len() - batch_size);
            let rows = Rows::gather(train, &indices, &mut stream);
            let labels = to_labels(rows.labels.as_deref().expect("a classifier learns from labels"), &training_device);
            let logits = trained.network.classes.forward(trained.network.features(trained.standardized(&rows.values)));
            let chosen = log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1));
            let gradients = (chosen.sum() * (-1.0 / batch_size as f64)).backward();
            // Down to nothing along half a cosine, so that the last examples weigh no more than others.
            let progress = step as f64 / num_steps as f64;
            let learning_rate = LEARNING_RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
            trained.network = optimizer.step(learning_rate, trained.network, gradients);
        }
        Self::around(trained.network.valid(), data, moments, num_classes, device)
    }

    /// The weights, for [`from_bytes`](Self::from_bytes).
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        Some(self.network.clone().into_record().into_bytes().ok()?.to_vec())
    }

    /// A classifier with weights of [`to_bytes`](Self::to_bytes) for the same data; `None` where they are of another one.
    pub(crate) fn from_bytes(bytes: Vec<u8>, data: &DataSpec, moments: &Moments, num_classes: usize, device: &Device) -> Option<Self> {
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).ok()?;
        let network = Network::new(data, num_classes, device).try_load_record(record).ok()?;
        Some(Self::around(network, data, moments, num_classes, device))
    }

    fn standardized(&self, values: &[f32]) -> Tensor<2> {
        let num_features = self.shift.dims()[1];
        let x = Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / num_features, num_features]), &self.device);
        (x - self.shift.clone()) * self.scale.clone()
    }

    /// Features and classes of examples, `[example, feature of the data]`, appended to `out`.
    pub(crate) fn classify(&self, values: &[f32], out: &mut Classified) -> Result<(), EvaluationError> {
        let num_features = self.shift.dims()[1];
        for values in values.chunks(EXAMPLES_AT_ONCE * num_features) {
            let num = values.len() / num_features;
            let features = self.network.features(self.standardized(values));
            let logits = self.network.classes.forward(features.clone());
            out.features.extend(to_values(features, [num, NUM_FEATURES], "classifier's features")?);
            let logits = to_values(logits, [num, self.num_classes], "classifier's logits")?;
            out.classes.extend(logits.chunks_exact(self.num_classes).map(likeliest));
        }
        Ok(())
    }
}

/// Position of the largest of some values, the first of equals.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best as u32
}
