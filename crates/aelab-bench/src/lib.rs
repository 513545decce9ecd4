//! Time of a training step, on fixed networks, beside what the machine can do at best.

#![forbid(unsafe_code)]

mod floor;
mod measure;
mod networks;
mod recording;
mod timing;
mod work;

pub use floor::{Floor, Rates};
pub use measure::{Measurement, measure};
pub use networks::{BenchmarkNetwork, NETWORKS, WIDTHS, networks_called};
pub use recording::{RecordingError, record_steps};
pub use timing::{LEARNING_RATE, NUM_WARM_UP_STEPS, Steps};
pub use work::{Product, Work};
