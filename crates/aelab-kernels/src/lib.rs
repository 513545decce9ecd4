//! Fast kernels for the CPU backend `flex`: operations of training fused into few passes over memory, with gradients of
//! their own. On other backends each function is the plain expression in tensors.
//!
//! This is the one crate of numbers with unsafe code: calls of functions that are compiled for more than the target has,
//! after a look at what the machine has, and matrix products over strides.

mod activation;
mod adam;
mod code_statistics;
mod convolution;
mod dense;
mod fused;
mod gaussian;
mod isa;
mod likelihood;
mod loss;
mod math;
mod parallel;
mod primitive;
mod product;
mod slope;
mod sparse_code;
mod sparsity;
mod top_k;

pub use activation::Activation;
pub use adam::{AdamStep, adam};
pub use code_statistics::{CodeStatistics, code_statistics};
pub use convolution::{Sliding, convolution};
pub use dense::dense;
pub use gaussian::{gaussian_log_density, gaussian_sample, kl_to_standard_normal, standard_normal_log_density};
pub use likelihood::Loss;
pub use loss::{reconstruction_loss, reconstruction_loss_of_each};
pub use primitive::with_slices;
pub use slope::{slope, squared_norm_of_scaled_columns};
pub use sparse_code::SparseCode;
pub use sparsity::{kl_of_bernoulli, l1_norm, mean_of_units};
pub use top_k::keep_largest;
