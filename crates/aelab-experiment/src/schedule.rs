//! What is to be run next: a list that was planned, or one that grows with what is found.

use std::sync::Arc;

use crate::cost::{CostModel, Spent, TrialSize};
use crate::executor::ExecutorError;
use crate::plan::{Plan, PlannedTrial};
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, TrialDir};

/// Work for one worker.
#[derive(Debug, Clone)]
pub struct Task {
    /// The trial that it takes up or goes on with.
    pub trial: Arc<PlannedTrial>,
    /// Epochs over all stages after which the trial pauses, if it is not over by then; `None` for until its end.
    pub until_epoch: Option<u64>,
}

impl Task {
    /// What the command line of its worker has besides the run directory, the trial and the options of all workers.
    pub fn worker_arguments(&self) -> Vec<String> {
        self.until_epoch.map(|epoch| format!("--until-epoch={epoch}")).into_iter().collect()
    }

    /// Whether its trial, which is not over, has paused where it should.
    pub fn has_paused(&self, folder: &TrialDir) -> bool {
        self.until_epoch.is_some_and(|epoch| folder.pause().is_some_and(|pause| pause.epochs_run >= epoch))
    }

    /// The task whose worker has these arguments: on the machine of a cluster, where nothing else is known of it.
    pub fn with_arguments(trial: PlannedTrial, arguments: &[String]) -> Self {
        let until_epoch = arguments.iter().find_map(|argument| argument.strip_prefix("--until-epoch=")?.parse().ok());
        Self { trial: Arc::new(trial), until_epoch }
    }
}

/// Gives an executor its tasks, one at a time.
pub trait Schedule {
    /// Every trial that has been planned so far.
    fn plan(&self) -> &Plan;

    /// The next task that can begin now. After a `None` it is asked again whenever a task has ended; while none runs, `None` says
    /// that all is done.
    fn next(&mut self, run_dir: &RunDir) -> Result<Option<Task>, ExecutorError>;

    /// A task has ended; without a result, its trial has paused, or goes on from its checkpoint some other time.
    fn ended(&mut self, run_dir: &RunDir, task: &Task, result: Option<&TrialResult>) -> Result<(), ExecutorError>;

    /// What there is to tell the user since the last call.
    fn take_notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Why it has no more tasks, where that is not because every trial is over.
    fn reason_of_end(&self) -> Option<String> {
        None
    }
}

/// Runs every trial of a plan that is not over.
pub struct PlanSchedule<'a> {
    plan: &'a Plan,
    /// Places in the plan, the next one last.
    left: Vec<usize>,
    /// Where trials are ordered by what they are expected to take.
    costs: Option<Costs>,
}

/// What trials are expected to take.
struct Costs {
    /// In the order of the plan.
    sizes: Vec<TrialSize>,
    spent: Vec<Option<Spent>>,
    /// Trials that have ended since the beginning.
    num_ended: usize,
}

impl Costs {
    /// Puts the longest trials last; equal ones stay in the order of the plan, the first one last.
    fn sort(&self, plan: &Plan, left: &mut [usize]) {
        let model = CostModel::calibrated(plan, &self.sizes, &self.spent);
        // Before any trial has finished, its work stands for its time.
        let expected = |index: usize| {
            let size = &self.sizes[index];
            let seconds = model.seconds(&plan.trials[index], size);
            seconds.or_else(|| size.work()).or(size.num_steps.map(|steps| steps as f64)).unwrap_or(size.num_epochs as f64)
        };
        left.sort_by(|&one, &other| expected(one).total_cmp(&expected(other)).then(other.cmp(&one)));
    }
}

impl<'a> PlanSchedule<'a> {
    /// In the order of the plan; trials in one of the states `retry` are run again.
    pub fn new(plan: &'a Plan, run_dir: &RunDir, retry: &[TrialState]) -> Result<Self, ExecutorError> {
        let all: Vec<usize> = (0..plan.trials.len()).collect();
        Self::of_trials(plan, &all, run_dir, retry)
    }

    /// Of the trials with these indices alone.
    pub fn of_trials(plan: &'a Plan, indices: &[usize], run_dir: &RunDir, retry: &[TrialState]) -> Result<Self, ExecutorError> {
        let mut left = Vec::new();
        for trial in indices.iter().rev().map(|index| &plan.trials[*index]) {
            let folder = run_dir.trial(&trial.hash);
            let is_left = match folder.result()? {
                None => true,
                Some(result) => retry.contains(&result.state) && folder.reopen()?,
            };
            if is_left {
                left.push(trial.index);
            }
        }
        Ok(Self { plan, left, costs: None })
    }
}

impl PlanSchedule<'_> {
    /// Trials that have not begun.
    pub fn num_left(&self) -> usize {
        self.left.len()
    }

    /// Lets trials that are expected to take long begin first (the rule of longest processing time: the time until all are done is
    /// at most 4/3 of the shortest possible). `sizes` and what ended trials have `spent` are in the order of the plan. What is
    /// expected is learned anew from trials that end.
    pub fn longest_first(mut self, sizes: Vec<TrialSize>, spent: Vec<Option<Spent>>) -> Self {
        let costs = Costs { sizes, spent, num_ended: 0 };
        costs.sort(self.plan, &mut self.left);
        self.costs = Some(costs);
        self
    }
}

