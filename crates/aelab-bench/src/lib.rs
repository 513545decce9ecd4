//! Time of a training step, on fixed networks.

#![forbid(unsafe_code)]

mod networks;
mod recording;
mod timing;

pub use networks::{BenchmarkNetwork, NETWORKS};
pub use recording::{RecordingError, record_steps};
pub use timing::{LEARNING_RATE, NUM_WARM_UP_STEPS, Steps};
