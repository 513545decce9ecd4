//! The Gaussian likelihood with independent features.

use std::f64::consts::PI;

use aelab_kernels::gaussian_log_density;
use burn::tensor::Tensor;

use crate::reduce::sum_features;
use crate::squared_error::squared_error_of_each;

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
    gaussian_nll_of_each(x, mean, variance, mask).mean()
}

/// What [`gaussian_nll`] averages: nats of each example, `[batch, 1]`.
pub fn gaussian_nll_of_each(x: Tensor<2>, mean: Tensor<2>, variance: f64, mask: Option<&Tensor<2>>) -> Tensor<2> {
    let constant = 0.5 * (2.0 * PI * variance).ln();
    let counted = |width: usize| mask.map_or(Counted::All(width), |mask| Counted::Weighed(sum_features(mask.clone(), None)));
    let counted = counted(x.dims()[1]);
    let errors = squared_error_of_each(x, mean, mask) * (0.5 / variance);
    match counted {
        Counted::All(width) => errors + constant * width as f64,
        Counted::Weighed(weights) => errors + weights * constant,
    }
}

/// How many features of an example count.
#[expect(clippy::large_enum_variant, reason = "one at a time, and briefly")]
enum Counted {
    All(usize),
    /// The sum of its mask, `[batch, 1]`.
    Weighed(Tensor<2>),
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
    gaussian_nll_with_log_var_of_each(x, mean, log_var, mask).mean()
}

/// What [`gaussian_nll_with_log_var`] averages: nats of each example, `[batch, 1]`.
pub fn gaussian_nll_with_log_var_of_each(x: Tensor<2>, mean: Tensor<2>, log_var: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    if mask.is_none() && log_var.dims() == x.dims() {
        return gaussian_log_density(x, mean, log_var) * -1.0;
    }
    if mask.is_none() && log_var.dims() == [1, 1] {
        // One variance for all: what the features have in common is taken out of the sum.
        let width = x.dims()[1] as f64;
        let errors = squared_error_of_each(x, mean, None) * (log_var.clone() * -1.0).exp();
        return (errors + (log_var + (2.0 * PI).ln()) * width) * 0.5;
    }
    let squares = (x - mean).square() * (log_var.clone() * -1.0).exp();
    sum_features((squares + log_var) * 0.5 + 0.5 * (2.0 * PI).ln(), mask)
}
