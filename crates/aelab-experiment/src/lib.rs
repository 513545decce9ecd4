//! From an experiment file to trials, a run directory, and workers that fill it.
//!
//! ```text
//! experiment.yaml --spec--> tree + sweep --plan--> resolved trials with hashes --run_dir--> folders
//!                                                                              --executor--> workers
//! ```
//!
//! This crate alone knows the wire format: the YAML of an experiment, `plan.json`, `config.yaml` and
//! `result.json` of a trial, and the messages of a worker.

#![forbid(unsafe_code)]

mod comparison;
mod device;
pub mod executor;
mod hash;
mod hparams;
mod key_path;
pub mod lock;
mod plan;
mod read;
mod result;
mod run_dir;
mod schedule;
mod schema;
pub mod slurm;
mod source;
pub mod space;
mod spec;
mod summary;
pub mod sweep;
mod sweep_section;
pub mod tree;
pub mod trial;
mod trial_config;
mod worker;

pub use comparison::{Collected, CollectedTrial, ComparisonError, ComparisonRequest, CurveRequest, Filter, collect};
pub use device::{DeviceError, resolve_device, resolve_device_name};
pub use executor::{ExecutorError, ExecutorOptions, RunEvent, RunSummary, StopSignal, WorkerCommand, execute, resolve_jobs};
pub use hash::{canonical_json, short_hash};
pub use hparams::describe_for_tensorboard;
pub use key_path::KeyPath;
pub use plan::{Plan, PlannedTrial, plan, short_value};
pub use read::{Problem, ReadError};
pub use result::{DrawnPicture, MetricValue, TrialResult, TrialState};
pub use run_dir::{Prepared, RunDir, RunDirError, TrialDir, differences};
pub use schedule::{PlanSchedule, Schedule, Task};
pub use schema::{experiment_schema, section_schema};
pub use source::{Diagnostic, Excerpt, Origin, Source, Sources, nearest_name};
pub use spec::{Execution, ExecutorKind, ExperimentSpec, Jobs, SpecSource};
pub use summary::{SummaryError, SummaryFiles, TrialPictures, trial_rows, write_summary};
pub use trial::TrialContext;
pub use trial_config::{FORMAT_VERSION, ResolvedTrial, Sections, TrialConfigError};
pub use worker::{TrialProgress, WorkerError, WorkerMessage, WorkerOptions, error_chain, run_worker};

/// A value as YAML, as aelab writes it: for examples and listings.
pub fn to_yaml(value: &serde_json::Value) -> String {
    serde_yaml::to_string(value).expect("a value of numbers, texts, lists and maps serializes")
}

#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod run_tests;
