//! Training: the loop, its stages, optimizers, checkpoints and early stopping.
//!
//! [`fit`] is the algorithm. It sees a [`Trainee`](aelab_core::Trainee) and
//! [`Examples`](aelab_core::Examples), never a model or a data set.

#![forbid(unsafe_code)]

mod ada_grad;
mod adam;
mod checkpoint;
mod config;
mod fit;
#[doc(hidden)]
pub mod fuzzing;
mod optimizer;
mod order;
mod plain_step;
mod restore;
mod rms_prop;
mod sgd;
mod term_means;

pub use checkpoint::{CheckpointError, CheckpointFolder, Latest, Manifest, Position};
pub use config::{EarlyStopping, Keep, TrainConfig};
pub use fit::{CHECKPOINT_PHASE, Ending, EpochEnd, EpochHook, Outcome, Session, StepReport, Tell, TrainError, fit, fitted};
pub use optimizer::OptimizerConfig;
pub use order::gather_batch;
pub use restore::restore;
