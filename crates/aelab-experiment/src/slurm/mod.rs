//! Trials as tasks of a Slurm cluster: job arrays over a folder that all machines share.
//!
//! ```text
//! where the runner is                          on a node
//! execute: tasks of a schedule                 task.sh -> run_task: the executor of one machine over a line of a
//!    -> N.tasks, jobs.jsonl, sbatch               .tasks file -> workers -> trials/<hash>
//!    <- squeue, trials/<hash>, N_I.jsonl
//! ```
//!
//! Nothing passes between the two but files and what Slurm says, so either side may die at any moment.

mod cancel;
mod client;
mod executor;
mod journal;
mod script;
mod settings;
mod standing;
mod task;

pub use cancel::{Cancelled, cancel};
pub use client::SlurmError;
pub use executor::{SlurmOptions, execute};
pub use settings::{SlurmSettings, TextOrNumber};
pub use standing::{SlurmStanding, standings};
pub use task::run_task;
