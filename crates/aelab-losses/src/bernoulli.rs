//! The Bernoulli likelihood, from logits.

use aelab_kernels::{Loss, reconstruction_loss, reconstruction_loss_of_each};
use burn::tensor::Tensor;

use crate::reduce::{per_example, sum_features};

/// Negative log-likelihood of independent Bernoulli variables, in nats per example.
///
/// ```text
/// 1/B sum_b sum_i [ max(l, 0) - l x + log(1 + exp(-|l|)) ]      with logit l = l_bi, x = x_bi
/// ```
///
/// which is `-x log s(l) - (1 - x) log(1 - s(l))` for the sigmoid `s`, in a form that neither overflows
/// nor takes the logarithm of 0, for any finite logit, and that keeps values far below 1. `x` may be any number in [0, 1]: for grey values
/// it is the cross-entropy, whose minimum is not 0 but the entropy of `x`.
///
/// `max(l, 0)` is written `(l + |l|) / 2`, so that the gradient at a logit of exactly 0 (a black image
/// before the first step, with biases of 0) is the right one, `1/2 - x`, whatever a backend takes for
/// the slope of `max` there.
///
/// # Shapes
/// `x`, `logits` and `mask`: `[batch, feature]`; the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[0.0, 1.0]], &device);
/// let undecided = Tensor::from_data([[0.0, 0.0]], &device);
/// let nll = aelab_losses::binary_cross_entropy_from_logits(x, undecided, None);
/// assert_eq!(nll.into_scalar::<f32>(), 2.0 * 2f32.ln());
/// ```
pub fn binary_cross_entropy_from_logits(x: Tensor<2>, logits: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    reconstruction_loss(Loss::BinaryCrossEntropyFromLogits, &x, &logits, mask).unwrap_or_else(|| per_example(per_feature(x, logits), mask))
}

/// What [`binary_cross_entropy_from_logits`] averages: nats of each example, `[batch, 1]`.
pub fn bernoulli_nll_of_each(x: Tensor<2>, logits: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    reconstruction_loss_of_each(Loss::BinaryCrossEntropyFromLogits, &x, &logits, mask)
        .unwrap_or_else(|| sum_features(per_feature(x, logits), mask))
}

fn per_feature(x: Tensor<2>, logits: Tensor<2>) -> Tensor<2> {
    let magnitude = logits.clone().abs();
    let linear = magnitude.clone() * 0.5 + logits * (x * -1.0 + 0.5);
    linear + (magnitude * -1.0).exp().log1p()
}
