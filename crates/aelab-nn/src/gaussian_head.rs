//! From features to a Gaussian over codes.

use aelab_core::{DiagonalGaussian, Initialization, Initializer};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::Linear;

/// Two affine maps, one to the mean and one to the logarithm of the variance, neither bounded.
#[derive(Module, Debug)]
pub struct GaussianHead {
    mean: Linear,
    log_var: Linear,
}

impl GaussianHead {
    /// A head from `num_inputs` features to `latent_dim` dimensions.
    pub fn new(num_inputs: usize, latent_dim: usize, how: Initialization, initializer: &mut Initializer) -> Self {
        Self {
            mean: Linear::new(num_inputs, latent_dim, true, how, initializer),
            log_var: Linear::new(num_inputs, latent_dim, true, how, initializer),
        }
    }

    /// `[batch, input]` to Gaussians over `[batch, latent]`.
    pub fn forward(&self, features: Tensor<2>) -> DiagonalGaussian {
        DiagonalGaussian { mean: self.mean.forward(features.clone()), log_var: self.log_var.forward(features) }
    }

    /// The map to the mean, then the map to the logarithm of the variance.
    pub fn layers(&self) -> [&Linear; 2] {
        [&self.mean, &self.log_var]
    }

    /// The means alone, `[batch, latent]`.
    pub fn mean(&self, features: Tensor<2>) -> Tensor<2> {
        self.mean.forward(features)
    }
}
