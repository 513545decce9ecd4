//! Objectives as pure functions: tensors in, a scalar tensor out.
//!
//! Every function sums over features (or latent dimensions), averages over the batch and returns a
//! tensor of shape `[1]` that is still attached to the tape. No configuration, no randomness, no I/O.
//!
//! # Masks
//! Where a function takes a mask, `[batch, feature]`, each feature's contribution is multiplied by the
//! mask before it is summed: 1 counts, 0 does not, anything between weighs. The sum is *not* divided by
//! the number of observed features, so two half-observed examples weigh as much as one whole one. Values
//! under a 0 must still be finite numbers.

#![forbid(unsafe_code)]

mod bernoulli;
mod divergence;
mod gaussian;
mod multinomial;
mod reduce;
mod squared_error;
mod weight_decay;

pub use bernoulli::binary_cross_entropy_from_logits;
pub use divergence::kl_to_standard_normal;
pub use gaussian::{gaussian_nll, gaussian_nll_with_log_var};
pub use multinomial::multinomial_nll;
pub use squared_error::squared_error;
pub use weight_decay::weight_decay;
