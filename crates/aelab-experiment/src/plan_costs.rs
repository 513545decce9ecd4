//! What a whole plan costs, before it runs and while it does: parameters, steps, time, disk.

use std::time::Duration;

use aelab_core::Registry;
use aelab_data::LoadContext;
use serde::Serialize;
use serde_json::Value;

use crate::cost::{CostModel, Spent, TrialSize, trial_sizes, wall_seconds};
use crate::plan::{Plan, short_value};
use crate::prune::bytes_in;
use crate::reading::map_trials;
use crate::result::TrialState;
use crate::run_dir::{RunDir, RunDirError};

/// Trials whose folders are looked at to see how large they are.
const MOST_MEASURED: usize = 50;
/// Beside the checkpoints: logs, events, figures and tables of a small trial.
const OTHER_BYTES: u64 = 1 << 20;

/// What varies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanAxis {
    /// Its column in the tables.
    pub name: String,
    /// Distinct values.
    pub num_values: usize,
    /// The values in the order of the plan, and how many trials have each.
    pub values: Vec<(String, usize)>,
}

/// What the trials of one model cost together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCosts {
    /// Its name.
    pub model: String,
    /// Its trials.
    pub num_trials: usize,
    /// Fewest and most trainable numbers of one; `None` where they could not be counted.
    pub num_parameters: Option<(usize, usize)>,
    /// Epochs of all.
    pub num_epochs: u64,
    /// Optimizer steps of all; `None` where some are not known.
    pub num_steps: Option<u64>,
    /// Estimated seconds of all, each on its threads.
    pub seconds: Option<f64>,
}

/// What a plan costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanCosts {
    /// Trials.
    pub num_trials: usize,
    /// Trials of each state in the run directory, where there is one.
    pub states: Vec<(TrialState, usize)>,
    /// What varies, in the order of the sweep, and the seed.
    pub axes: Vec<PlanAxis>,
    /// Per model, in order of appearance.
    pub models: Vec<ModelCosts>,
    /// Trainable numbers of all trials together; `None` where some are not known.
    pub num_parameters: Option<u64>,
    /// Epochs of all.
    pub num_epochs: u64,
    /// Optimizer steps of all; `None` where some are not known.
    pub num_steps: Option<u64>,
    /// Finished trials that times were learned from; without any, times are not known.
    pub num_finished: usize,
    /// Trials at a time.
    pub jobs: usize,
    /// Seconds from nothing to the end of all.
    pub wall_seconds: Option<f64>,
    /// Seconds until what is not over is over.
    pub wall_seconds_left: Option<f64>,
    /// Cores x hours of all trials.
    pub core_hours: Option<f64>,
    /// Bytes of the run directory at the end.
    pub disk_bytes: Option<u64>,
    /// Whether the bytes are those of finished trials; or else reckoned from parameters, very roughly.
    pub is_disk_measured: bool,
    /// Size of every trial.
    #[serde(skip)]
    pub sizes: Vec<TrialSize>,
    /// Estimated seconds of every trial.
    #[serde(skip)]
    pub seconds: Vec<Option<f64>>,
}

/// Reckons what a plan costs. Of a run directory that holds some of its trials, those that have finished say how long others take.
///
/// # Errors
/// A run directory that cannot be read.
pub fn plan_costs(
    plan: &Plan,
    run_dir: Option<&RunDir>,
    jobs: usize,
    registry: &Registry,
    context: &LoadContext,
    budget: Duration,
) -> Result<PlanCosts, RunDirError> {
    let spent: Vec<Option<Spent>> = match run_dir {
        Some(run_dir) => map_trials(run_dir, &plan.trials, |_, _, result| result.as_ref().map(Spent::of))?,
        None => vec![None; plan.trials.len()],
    };
    let states = match run_dir {
        Some(run_dir) => {
            let states = map_trials(run_dir, &plan.trials, |_, state, _| state)?;
            let count = |state: &TrialState| states.iter().filter(|other| *other == state).count();
            TrialState::ALL.iter().map(|state| (*state, count(state))).filter(|(_, count)| *count > 0).collect()
        }
        None => Vec::new(),
    };
    let sizes = trial_sizes(plan, &spent, registry, context, budget);
    let model = CostModel::calibrated(plan, &sizes, &spent);
    let seconds: Vec<Option<f64>> = plan.trials.iter().zip(&sizes).map(|(trial, size)| model.seconds(trial, size)).collect();
    let all_seconds: Option<Vec<f64>> = seconds.iter().copied().collect();
    let left: Option<Vec<f64>> = seconds.iter().zip(&spent).filter(|(_, spent)| spent.is_none()).map(|(seconds, _)| *seconds).collect();
    let threads = plan.execution.threads_per_trial.max(1) as f64;

    let mut models: Vec<ModelCosts> = Vec::new();
    for ((trial, size), seconds) in plan.trials.iter().zip(&sizes).zip(&seconds) {
        let place = models.iter().position(|model| model.model == trial.model).unwrap_or_else(|| {
            models.push(ModelCosts {
                model: trial.model.clone(),
                num_trials: 0,
                num_parameters: size.num_parameters.map(|num| (num, num)),
                num_epochs: 0,
                num_steps: Some(0),
                seconds: Some(0.0),
            });
            models.len() - 1
        });
        let model = &mut models[place];
        model.num_trials += 1;
        model.num_parameters = model.num_parameters.zip(size.num_parameters).map(|((least, most), num)| (least.min(num), most.max(num)));
        model.num_epochs += size.num_epochs;
        model.num_steps = model.num_steps.zip(size.num_steps).map(|(sum, steps)| sum + steps);
        model.seconds = model.seconds.zip(*seconds).map(|(sum, seconds)| sum + seconds);
    }
    let (disk_bytes, is_disk_measured) = disk(plan, run_dir, &spent, &sizes);
    Ok(PlanCosts {
        num_trials: plan.trials.len(),
        states,
        axes: axes(plan),
        models,
        num_parameters: sizes.iter().map(|size| size.num_parameters.map(|num| num as u64)).sum(),
        num_epochs: sizes.iter().map(|size| size.num_epochs).sum(),
        num_steps: sizes.iter().map(|size| size.num_steps).sum(),
        num_finished: model.num_finished(),
        jobs,
        wall_seconds: all_seconds.as_ref().map(|seconds| wall_seconds(seconds, jobs)),
        wall_seconds_left: left.map(|seconds| wall_seconds(&seconds, jobs)),
        core_hours: all_seconds.map(|seconds| seconds.iter().sum::<f64>() * threads / 3600.0),
        disk_bytes,
        is_disk_measured,
        sizes,
        seconds,
    })
}

