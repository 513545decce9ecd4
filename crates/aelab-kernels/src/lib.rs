//! Fast kernels for the CPU backend `flex`: operations of training fused into few passes over memory, with gradients of
//! their own. On other backends each function is the plain expression in tensors.
//!
//! This is the one crate of numbers with unsafe code: calls of functions that are compiled for more than the target has,
//! after a look at what the machine has; matrix products over strides; threads that work on parts of one array (`team`,
//! `parallel`); and the allocator that programs which train may install.

mod activation;
mod adam;
mod allocator;
mod convolution;
mod dense;
mod descent;
mod isa;
mod likelihood;
mod loss;
mod math;
mod parallel;
mod primitive;
mod product;
mod team;

pub use activation::Activation;
pub use adam::{AdamStep, adam};
pub use allocator::ReusingAllocator;
pub use convolution::{Sliding, convolution};
pub use dense::dense;
pub use descent::{AdaGradStep, RmsPropStep, SgdStep, ada_grad, rms_prop, sgd, sgd_with_momentum};
pub use likelihood::Loss;
pub use loss::reconstruction_loss;
pub use primitive::with_slices;
