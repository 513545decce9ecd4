//! Search, early termination and budgets: what decides which trials are run, and how far.
//!
//! ```text
//! sampler   the next point of the space, from a seed, the number of the draw and earlier results
//! propose   from a point to planned trials
//! halving   which trials go on at a rung
//! log       search.jsonl: proposals and outcomes, in an order that does not depend on who was faster
//! steered   the schedule that joins them
//! ```

mod clock;
mod curve;
mod halving;
mod log;
mod propose;
mod sampler;
mod spec;
#[cfg(test)]
mod spec_tests;
mod steered;
mod tpe;
#[cfg(test)]
mod tpe_tests;

use std::io;
use std::path::PathBuf;

use crate::source::Diagnostic;

pub use clock::Spent;
pub(crate) use propose::{first_proposals, unknown_goal};
pub(crate) use spec::read_steering;
pub use spec::{Budget, Dimension, Direction, EarlyTermination, Goal, Rungs, Sampler, Search, Steering};
pub use steered::{Best, SteeredSchedule, best_so_far};
pub use tpe::TpeOptions;

/// Why a search, or what else steers a run, cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A file cannot be used.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `read`, `write`, `move`, `lock`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The log is not what aelab writes.
    #[error("{} is not what aelab writes: {message}; move it away to search anew", path.display())]
    Damaged {
        /// The log.
        path: PathBuf,
        /// What is wrong, and in which line.
        message: String,
    },
    /// What is derived anew differs from what the log has.
    #[error(
        "{}, line {line}, contradicts the search:\n  it has    {recorded}\n  expected  {derived}\n\
         the file was edited, the data have changed, or another version of aelab wrote it; move it away to search anew: \
         trials with the same configuration keep what is done", path.display()
    )]
    Contradiction {
        /// The log.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The line.
        recorded: String,
        /// What it should be.
        derived: String,
    },
    /// No point of the space can be used.
    #[error("no point of the search's space could be used; the last one:\n{0}")]
    NothingUsable(Box<Diagnostic>),
    /// The goal is not logged.
    #[error(
        "the trial {hash} has not logged `{metric}` at the end of an epoch, so nothing can be steered by it; it has logged {}",
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    )]
    NoMetric {
        /// The trial.
        hash: String,
        /// The goal's metric.
        metric: String,
        /// What there is.
        names: Vec<String>,
    },
    /// Two runners would decide about the same trials.
    #[error("another runner steers {}; one at a time can decide what comes next", .0.display())]
    Busy(PathBuf),
}
