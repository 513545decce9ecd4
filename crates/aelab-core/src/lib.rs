//! The vocabulary of aelab: what data, a model, an objective, a training step and an event are.
//!
//! Every other crate speaks these words and none of them is needed to read this one. Nothing here
//! touches a file, a clock or the network: the crate hands out values and whoever asks decides where
//! they go.
//!
//! The three seams are
//!
//! * [`Autoencoder`] and [`ModelConfig`]: what the author of a model writes;
//! * [`Trainee`] and [`TrainedModel`]: the object-safe view that the training loop and the
//!   evaluation have of *any* model, one optimizer or two, one stage or five;
//! * [`Event`] and [`Observer`]: the closed list of things that a run can say.
//!
//! # Units
//! A term of an objective is in nats per example (squared units per example for a squared error):
//! summed over features, averaged over the batch. A weight multiplies exactly that.

#![forbid(unsafe_code)]

mod autoencoder;
mod batch;
mod class_ref;
mod classifier;
#[cfg(feature = "testing")]
pub mod conformance;
mod corruption;
mod data_spec;
mod error;
mod event;
mod examples;
mod gaussian;
mod gradient;
mod image_grid;
mod initializer;
mod noise;
mod objective;
mod pulse;
mod random;
mod registry;
mod schedule;
mod trainee;

pub use autoencoder::{Autoencoder, BuildContext, ModelConfig};
pub use batch::Batch;
pub use class_ref::ClassRef;
pub use classifier::{Classifier, ClassifierTrainee, Head};
pub use corruption::Corruption;
pub use data_spec::{DataSpec, Domain};
pub use error::{ConfigError, StateError};
pub use event::{Event, Observer, ObserverError, Rewound, RunInfo, Split};
pub use examples::{Examples, Factors};
pub use gaussian::DiagonalGaussian;
pub use gradient::{GradientClipping, Optimizer, OptimizerFactory};
pub use image_grid::{Image, image_grid};
pub use initializer::{Initialization, Initializer};
pub use noise::{FixedNoise, Noise, StreamNoise};
pub use objective::{Objective, Term, TermSpec, TermValue, Terms, Unit};
pub use pulse::Pulse;
pub use random::{Purpose, Stream, draw_positions, stream};
pub use registry::{AnyModelConfig, ModelEntry, ParseError, Registry};
pub use schedule::{Progress, Schedule, Scheduled};
pub use trainee::{SingleOptimizer, Stage, StepContext, TrainedModel, Trainee, TraineeState, num_trainable, snapshot};
