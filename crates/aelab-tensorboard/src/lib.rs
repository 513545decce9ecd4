//! TensorBoard event files: an observer of training that TensorBoard can show.
//!
//! [`EventFile`] is the [`Observer`](aelab_core::Observer) of one trial. [`write_experiment`] writes,
//! once per run directory, what the HPARAMS tab must know about the whole sweep. Records are framed by
//! the `RecordWriter` of `tensorboard-rs` and filled with the messages of `tensorboard-proto`; the
//! `SummaryWriter` of that crate is not used, because it loses what it has buffered when a process
//! ends and panics on a full disk.

#![forbid(unsafe_code)]

mod event_file;
#[doc(hidden)]
pub mod fuzzing;
mod histogram;
mod hparams;
mod record;
mod summary;

pub use event_file::EventFile;
pub use hparams::{ExperimentInfo, write_experiment};
