//! Encoder and decoder blocks. They know no loss, and their initial parameters come from an
//! [`Initializer`](aelab_core::Initializer), so that a seed decides every bit.
//!
//! Blocks that build other sizes than asked for do not exist: what cannot be built is refused by a
//! `check` or a `solve` beforehand, with the path of the value at fault.

#![forbid(unsafe_code)]

mod activation;
mod batch_norm;
mod codebook;
mod conv;
mod conv_layout;
mod decoder;
mod encoder;
mod gated;
mod gaussian_head;
mod hidden;
mod initialization;
mod linear;
mod lstm;
mod lstm_decoder;
mod mlp;
mod rbm;
mod rbm_learning;
mod rbm_partition;
mod steps;
mod top_k;

pub use activation::{Activation, Activations};
pub use batch_norm::BatchNorm;
pub use codebook::Codebook;
pub use conv::{ConvDecoder, ConvEncoder};
pub use conv_layout::{ConvForm, ConvLayout};
pub use decoder::{Decoder, GatedDecoder, ImageDecoder};
pub use encoder::{Encoder, GatedEncoder, ImageEncoder};
pub use gated::GatedLinear;
pub use gaussian_head::GaussianHead;
pub use hidden::{ConvHidden, Hidden};
pub use initialization::check_initialization;
pub use linear::Linear;
pub use lstm::{JoinedWeights, LstmCell, LstmEncoder, LstmLayer, LstmState};
pub use lstm_decoder::{Feedback, LstmDecoder, TeacherForcing};
pub use mlp::{Mlp, TiedMlp};
pub use rbm::{Rbm, UnitKind, squared_distance};
pub use rbm_learning::{RbmDirection, RbmStatistics, RbmUpdate};
pub use rbm_partition::{PartitionEstimate, annealing_schedule, base_rate_bias};
pub use steps::{Presence, Steps};
pub use top_k::keep_largest;
