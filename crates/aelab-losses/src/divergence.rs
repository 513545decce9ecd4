//! Divergences between distributions of codes.

use aelab_core::DiagonalGaussian;
use burn::tensor::Tensor;

/// `KL(N(mean, diag(exp(log_var))) || N(0, I))`, in nats per example (Kingma & Welling 2014, appendix B).
///
/// ```text
/// 1/B sum_b sum_j [ mean^2 + exp(log_var) - 1 - log_var ] / 2
/// ```
///
/// It is never negative, and 0 only at the prior itself. It takes no mask: a mask tells which features
/// were observed, and a code has none.
///
/// # Shapes
/// `posterior.mean` and `posterior.log_var`: `[batch, latent]`; the result: `[1]`.
///
/// ```
/// use aelab_core::DiagonalGaussian;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let prior = DiagonalGaussian { mean: Tensor::zeros([4, 2], &device), log_var: Tensor::zeros([4, 2], &device) };
/// assert_eq!(aelab_losses::kl_to_standard_normal(&prior).into_scalar::<f32>(), 0.0);
/// ```
pub fn kl_to_standard_normal(posterior: &DiagonalGaussian) -> Tensor<1> {
    aelab_kernels::kl_to_standard_normal(posterior.mean.clone(), posterior.log_var.clone())
}
