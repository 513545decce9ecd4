//! What is to be run next: a list that was planned, or one that grows with what is found.

use std::sync::Arc;

use crate::executor::ExecutorError;
use crate::plan::{Plan, PlannedTrial};
use crate::result::{TrialResult, TrialState};
use crate::run_dir::RunDir;

/// Work for one worker.
#[derive(Debug, Clone)]
pub struct Task {
    /// The trial that it takes up or goes on with.
    pub trial: Arc<PlannedTrial>,
}

impl Task {
    /// What the command line of its worker has besides the run directory, the trial and the options of all workers.
    pub fn worker_arguments(&self) -> Vec<String> {
        Vec::new()
    }

    /// The task whose worker has these arguments: on the machine of a cluster, where nothing else is known of it.
    pub fn with_arguments(trial: PlannedTrial, _arguments: &[String]) -> Self {
        Self { trial: Arc::new(trial) }
    }
}

/// Gives an executor its tasks, one at a time.
pub trait Schedule {
    /// Every trial that has been planned so far.
    fn plan(&self) -> &Plan;

    /// The next task that can begin now. After a `None` it is asked again whenever a task has ended; while none runs, `None` says
    /// that all is done.
    fn next(&mut self, run_dir: &RunDir) -> Result<Option<Task>, ExecutorError>;

    /// A task has ended; without a result, its trial goes on from its checkpoint some other time.
    fn ended(&mut self, run_dir: &RunDir, task: &Task, result: Option<&TrialResult>) -> Result<(), ExecutorError>;
}

/// Runs every trial of a plan that is not over.
pub struct PlanSchedule<'a> {
    plan: &'a Plan,
    /// Places in the plan, the next one last.
    left: Vec<usize>,
}

impl<'a> PlanSchedule<'a> {
    /// In the order of the plan; trials in one of the states `retry` are run again.
    pub fn new(plan: &'a Plan, run_dir: &RunDir, retry: &[TrialState]) -> Result<Self, ExecutorError> {
        let mut left = Vec::new();
        for trial in plan.trials.iter().rev() {
            let folder = run_dir.trial(&trial.hash);
            let is_left = match folder.result()? {
                None => true,
                Some(result) => retry.contains(&result.state) && folder.reopen()?,
            };
            if is_left {
                left.push(trial.index);
            }
        }
        Ok(Self { plan, left })
    }
}

impl Schedule for PlanSchedule<'_> {
    fn plan(&self) -> &Plan {
        self.plan
    }

    fn next(&mut self, _run_dir: &RunDir) -> Result<Option<Task>, ExecutorError> {
        Ok(self.left.pop().map(|index| Task { trial: Arc::new(self.plan.trials[index].clone()) }))
    }

    fn ended(&mut self, _run_dir: &RunDir, _task: &Task, _result: Option<&TrialResult>) -> Result<(), ExecutorError> {
        Ok(())
    }
}
