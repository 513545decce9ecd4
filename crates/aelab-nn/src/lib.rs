//! Encoder and decoder blocks. They know no loss, and their initial parameters come from an
//! [`Initializer`](aelab_core::Initializer), so that a seed decides every bit.
//!
//! Blocks that build other sizes than asked for do not exist: what cannot be built is refused by a
//! `check` or a `solve` beforehand, with the path of the value at fault.

#![forbid(unsafe_code)]

mod activation;
mod conv;
mod conv_layout;
mod gaussian_head;
mod initialization;
mod linear;
mod mlp;

pub use activation::{Activation, Activations};
pub use conv::{ConvDecoder, ConvEncoder};
pub use conv_layout::{ConvForm, ConvLayout};
pub use gaussian_head::GaussianHead;
pub use initialization::check_initialization;
pub use linear::Linear;
pub use mlp::{Mlp, TiedMlp};
