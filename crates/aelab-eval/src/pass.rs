//! Walks over a split, and values between host and device.

use aelab_core::{Batch, Examples, Purpose, Stream, stream};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::EvaluationError;

/// What a stream of the evaluation is drawn for: its first coordinate.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "each task has its number, whether or not it draws")]
pub(crate) enum Draw {
    Train,
    Test,
    Pictures,
    Objective,
    Corruption,
    Samples,
    LogLikelihood,
    Denoising,
    Inpainting,
    Generation,
    Projection,
    Clustering,
    FineTune,
    Anomaly,
    Disentanglement,
    Memorisation,
    Jacobian,
    Probe,
    Classifier,
    Recommendation,
    Sparsity,
}

impl Draw {
    /// The stream of one whole pass; a pass draws on and on from it, so that batches do not matter.
    pub(crate) fn stream(self, seed: u64) -> Stream {
        self.numbered_stream(seed, 0)
    }

    /// One of several streams of a task that draws for several things; number 0 is [`stream`](Self::stream).
    pub(crate) fn numbered_stream(self, seed: u64, number: u64) -> Stream {
        let coordinate = match self {
            Draw::Train => 0,
            Draw::Test => 1,
            Draw::Pictures => 2,
            Draw::Objective => 3,
            Draw::Corruption => 4,
            Draw::Samples => 5,
            Draw::LogLikelihood => 6,
            Draw::Denoising => 7,
            Draw::Inpainting => 8,
            Draw::Generation => 9,
            Draw::Projection => 10,
            Draw::Clustering => 11,
            Draw::FineTune => 12,
            Draw::Anomaly => 13,
            Draw::Disentanglement => 14,
            Draw::Memorisation => 15,
            Draw::Jacobian => 16,
            Draw::Probe => 17,
            Draw::Classifier => 18,
            Draw::Recommendation => 19,
            Draw::Sparsity => 20,
        };
        stream(seed, Purpose::Evaluation, coordinate, number)
    }
}

/// Examples on the host: what a [`Batch`] is made of.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Row after row.
    pub(crate) values: Vec<f32>,
    /// 1 for each value that was observed, 0 for padding and for what is missing; `None` where nothing ever is.
    pub(crate) mask: Option<Vec<f32>>,
    /// Class of each example, where the data has classes.
    pub(crate) labels: Option<Vec<u32>>,
    num_features: usize,
}

impl Rows {
    /// The examples at `indices`.
    pub(crate) fn gather(examples: &dyn Examples, indices: &[usize], stream: &mut Stream) -> Self {
        let mut rows = Self::of(Vec::with_capacity(indices.len() * examples.spec().num_features()), examples.spec().num_features());
        rows.refill(examples, indices, stream);
        rows
    }

    /// The examples at `indices` in place of those that were here, in the same memory.
    fn refill(&mut self, examples: &dyn Examples, indices: &[usize], stream: &mut Stream) {
        self.values.clear();
        examples.gather(indices, stream, &mut self.values);
        assert_eq!(self.values.len(), indices.len() * self.num_features, "`Examples::gather` appends whole examples");
        let mut observed = self.mask.take().unwrap_or_default();
        observed.clear();
        self.mask = examples.gather_mask(indices, &mut observed).then_some(observed);
        self.labels = examples.labels().map(|labels| indices.iter().map(|&index| labels[index]).collect());
    }

    /// Rows of values, all of them there, without classes.
    pub(crate) fn of(values: Vec<f32>, num_features: usize) -> Self {
        Self { values, mask: None, labels: None, num_features }
    }

