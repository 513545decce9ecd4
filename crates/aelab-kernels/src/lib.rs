//! Fast kernels for the CPU backend `flex`: operations of training fused into few passes over memory, with gradients of
//! their own. On other backends each function is the plain expression in tensors.
//!
//! This is the one crate of numbers with unsafe code: calls of functions that are compiled for more than the target has,
//! after a look at what the machine has, and matrix products over strides.

mod activation;
mod adam;
mod batch_norm;
mod convolution;
mod dense;
mod isa;
mod likelihood;
mod loss;
mod map;
mod math;
mod parallel;
mod patches;
mod pooling;
mod primitive;
mod product;

pub use activation::Activation;
pub use adam::{AdamStep, adam};
pub use batch_norm::{Normalisation, batch_norm, channel_statistics};
pub use convolution::{Sliding, convolution};
pub use dense::dense;
pub use likelihood::Loss;
pub use loss::reconstruction_loss;
pub use pooling::{double, halve};
pub use primitive::with_slices;
