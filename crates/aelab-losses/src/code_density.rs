//! Log densities of codes, one for each example, where a divergence has no closed form and is estimated from samples.

use aelab_core::DiagonalGaussian;
use burn::tensor::Tensor;

use crate::reduce::{log_sum_exp, sum_features};

/// `log N(z; mean, diag(exp(log_var)))` in nats, `[batch, 1]`.
///
/// # Shapes
/// `z`, `gaussian.mean` and `gaussian.log_var`: `[batch, latent]`.
pub fn gaussian_log_density(z: Tensor<2>, gaussian: &DiagonalGaussian) -> Tensor<2> {
    aelab_kernels::gaussian_log_density(z, gaussian.mean.clone(), gaussian.log_var.clone())
}

/// `log N(z; 0, I)` in nats, `[batch, 1]`, of codes `[batch, latent]`.
pub fn standard_normal_log_density(z: Tensor<2>) -> Tensor<2> {
    aelab_kernels::standard_normal_log_density(z)
}

/// `log 1/K sum_k N(z; mean_k, diag(exp(log_var_k)))` in nats, `[batch, 1]`.
///
/// The quadratic form is multiplied out, so that nothing of size `batch x K x latent` is made:
///
/// ```text
/// sum_j (z_j - m_kj)^2 / v_kj = z^2 . (1/v_k) - 2 z . (m_k/v_k) + sum_j m_kj^2 / v_kj
/// ```
///
/// # Shapes
/// `z`: `[batch, latent]`; `components.mean` and `components.log_var`: `[component, latent]`.
pub fn mixture_log_density(z: Tensor<2>, components: &DiagonalGaussian) -> Tensor<2> {
    let DiagonalGaussian { mean, log_var } = components;
    let [num_components, latent_dim] = mean.dims();
    let precision = (log_var.clone() * -1.0).exp();
    let scaled = mean.clone() * precision.clone();
    let constant = sum_features(mean.clone() * scaled.clone() + log_var.clone(), None).transpose();
    let squares = z.clone().square().matmul(precision.transpose()) - z.matmul(scaled.transpose()) * 2.0 + constant;
    let log_two_pi = (2.0 * std::f64::consts::PI).ln();
    log_sum_exp((squares + latent_dim as f64 * log_two_pi) * -0.5, 1) - (num_components as f64).ln()
}