    /// Number of examples and of features.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.values.len() / self.num_features.max(1), self.num_features]
    }

    /// What was observed of one example: the values, and which features they are of.
    pub(crate) fn observed(&self, index: usize) -> (Vec<f32>, Vec<usize>) {
        let start = index * self.num_features;
        let is_there = |feature: &usize| self.mask.as_ref().is_none_or(|mask| mask[start + feature] > 0.0);
        let features: Vec<usize> = (0..self.num_features).filter(is_there).collect();
        (features.iter().map(|feature| self.values[start + feature]).collect(), features)
    }

    /// The same examples, each `num` times in a row.
    pub(crate) fn repeat_each(&self, num: usize) -> Self {
        let repeated = |values: &Vec<f32>| -> Vec<f32> {
            values.chunks_exact(self.num_features.max(1)).flat_map(|row| std::iter::repeat_n(row, num)).flatten().copied().collect()
        };
        Self {
            values: repeated(&self.values),
            mask: self.mask.as_ref().map(repeated),
            labels: self.labels.as_ref().map(|labels| labels.iter().flat_map(|&label| std::iter::repeat_n(label, num)).collect()),
            num_features: self.num_features,
        }
    }

    /// On a device. What a model makes of it is asked of the model [conditioned](aelab_core::TrainedModel::conditioned) on it.
    pub(crate) fn batch(&self, device: &Device) -> Batch {
        let tensor = |values: &Vec<f32>| Tensor::from_data(TensorData::new(values.clone(), self.shape()), device);
        let labels = self.labels.as_ref().map(|labels| to_labels(labels, device));
        Batch { x: tensor(&self.values), mask: self.mask.as_ref().map(tensor), labels }
    }

    /// The same without classes: for whatever is measured against them, which a model that is told the class of a test example
    /// would pass on. Masks stay.
    pub(crate) fn batch_without_labels(&self, device: &Device) -> Batch {
        Batch { labels: None, ..self.batch(device) }
    }
}

/// Whether some values of the examples may be missing.
pub(crate) fn has_mask(examples: &dyn Examples) -> bool {
    !examples.is_empty() && examples.gather_mask(&[0], &mut Vec::new())
}

/// Classes on a device, `[example]`.
pub(crate) fn to_labels(labels: &[u32], device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let num = labels.len();
    Tensor::from_data(TensorData::new(labels, [num]), device)
}

/// Hands all examples in order to `visit`, `batch_size` at a time.
pub(crate) fn for_each_batch(
    examples: &dyn Examples,
    stream: Stream,
    batch_size: usize,
    visit: impl FnMut(&Rows) -> Result<(), EvaluationError>,
) -> Result<(), EvaluationError> {
    for_each_batch_of_first(examples, examples.len(), stream, batch_size, visit)
}

/// The same for the first `num` examples, or all where there are fewer.
pub(crate) fn for_each_batch_of_first(
    examples: &dyn Examples,
    num: usize,
    mut stream: Stream,
    batch_size: usize,
    mut visit: impl FnMut(&Rows) -> Result<(), EvaluationError>,
) -> Result<(), EvaluationError> {
    let num = num.min(examples.len());
    let mut rows = Rows::of(Vec::new(), examples.spec().num_features());
    for start in (0..num).step_by(batch_size.max(1)) {
        let indices: Vec<usize> = (start..num.min(start + batch_size.max(1))).collect();
        rows.refill(examples, &indices, &mut stream);
        visit(&rows)?;
    }
    Ok(())
}

/// Rows of a chunk that is worked on in `f64`: about 16 MiB.
pub(crate) fn chunk_rows(num_features: usize) -> usize {
    ((2 << 20) / num_features.max(1)).clamp(16, 4096)
}

/// The values of a tensor that must have the shape `expected`.
pub(crate) fn to_values(tensor: Tensor<2>, expected: [usize; 2], what: &'static str) -> Result<Vec<f32>, EvaluationError> {
    let found = tensor.dims();
    if found != expected {
        return Err(EvaluationError::Shape { what, expected, found });
    }
    tensor
        .into_data()
        .convert::<f32>()
        .try_into_vec::<f32>()
        .map_err(|error| EvaluationError::Device { what, message: format!("{error:?}") })
}
