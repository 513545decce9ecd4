//! The one way in which values per feature become a scalar, and sums of exponentials.

use burn::tensor::Tensor;

/// Sum over features, mean over the batch: `[batch, feature]` to `[1]`.
pub(crate) fn per_example(values: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    sum_features(values, mask).mean()
}

/// Sum over features, each multiplied by its mask: `[batch, feature]` to `[batch, 1]`, for objectives that are no mean over
/// the batch of what each example costs.
pub fn sum_features(values: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    let values = match mask {
        Some(mask) => values * mask.clone(),
        None => values,
    };
    values.sum_dim(1)
}

/// `log sum exp` along a dimension, which stays with length 1. The largest value is taken out first, so that nothing overflows.
pub(crate) fn log_sum_exp<const D: usize>(values: Tensor<D>, dim: usize) -> Tensor<D> {
    let largest = values.clone().max_dim(dim).detach();
    (values - largest.clone()).exp().sum_dim(dim).log() + largest
}
