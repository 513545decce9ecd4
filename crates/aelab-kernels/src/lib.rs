//! Fast kernels for the CPU backend `flex`: operations of training fused into few passes over memory, with gradients of
//! their own. On other backends each function is the plain expression in tensors.
//!
//! This is the one crate of numbers with unsafe code: calls of functions that are compiled for more than the target has,
//! after a look at what the machine has, and matrix products over strides.

mod activation;
mod adam;
mod boltzmann;
mod convolution;
mod dense;
mod isa;
mod likelihood;
mod loss;
mod lstm;
mod lstm_gates;
mod math;
mod packed;
mod parallel;
mod primitive;
mod product;
mod vector;

pub use activation::Activation;
pub use adam::{AdamStep, adam};
pub use boltzmann::{BoltzmannUpdate, bernoulli_states, boltzmann_update, difference_of_means, softplus_sums};
pub use convolution::{Sliding, convolution};
pub use dense::dense;
pub use likelihood::Loss;
pub use loss::reconstruction_loss;
pub use lstm::{LstmInput, LstmOutput, LstmPlan, lstm};
pub use primitive::{is_ours, with_slices};
