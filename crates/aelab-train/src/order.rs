//! Which examples a step sees.

use aelab_core::{Batch, Examples, Purpose, Stream, stream};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::seq::SliceRandom;

/// The examples of an epoch in the order in which they are visited: a function of seed and epoch.
pub(crate) fn epoch_order(num_examples: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..num_examples).collect();
    order.shuffle(&mut stream(seed, Purpose::Shuffle, epoch, 0));
    order
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
    Batch { x, mask: None, labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_visits_every_example_once_and_depends_on_seed_and_epoch_alone() {
        let order = epoch_order(100, 7, 3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(100, 7, 3));
        assert_ne!(order, epoch_order(100, 7, 4));
        assert_ne!(order, epoch_order(100, 8, 3));
    }
}
