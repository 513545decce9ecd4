//! A task on its node: the executor of one machine over the trials of one element of an array.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::journal::{SlurmDir, TaskEntry, TaskRecord};
use crate::executor::{self, ExecutorError, ExecutorOptions, RunEvent, RunSummary, StopSignal};
use crate::lock::host_name;
use crate::plan::{Plan, PlannedTrial};
use crate::result::TrialResult;
use crate::run_dir::{RunDir, RunDirError};
use crate::schedule::{Schedule, Task};
use crate::trial_config::{FORMAT_VERSION, stored_definition};
use crate::worker::{WorkerMessage, error_chain};

/// Runs the trials of element `index` of a job array. A trial whose task has begun again and again without coming further fails.
pub fn run_task(
    root: &Path,
    batch: u64,
    index: u32,
    options: &ExecutorOptions,
    stop: &StopSignal,
    observe: &mut dyn FnMut(&RunEvent<'_>),
) -> Result<RunSummary, ExecutorError> {
    let run_dir = RunDir::at(root);
    let slurm = SlurmDir::of(&run_dir);
    let entries = slurm.element(batch, index)?;
    let mark = slurm.again_mark(batch, index);
    if let Err(error) = fs::remove_file(&mark)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(ExecutorError::Io { path: mark, source: error });
    }
    let num_idle = begin(&run_dir, &slurm, batch, index, &entries)?;
    if num_idle > options.max_restarts {
        for entry in &entries {
            let folder = run_dir.trial(&entry.trial);
            if folder.result()?.is_none() {
                let what = format!("Slurm has begun its task {} times without the trial coming further", num_idle + 1);
                executor::record_crash(&folder, what)?;
            }
        }
    }
    let mut tasks = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        tasks.push(Task::with_arguments(planned_trial(&run_dir, place, &entry.trial)?, &entry.arguments));
    }
    let mut schedule = ElementSchedule { plan: plan_of(&tasks), next: 0, tasks, slurm: &slurm, batch, index, stop: stop.clone() };
    let outcome = executor::execute(&run_dir, &mut schedule, options, stop, observe);
    match &outcome {
        Ok(summary) if summary.stopped && !summary.states.iter().all(|state| state.is_over()) => {
            slurm.append_record(batch, index, &TaskRecord::Stopped)?;
            fs::write(&mark, b"").map_err(|source| ExecutorError::Io { path: mark, source })?;
        }
        Ok(_) => {}
        Err(error) => {
            // Where not even this can be written, the end of the task says so.
            let _ = slurm.append_record(batch, index, &TaskRecord::BrokeOff { reason: error_chain(error) });
        }
    }
    outcome
}

/// Writes down that the element begins; returns how often in a row it has begun without having come further.
fn begin(run_dir: &RunDir, slurm: &SlurmDir, batch: u64, index: u32, entries: &[TaskEntry]) -> Result<u32, ExecutorError> {
    let (mut num_over, mut steps) = (0, 0);
    for entry in entries {
        let folder = run_dir.trial(&entry.trial);
        match folder.result()? {
            Some(_) => num_over += 1,
            None => {
                if let Some(WorkerMessage::Progress { step, .. }) = folder.progress().and_then(|progress| progress.standing) {
                    steps += step;
                }
            }
        }
    }
    let before = slurm.records(batch, index)?;
    let last = before.iter().rev().find_map(|record| match record {
        TaskRecord::Begun { num_over, steps, num_idle, .. } => Some((*num_over, *steps, *num_idle)),
        _ => None,
    });
    let num_idle = match last {
        Some((over_then, steps_then, num_idle)) if (num_over, steps) <= (over_then, steps_then) => num_idle + 1,
        _ => 0,
    };
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let node = Some(variable("SLURMD_NODENAME")).filter(|name| !name.is_empty()).unwrap_or_else(host_name);
    let task = format!("{}_{index}", variable("SLURM_ARRAY_JOB_ID"));
    slurm.append_record(batch, index, &TaskRecord::Begun { task, node, num_over, steps, num_idle })?;
    Ok(num_idle)
}

/// As much of a planned trial as an executor needs, from its folder: reading the plan of a large sweep in each of its tasks would be
/// slow.
fn planned_trial(run_dir: &RunDir, index: usize, hash: &str) -> Result<PlannedTrial, ExecutorError> {
    let folder = run_dir.trial(hash);
    let definition = stored_definition(&folder.config()?);
    let name = |key: &str| definition.get(key).and_then(|value| value.as_object()?.keys().next().cloned()).unwrap_or_default();
    let trial = json!({
        "index": index, "hash": hash, "overrides": [], "seed": 0, "model": name("model"), "data": name("data"), "code_size": 0, "definition": definition,
    });
    let damaged = |error: serde_json::Error| RunDirError::Damaged { path: folder.path().join("config.yaml"), message: error.to_string() };
    Ok(serde_json::from_value(trial).map_err(damaged)?)
}

/// A plan of these trials alone.
fn plan_of(tasks: &[Task]) -> Plan {
    Plan {
        format_version: FORMAT_VERSION,
        trials: tasks.iter().map(|task| (*task.trial).clone()).collect(),
        ..serde_json::from_value(json!({
            "format_version": FORMAT_VERSION, "name": "", "execution": {},
            "source": {"file": "", "text": "", "base_dir": "", "extended": null, "sets": []}, "trials": [],
        }))
        .expect("an empty plan is one")
    }
}

struct ElementSchedule<'a> {
    plan: Plan,
    tasks: Vec<Task>,
    next: usize,
    slurm: &'a SlurmDir,
    batch: u64,
    index: u32,
    stop: StopSignal,
}

impl Schedule for ElementSchedule<'_> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn next(&mut self, _run_dir: &RunDir) -> Result<Option<Task>, ExecutorError> {
        self.next += 1;
        Ok(self.tasks.get(self.next - 1).cloned())
    }

    fn ended(&mut self, _run_dir: &RunDir, task: &Task, result: Option<&TrialResult>) -> Result<(), ExecutorError> {
        // What was stopped goes on when the element begins again.
        if result.is_none() && self.stop.level() > 0 {
            return Ok(());
        }
        self.slurm.append_record(self.batch, self.index, &TaskRecord::Ended { entry: TaskEntry::of(task) })
    }
}
