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

mod archive;
mod cancel;
mod comparison;
mod cost;
mod device;
pub mod executor;
mod export;
pub mod expression;
#[cfg(test)]
mod fixture;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod hparams;
mod key_path;
pub mod lock;
mod plan;
mod plan_costs;
mod processor_time;
mod prune;
mod read;
mod reading;
mod result;
mod rules;
mod run_dir;
mod sampler;
mod schedule;
mod schema;
pub mod search;
mod selection;
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
mod trial_report;
mod trial_values;
mod worker;

pub use archive::{ArchiveError, ArchiveManifest, Archived, ArchivedFile, archive, unarchive, verify_archive};
pub use cancel::{CancelError, Cancelled, cancel};
pub use comparison::{Collected, CollectedTrial, ComparisonError, ComparisonRequest, CurveRequest, Filter, collect};
pub use cost::{CostModel, Spent, TimeLeft, TrialSize, time_left, trial_sizes, wall_seconds};
pub use device::{DeviceError, resolve_device, resolve_device_name};
pub use executor::{ExecutorError, ExecutorOptions, RunEvent, RunSummary, StopSignal, WorkerCommand, execute, resolve_jobs};
pub use export::{
    CurvePoint, ExportColumn, ExportError, ExportFormat, ExportTable, TableWriter, Values, export_curves, export_trials, read_curves,
};
pub use hash::{canonical_json, short_hash};
pub use hparams::describe_for_tensorboard;
pub use key_path::KeyPath;
pub use plan::{LeftOut, Plan, PlannedTrial, plan, short_value};
pub use plan_costs::{ModelCosts, PlanAxis, PlanCosts, plan_costs};
pub use prune::{PruneError, PruneReport, PruneRequest, Pruned, prune};
pub use read::{Problem, ReadError};
pub use reading::{TrialReading, map_trials, read_trials, refresh_trials};
pub use result::{DrawnPicture, MetricValue, TrialResult, TrialState};
pub use rules::Derived;
pub use run_dir::{Prepared, RunDir, RunDirError, TrialDir, differences};
pub use schedule::{PlanSchedule, Schedule, Task};
pub use schema::{experiment_schema, section_schema};
pub use search::{Best, SearchError, SteeredSchedule, Steering, best_so_far};
pub use selection::{Place, Selection, SelectionError};
pub use source::{Diagnostic, Excerpt, Origin, Source, Sources, nearest_name};
pub use spec::{Execution, ExecutorKind, ExperimentSpec, Jobs, Order, SpecSource};
pub use summary::{SummaryError, SummaryFiles, TrialPictures, write_summary, write_summary_of};
pub use trial::TrialContext;
pub use trial_config::{FORMAT_VERSION, ResolvedTrial, Sections, TrialConfigError};
pub use trial_report::{
    ComparedSide, CurveEnd, MetricDifference, SettingDifference, TrialDifference, TrialReport, TrialReportError, diff_trials, trial_report,
};
pub use worker::{PROTOCOL_VERSION, TrialProgress, WorkerError, WorkerMessage, WorkerOptions, error_chain, run_worker};

/// A value as YAML, as aelab writes it: for examples and listings.
pub fn to_yaml(value: &serde_json::Value) -> String {
    serde_yaml::to_string(value).expect("a value of numbers, texts, lists and maps serializes")
}

#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod run_tests;