impl Schedule for PlanSchedule<'_> {
    fn plan(&self) -> &Plan {
        self.plan
    }

    fn next(&mut self, _run_dir: &RunDir) -> Result<Option<Task>, ExecutorError> {
        Ok(self.left.pop().map(|index| Task { trial: Arc::new(self.plan.trials[index].clone()), until_epoch: None }))
    }

    fn ended(&mut self, _run_dir: &RunDir, task: &Task, result: Option<&TrialResult>) -> Result<(), ExecutorError> {
        if let (Some(costs), Some(result)) = (&mut self.costs, result) {
            costs.spent[task.trial.index] = Some(Spent::of(result));
            costs.num_ended += 1;
            // Early trials teach most, and sorting a long list each time would take long.
            if costs.num_ended.is_power_of_two() {
                costs.sort(self.plan, &mut self.left);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(epochs: &[u64]) -> Plan {
        let trial = |(index, epochs): (usize, &u64)| {
            json!({
                "index": index, "hash": format!("{index:016x}"), "overrides": [], "seed": 1, "model": "vae", "data": "digits", "code_size": 2,
                "definition": {"model": {"vae": {}}, "train": {"epochs": epochs, "batch_size": 10}}
            })
        };
        let trials: Vec<_> = epochs.iter().enumerate().map(trial).collect();
        let source = json!({"file": "", "text": "", "base_dir": "", "extended": null, "sets": []});
        let plan = json!({"format_version": 1, "name": "x", "execution": {}, "source": source, "trials": trials});
        serde_json::from_value(plan).unwrap()
    }

    fn sizes(plan: &Plan, num_parameters: &[usize]) -> Vec<TrialSize> {
        let of = |(trial, &num_parameters): (&PlannedTrial, &usize)| {
            let num_epochs = trial.num_epochs();
            TrialSize { num_parameters: Some(num_parameters), num_epochs, num_train: Some(100), num_steps: Some(10 * num_epochs) }
        };
        plan.trials.iter().zip(num_parameters).map(of).collect()
    }

    fn schedule<'a>(plan: &'a Plan, folder: &tempfile::TempDir) -> (PlanSchedule<'a>, RunDir) {
        let run_dir = RunDir::at(folder.path());
        (PlanSchedule::new(plan, &run_dir, &[]).unwrap(), run_dir)
    }

    fn next(schedule: &mut PlanSchedule<'_>, run_dir: &RunDir) -> Option<usize> {
        schedule.next(run_dir).unwrap().map(|task| task.trial.index)
    }

    fn rest(schedule: &mut PlanSchedule<'_>, run_dir: &RunDir) -> Vec<usize> {
        std::iter::from_fn(|| next(schedule, run_dir)).collect()
    }

    #[test]
    fn the_longest_begin_first_and_equals_in_the_order_of_the_plan() {
        let (plan, folder) = (plan(&[1, 5, 5, 2, 5, 10]), tempfile::tempdir().unwrap());
        let (mut in_order, run_dir) = schedule(&plan, &folder);
        assert_eq!(in_order.num_left(), 6);
        assert_eq!(rest(&mut in_order, &run_dir), [0, 1, 2, 3, 4, 5]);
        let sizes = sizes(&plan, &[100, 100, 100, 1000, 100, 10]);
        let mut longest = schedule(&plan, &folder).0.longest_first(sizes, vec![None; 6]);
        assert_eq!(rest(&mut longest, &run_dir), [3, 1, 2, 4, 0, 5]);
        assert_eq!(longest.num_left(), 0);
    }

    #[test]
    fn what_ends_teaches_what_the_others_take() {
        let (plan, folder) = (plan(&[8, 4, 2, 1]), tempfile::tempdir().unwrap());
        // By the product of epochs and parameters, the first and the last one are the largest.
        let sizes = sizes(&plan, &[10, 10, 10, 1000]);
        let (schedule, run_dir) = schedule(&plan, &folder);
        let mut schedule = schedule.longest_first(sizes.clone(), vec![None; 4]);
        let first: Vec<Task> = std::iter::from_fn(|| schedule.next(&run_dir).unwrap()).take(2).collect();
        assert_eq!([first[0].trial.index, first[1].trial.index], [3, 0]);
        let mut end = |task: &Task, seconds: f64| {
            let index = task.trial.index;
            let result = TrialResult {
                num_parameters: sizes[index].num_parameters.unwrap(),
                epochs_run: sizes[index].num_epochs,
                steps: sizes[index].num_steps.unwrap(),
                seconds,
                ..TrialResult::without_metrics(TrialState::Finished, None)
            };
            schedule.ended(&run_dir, task, Some(&result)).unwrap();
        };
        // Steps are what takes time here, not parameters.
        end(&first[0], 1.0);
        end(&first[1], 8.0);
        assert_eq!(rest(&mut schedule, &run_dir), [1, 2]);
    }
}
