//! The Gaussian likelihood with independent features.

use std::f64::consts::PI;

use burn::tensor::Tensor;

use crate::reduce::per_example;

/// Negative log-likelihood under `N(mean, variance)` with one fixed variance, in nats per example.
///
/// ```text
/// 1/B sum_b sum_i [ (x - mean)^2 / (2 variance) + log(2 pi variance) / 2 ]
/// ```
///
/// The constant is included: values compare with other likelihoods, and are negative where the density
/// exceeds 1. Gradients are those of the squared error divided by `2 variance`.
///
/// # Shapes
/// `x`, `mean` and `mask`: `[batch, feature]`; the result: `[1]`. `variance` is positive, in squared data units.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[1.0, 2.0]], &device);
/// let nll = aelab_losses::gaussian_nll(x.clone(), x, 1.0, None).into_scalar::<f32>();
/// assert!((nll - 2.0 * 0.918_938_5).abs() < 1e-6);
/// ```
pub fn gaussian_nll(x: Tensor<2>, mean: Tensor<2>, variance: f64, mask: Option<&Tensor<2>>) -> Tensor<1> {
    per_example(gaussian_nll_per_feature(x, mean, variance), mask)
}

/// What [`gaussian_nll`] sums: nats per feature, `[batch, feature]`.
pub fn gaussian_nll_per_feature(x: Tensor<2>, mean: Tensor<2>, variance: f64) -> Tensor<2> {
    (x - mean).square() * (0.5 / variance) + 0.5 * (2.0 * PI * variance).ln()
}

/// Negative log-likelihood under `N(mean, exp(log_var))`, in nats per example.
///
/// ```text
/// 1/B sum_b sum_i [ (x - mean)^2 exp(-log_var) + log_var + log(2 pi) ] / 2
/// ```
///
/// # Shapes
/// `x`, `mean` and `mask`: `[batch, feature]`; `log_var`: the same, or 1 along a dimension that shares
/// it (`[1, 1]`: one variance for all); the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let (x, mean) = (Tensor::from_data([[1.0, 2.0]], &device), Tensor::from_data([[0.0, 2.5]], &device));
/// let log_var = Tensor::from_data([[0.25f32.ln()]], &device);
/// let learned = aelab_losses::gaussian_nll_with_log_var(x.clone(), mean.clone(), log_var, None);
/// let fixed = aelab_losses::gaussian_nll(x, mean, 0.25, None);
/// assert!((learned - fixed).into_scalar::<f32>().abs() < 1e-6);
/// ```
pub fn gaussian_nll_with_log_var(x: Tensor<2>, mean: Tensor<2>, log_var: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    per_example(gaussian_nll_with_log_var_per_feature(x, mean, log_var), mask)
}

/// What [`gaussian_nll_with_log_var`] sums: nats per feature, `[batch, feature]`.
pub fn gaussian_nll_with_log_var_per_feature(x: Tensor<2>, mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<2> {
    let squares = (x - mean).square() * (log_var.clone() * -1.0).exp();
    (squares + log_var) * 0.5 + 0.5 * (2.0 * PI).ln()
}
