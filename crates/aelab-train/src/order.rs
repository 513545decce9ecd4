//! Which examples a step sees.

use aelab_core::{Batch, Examples, Purpose, Stream, stream};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::seq::SliceRandom;

/// Batches among which series are sorted by length, so that those of a batch are of similar length.
const BATCHES_PER_BUCKET: usize = 32;

/// The examples of an epoch in the order in which they are visited: a function of seed and epoch.
///
/// Series of differing lengths are bucketed: shuffled, sorted by length within each run of 32 batches, and the
/// batches shuffled again, so that little of a batch is padding and no batch is always the same.
pub(crate) fn epoch_order(examples: &dyn Examples, batch_size: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = stream(seed, Purpose::Shuffle, epoch, 0);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.shuffle(&mut rng);
    let Some(lengths) = examples.lengths() else { return order };
    for bucket in order.chunks_mut(BATCHES_PER_BUCKET * batch_size) {
        bucket.sort_by_key(|&index| lengths[index]);
    }
    let num_whole = order.len() / batch_size;
    let mut batches: Vec<&[usize]> = order.chunks_exact(batch_size).collect();
    batches.shuffle(&mut rng);
    let rest = &order[num_whole * batch_size..];
    batches.into_iter().flatten().chain(rest).copied().collect()
}

/// The examples at `indices` as one batch on `device`; what a transform draws comes from `stream`.
///
/// The rows are gathered straight into the memory of the tensor: one allocation per batch, none per example.
pub fn gather_batch(examples: &dyn Examples, indices: &[usize], stream: &mut Stream, device: &Device) -> Batch {
    let num_features = examples.spec().num_features();
    let mut values = Vec::with_capacity(indices.len() * num_features);
    examples.gather(indices, stream, &mut values);
    let x = Tensor::from_data(TensorData::new(values, [indices.len(), num_features]), device);
    let labels = examples.labels().map(|labels| {
        let labels: Vec<i64> = indices.iter().map(|&index| i64::from(labels[index])).collect();
        Tensor::<1, Int>::from_data(TensorData::new(labels, [indices.len()]), device)
    });
    let mut observed = Vec::new();
    let mask = examples
        .gather_mask(indices, &mut observed)
        .then(|| Tensor::from_data(TensorData::new(observed, [indices.len(), num_features]), device));
    Batch { x, mask, labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{DataSpec, Domain};

    #[test]
    fn an_order_visits_every_example_once_and_depends_on_seed_and_epoch_alone() {
        let table = |lengths: Option<Vec<u32>>| Table { spec: DataSpec::new([1], Domain::Real), lengths };
        for examples in [table(None), table(Some((0..100).map(|index| index * 37 % 11).collect()))] {
            let order = epoch_order(&examples, 8, 7, 3);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..100).collect::<Vec<_>>());
            assert_eq!(order, epoch_order(&examples, 8, 7, 3));
            assert_ne!(order, epoch_order(&examples, 8, 7, 4));
            assert_ne!(order, epoch_order(&examples, 8, 8, 3));
        }
    }

    #[test]
    fn series_of_a_batch_are_of_similar_length() {
        let lengths: Vec<u32> = (0..100).map(|index| index * 37 % 100).collect();
        let examples = Table { spec: DataSpec::new([1], Domain::Real), lengths: Some(lengths.clone()) };
        for batch in epoch_order(&examples, 10, 7, 3).chunks(10) {
            let of_batch = batch.iter().map(|&index| lengths[index]);
            assert_eq!(of_batch.clone().max().unwrap() - of_batch.min().unwrap(), 9);
        }
    }

    /// Examples of which only number and lengths matter.
    struct Table {
        spec: DataSpec,
        lengths: Option<Vec<u32>>,
    }

    impl Examples for Table {
        fn spec(&self) -> &DataSpec {
            &self.spec
        }

        fn len(&self) -> usize {
            100
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            out.extend(indices.iter().map(|&index| index as f32));
        }

        fn lengths(&self) -> Option<&[u32]> {
            self.lengths.as_deref()
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }
}
