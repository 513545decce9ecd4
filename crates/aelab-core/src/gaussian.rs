//! The Gaussian with diagonal covariance: what encoders put out and divergences take in.

use burn::tensor::Tensor;

use crate::Noise;

/// A batch of Gaussians with diagonal covariance.
#[derive(Debug, Clone)]
pub struct DiagonalGaussian {
    /// Means, `[batch, latent]`.
    pub mean: Tensor<2>,
    /// Natural logarithms of the variances, `[batch, latent]`.
    pub log_var: Tensor<2>,
}

impl DiagonalGaussian {
    /// The batch `num` times over, one whole copy after the other, `[num * batch, latent]`.
    #[must_use]
    pub fn repeat(&self, num: usize) -> Self {
        Self { mean: self.mean.clone().repeat_dim(0, num), log_var: self.log_var.clone().repeat_dim(0, num) }
    }

    /// One sample of each by reparameterisation: `mean + exp(log_var / 2) * noise`, `[batch, latent]`
    /// (Kingma & Welling 2014, Eq. 10).
    pub fn sample(&self, noise: &mut dyn Noise) -> Tensor<2> {
        let epsilon = noise.normal(self.mean.dims(), &self.mean.device());
        aelab_kernels::gaussian_sample(self.mean.clone(), self.log_var.clone(), epsilon)
    }
}
