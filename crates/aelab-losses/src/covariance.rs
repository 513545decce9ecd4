//! How far codes are from uncorrelated ones of variance 1: the penalties of the disentangled inferred prior.
//!
//! Kumar, Sattigeri & Balakrishnan 2018, "Variational Inference of Disentangled Latent Concepts from Unlabeled
//! Observations", Eq. 6 and 7. <https://arxiv.org/abs/1711.00848>

use aelab_core::DiagonalGaussian;
use burn::tensor::{Bool, Tensor, TensorData};

/// The covariance of the rows of `values`, `[batch, latent]` to `[latent, latent]`: a mean over the batch (not divided by one less).
pub fn covariance(values: Tensor<2>) -> Tensor<2> {
    let num = values.dims()[0] as f64;
    let centred = values.clone() - values.mean_dim(0);
    centred.clone().transpose().matmul(centred) * (1.0 / num)
}

/// The covariance of codes drawn from the posteriors: that of the means, and the mean of the variances on the diagonal.
/// `[latent, latent]`.
pub fn aggregate_covariance(posterior: &DiagonalGaussian) -> Tensor<2> {
    let of_means = covariance(posterior.mean.clone());
    let latent_dim = of_means.dims()[0];
    let variances = posterior.log_var.clone().exp().mean_dim(0).expand([latent_dim, latent_dim]);
    let off_diagonal = diagonal(latent_dim, &of_means).bool_not();
    of_means + variances.mask_fill(off_diagonal, 0.0)
}

/// `sum_{i != j} C_ij^2` of a covariance `[latent, latent]`; the result: `[1]`.
pub fn off_diagonal_squares(covariance: Tensor<2>) -> Tensor<1> {
    let on = diagonal(covariance.dims()[0], &covariance);
    covariance.mask_fill(on, 0.0).square().sum()
}

/// `sum_i (C_ii - 1)^2` of a covariance `[latent, latent]`; the result: `[1]`.
pub fn unit_variance_squares(covariance: Tensor<2>) -> Tensor<1> {
    let off = diagonal(covariance.dims()[0], &covariance).bool_not();
    (covariance - 1.0).mask_fill(off, 0.0).square().sum()
}

/// True on the diagonal, `[size, size]`.
fn diagonal(size: usize, beside: &Tensor<2>) -> Tensor<2, Bool> {
    let entries: Vec<bool> = (0..size * size).map(|entry| entry % size == entry / size).collect();
    Tensor::from_data(TensorData::new(entries, [size, size]), &beside.device())
}
