//! Walks over a split, and values between host and device.

use std::ops::Range;

use aelab_core::{Examples, Purpose, Stream, stream};
use burn::tensor::{Device, Tensor, TensorData};

use crate::EvaluationError;

/// What a stream of the evaluation is drawn for: its first coordinate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    Train,
    Test,
    Pictures,
    Objective,
    Corruption,
    Samples,
}

impl Draw {
    /// The stream of one whole pass; a pass draws on and on from it, so that batches do not matter.
    pub(crate) fn stream(self, seed: u64) -> Stream {
        let coordinate = match self {
            Draw::Train => 0,
            Draw::Test => 1,
            Draw::Pictures => 2,
            Draw::Objective => 3,
            Draw::Corruption => 4,
            Draw::Samples => 5,
        };
        stream(seed, Purpose::Evaluation, coordinate, 0)
    }
}

/// Hands all examples in order to `visit`, `batch_size` at a time: their positions and their values,
/// row after row.
pub(crate) fn for_each_batch(
    examples: &dyn Examples,
    mut stream: Stream,
    batch_size: usize,
    mut visit: impl FnMut(Range<usize>, &[f32]) -> Result<(), EvaluationError>,
) -> Result<(), EvaluationError> {
    let (num_examples, num_features) = (examples.len(), examples.spec().num_features());
    let mut indices = Vec::new();
    let mut values = Vec::new();
    for start in (0..num_examples).step_by(batch_size.max(1)) {
        let range = start..num_examples.min(start + batch_size.max(1));
        indices.clear();
        indices.extend(range.clone());
        values.clear();
        examples.gather(&indices, &mut stream, &mut values);
        assert_eq!(values.len(), range.len() * num_features, "`Examples::gather` appends whole examples");
        visit(range, &values)?;
    }
    Ok(())
}

/// Rows of a chunk that is worked on in `f64`: about 16 MiB.
pub(crate) fn chunk_rows(num_features: usize) -> usize {
    ((2 << 20) / num_features.max(1)).clamp(16, 4096)
}

/// Rows of `num_features` values as `[example, feature]`.
pub(crate) fn to_tensor(rows: &[f32], num_features: usize, device: &Device) -> Tensor<2> {
    let num = rows.len() / num_features.max(1);
    Tensor::from_data(TensorData::new(rows.to_vec(), [num, num_features]), device)
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
