//! Fast kernels for the CPU backend `flex`: operations of training fused into few passes over memory, with gradients of
//! their own. On other backends each function is the plain expression in tensors.
//!
//! This is the one crate of numbers with unsafe code: calls of functions that are compiled for more than the target has,
//! after a look at what the machine has; matrix products over strides; threads that work on parts of one array (`team`,
//! `parallel`); and the allocator that programs which train may install.

mod activation;
mod adam;
mod allocator;
mod batch_norm;
mod boltzmann;
mod bytes;
mod code_statistics;
mod convolution;
mod cross_entropy;
mod dense;
mod descent;
mod direct;
mod directions;
mod elementwise;
mod fused;
mod gaussian;
mod isa;
mod lanes;
mod likelihood;
mod loss;
mod lstm;
mod map;
mod math;
mod moments;
mod packed;
mod parallel;
mod patches;
mod pooling;
mod prefetch;
mod primitive;
mod product;
mod similarity;
mod slope;
mod sparse_code;
mod sparsity;
mod team;
mod top_k;
mod vector;

pub use activation::Activation;
pub use adam::{AdamStep, adam, with_rest};
pub use allocator::ReusingAllocator;
pub use batch_norm::{Normalisation, batch_norm, channel_statistics};
pub use boltzmann::{BoltzmannUpdate, bernoulli_states, boltzmann_update, difference_of_means, softplus_sums};
pub use bytes::{append_fractions, fraction};
pub use code_statistics::{CodeStatistics, code_statistics};
pub use convolution::{Sliding, convolution};
pub use cross_entropy::cross_entropy;
pub use dense::dense;
pub use descent::{AdaGradStep, RmsPropStep, SgdStep, ada_grad, rms_prop, sgd};
pub use elementwise::activated;
pub use gaussian::{gaussian_log_density, gaussian_sample, kl_to_standard_normal, standard_normal_log_density};
pub use likelihood::Loss;
pub use loss::{reconstruction_loss, reconstruction_loss_of_each};
pub use lstm::{LstmInput, LstmOutput, LstmPlan, lstm};
pub use moments::add_moments;
pub use parallel::for_bands;
pub use pooling::{double, halve};
pub use prefetch::prefetch;
pub use primitive::{Tensors, is_ours, with_optional_slices, with_slices};
pub use similarity::Similarity;
pub use slope::{slope, squared_norm_of_scaled_columns};
pub use sparse_code::SparseCode;
pub use sparsity::{kl_of_bernoulli, l1_norm, mean_of_units};
pub use top_k::keep_largest;
