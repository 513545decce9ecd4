//! The one way in which values per feature become a scalar.

use burn::tensor::Tensor;

/// Sum over features, mean over the batch: `[batch, feature]` to `[1]`.
pub(crate) fn per_example(values: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    let values = match mask {
        Some(mask) => values * mask.clone(),
        None => values,
    };
    values.sum_dim(1).mean()
}