fn axes(plan: &Plan) -> Vec<PlanAxis> {
    let axis = |(name, values): (String, Vec<Option<Value>>)| {
        let mut counts: Vec<(String, usize)> = Vec::new();
        let mut places: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for value in values.iter().flatten() {
            let text = short_value(value);
            let place = *places.entry(text.clone()).or_insert_with(|| {
                counts.push((text, 0));
                counts.len() - 1
            });
            counts[place].1 += 1;
        }
        PlanAxis { name, num_values: counts.len(), values: counts }
    };
    plan.columns().into_iter().map(axis).collect()
}

/// Bytes of all trials: as large as the finished ones on average, or else what their checkpoints must hold.
fn disk(plan: &Plan, run_dir: Option<&RunDir>, spent: &[Option<Spent>], sizes: &[TrialSize]) -> (Option<u64>, bool) {
    if let Some(run_dir) = run_dir {
        let finished: Vec<usize> = spent
            .iter()
            .enumerate()
            .filter(|(_, spent)| spent.is_some_and(|spent| spent.state == TrialState::Finished))
            .map(|(index, _)| index)
            .collect();
        let step = finished.len().div_ceil(MOST_MEASURED).max(1);
        let measured: Vec<u64> =
            finished.iter().step_by(step).filter_map(|index| bytes_in(run_dir.trial(&plan.trials[*index].hash).path()).ok()).collect();
        if !measured.is_empty() {
            return (Some(measured.iter().sum::<u64>() / measured.len() as u64 * plan.trials.len() as u64), true);
        }
    }
    let of_trial = |(trial, size): (&crate::PlannedTrial, &TrialSize)| {
        let optimizer = trial.definition.pointer("/train/optimizer").and_then(Value::as_object).and_then(|map| map.keys().next());
        // Numbers that an optimizer keeps per parameter: two moments, or one.
        let kept = if optimizer.is_some_and(|name| name.starts_with("adam")) { 2 } else { 1 };
        // `last`, `previous` and `best`, in single precision.
        size.num_parameters.map(|num| num as u64 * 4 * (1 + kept) * 3 + OTHER_BYTES)
    };
    (plan.trials.iter().zip(sizes).map(of_trial).sum(), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn axes_parameters_and_steps_are_counted_and_times_follow_the_finished_trials() {
        let fixture = Fixture::new(&[(TrialState::Finished, 1.0), (TrialState::Pending, 0.0), (TrialState::Pending, 0.0)]);
        let registry = Registry::new(aelab_models::MODELS);
        let context = LoadContext::new("");
        let costs = |run_dir| plan_costs(&fixture.plan, run_dir, 2, &registry, &context, Duration::from_secs(60)).unwrap();
        let before = costs(None);
        assert_eq!((before.num_trials, before.num_finished, before.wall_seconds, before.num_epochs), (3, 0, None, 30));
        assert_eq!((before.axes[0].name.as_str(), before.axes[0].num_values), ("latent_dim", 3));
        assert!(!before.is_disk_measured && before.states.is_empty());
        let during = costs(Some(&fixture.run_dir));
        assert_eq!(during.states, [(TrialState::Pending, 2), (TrialState::Finished, 1)]);
        assert_eq!(during.num_finished, 1);
        let wall = during.wall_seconds.unwrap();
        assert!(during.wall_seconds_left.unwrap() < wall && wall >= 2.5, "{during:?}");
        assert!(during.is_disk_measured);
    }
}
