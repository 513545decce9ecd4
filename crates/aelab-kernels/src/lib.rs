//! Fast kernels for the CPU backend `flex`: operations of training fused into few passes over memory, with gradients of
//! their own. On other backends each function is the plain expression in tensors.
//!
//! This is the one crate of numbers with unsafe code: calls of functions that are compiled for more than the target has,
//! after a look at what the machine has, and matrix products over strides.

mod activation;
mod adam;
mod convolution;
mod dense;
mod elementwise;
mod isa;
mod likelihood;
mod loss;
mod math;
mod parallel;
mod primitive;
mod product;
mod similarity;

pub use activation::Activation;
pub use adam::{AdamStep, adam};
pub use convolution::{Sliding, convolution};
pub use dense::dense;
pub use elementwise::activated;
pub use likelihood::Loss;
pub use loss::reconstruction_loss;
pub use primitive::with_slices;
pub use similarity::Similarity;
