//! The squared error.

use aelab_kernels::{Loss, reconstruction_loss, reconstruction_loss_of_each};
use burn::tensor::{Tensor, activation};

use crate::reduce::{per_example, sum_features};

/// `1/B sum_b sum_i (x_bi - r_bi)^2`, in squared data units per example.
///
/// It is the negative log-likelihood of a Gaussian of variance 1/2 up to a constant; a mean over
/// features, as many libraries take it, is smaller by the number of features.
///
/// # Shapes
/// `x`, `reconstruction` and `mask`: `[batch, feature]`; the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[0.0, 1.0], [1.0, 1.0]], &device);
/// let reconstruction = Tensor::from_data([[0.5, 1.0], [1.0, 3.0]], &device);
/// let error = aelab_losses::squared_error(x, reconstruction, None);
/// assert_eq!(error.into_scalar::<f32>(), (0.25 + 4.0) / 2.0);
/// ```
pub fn squared_error(x: Tensor<2>, reconstruction: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    reconstruction_loss(Loss::SquaredError, &x, &reconstruction, mask).unwrap_or_else(|| per_example((x - reconstruction).square(), mask))
}

/// [`squared_error`] of the logistic sigmoid of `logits`, in one pass.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let error = aelab_losses::squared_error_of_sigmoid(Tensor::from_data([[1.0]], &device), Tensor::zeros([1, 1], &device), None);
/// assert_eq!(error.into_scalar::<f32>(), 0.25);
/// ```
pub fn squared_error_of_sigmoid(x: Tensor<2>, logits: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    reconstruction_loss(Loss::SquaredErrorOfSigmoid, &x, &logits, mask)
        .unwrap_or_else(|| per_example((x - activation::sigmoid(logits)).square(), mask))
}

/// What [`squared_error`] averages: the error of each example, `[batch, 1]`.
pub(crate) fn squared_error_of_each(x: Tensor<2>, reconstruction: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    reconstruction_loss_of_each(Loss::SquaredError, &x, &reconstruction, mask)
        .unwrap_or_else(|| sum_features((x - reconstruction).square(), mask))
}
