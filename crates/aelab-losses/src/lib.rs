//! Objectives as pure functions: tensors in, a scalar tensor out.
//!
//! A loss sums over features (or latent dimensions), averages over the batch and returns a tensor of
//! shape `[1]` that is still attached to the tape. What enters an objective that is no such average keeps its
//! examples apart, and says so: `*_of_each`, [`sum_features`], log densities of codes. No configuration, no randomness, no I/O.
//!
//! # Masks
//! Where a function takes a mask, `[batch, feature]`, each feature's contribution is multiplied by the
//! mask before it is summed: 1 counts, 0 does not, anything between weighs. The sum is *not* divided by
//! the number of observed features, so two half-observed examples weigh as much as one whole one. Values
//! under a 0 must still be finite numbers.

#![forbid(unsafe_code)]

mod bernoulli;
mod code_density;
mod continuous_bernoulli;
mod contraction;
mod covariance;
mod divergence;
mod gaussian;
mod importance;
mod mmd;
mod multinomial;
mod reduce;
mod sparsity;
mod squared_error;
mod total_correlation;
mod weight_decay;

pub use bernoulli::{bernoulli_nll_of_each, binary_cross_entropy_from_logits};
pub use code_density::{gaussian_log_density, mixture_log_density, standard_normal_log_density};
pub use continuous_bernoulli::{continuous_bernoulli_mean, continuous_bernoulli_nll_from_logits, continuous_bernoulli_nll_of_each};
pub use contraction::{SmoothLayer, contraction, jacobian_change, projected_contraction, projected_jacobian_change};
pub use covariance::{aggregate_covariance, covariance, off_diagonal_squares, unit_variance_squares};
pub use divergence::kl_to_standard_normal;
pub use gaussian::{gaussian_nll, gaussian_nll_of_each, gaussian_nll_with_log_var, gaussian_nll_with_log_var_of_each};
pub use importance::{effective_sample_size, importance_weighted_bound};
pub use mmd::{Kernel, MmdEstimator, mmd};
pub use multinomial::multinomial_nll;
pub use reduce::sum_features;
pub use sparsity::{kl_sparsity, l1_norm};
pub use squared_error::{squared_error, squared_error_of_sigmoid};
pub use total_correlation::{AggregateEstimator, KlDecomposition, decompose_kl};
pub use weight_decay::weight_decay;
