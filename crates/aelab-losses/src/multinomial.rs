//! The multinomial likelihood, from logits.

use aelab_kernels::{Loss, reconstruction_loss};
use burn::tensor::{Tensor, activation};

use crate::reduce::per_example;

/// Negative log-likelihood of counts under one categorical distribution per example, in nats per example, without the
/// multinomial coefficient, which no parameter touches (Liang et al. 2018, Eq. 2).
///
/// ```text
/// - 1/B sum_b sum_i x_bi log p_bi      with p_b = softmax(l_b)
/// ```
///
/// Its gradient by a logit is `N p_i - x_i`, `N` the sum of the counts. `x` may be any numbers that are not negative. A mask hides counts
/// and leaves the softmax as it is: what is hidden keeps its share of the probability.
///
/// # Shapes
/// `x`, `logits` and `mask`: `[batch, feature]`; the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[0.0, 2.0, 1.0, 0.0]], &device);
/// let undecided = Tensor::zeros([1, 4], &device);
/// let nll = aelab_losses::multinomial_nll(x, undecided, None).into_scalar::<f32>();
/// assert!((nll - 3.0 * 4f32.ln()).abs() < 1e-6);
/// ```
pub fn multinomial_nll(x: Tensor<2>, logits: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    reconstruction_loss(Loss::MultinomialFromLogits, &x, &logits, mask)
        .unwrap_or_else(|| per_example(activation::log_softmax(logits, 1) * (x * -1.0), mask))
}
