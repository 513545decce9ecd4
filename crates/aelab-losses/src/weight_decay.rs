//! The price of large weights.

use burn::tensor::Tensor;

/// Half the sum of squares of all weights, `1/2 sum_k || W_k ||^2`: not a mean over anything. Its gradient by a weight
/// is the weight.
///
/// # Panics
/// When there are no weights.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let weights = [Tensor::from_data([[1.0, 2.0]], &device), Tensor::from_data([[2.0]], &device)];
/// assert_eq!(aelab_losses::weight_decay(weights).into_scalar::<f32>(), 4.5);
/// ```
pub fn weight_decay(weights: impl IntoIterator<Item = Tensor<2>>) -> Tensor<1> {
    let squares = weights.into_iter().map(|weight| weight.square().sum());
    squares.reduce(|sum, squares| sum + squares).expect("a model has weights") * 0.5
}
