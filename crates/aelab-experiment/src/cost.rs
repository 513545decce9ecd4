//! What trials cost: parameters, steps, and seconds estimated from the trials that have finished.
//!
//! With `t` the seconds of training, `s` the optimizer steps and `w` the work (training examples x epochs x parameters) of the finished
//! trials of one kind, the model is
//!
//! ```text
//! t = a s + b w        a, b >= 0, least squares of the relative error
//! ```
//!
//! `a` is what a step costs whatever the model, `b` what a parameter costs per example. Measuring is added as its mean over the trials of
//! that kind. A kind is a model on a data set and a device; where none of it has finished, all trials of that model count, then all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aelab_core::{BuildContext, DataSpec, Registry};
use aelab_data::LoadContext;
use burn::tensor::Device;
use serde::Serialize;
use serde_json::Value;

use crate::plan::{Plan, PlannedTrial};
use crate::reading::TrialReading;
use crate::result::{TrialResult, TrialState};
use crate::trial_config::Sections;
use crate::worker::{TrialProgress, WorkerMessage};

/// How large a trial is. What is not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TrialSize {
    /// Trainable numbers.
    pub num_parameters: Option<usize>,
    /// Epochs over all stages, if nothing stops it earlier.
    pub num_epochs: u64,
    /// Training examples.
    pub num_train: Option<u64>,
    /// Optimizer steps over all stages, if nothing stops it earlier.
    pub num_steps: Option<u64>,
}

impl TrialSize {
    /// Training examples x epochs x parameters.
    pub fn work(&self) -> Option<f64> {
        Some(self.num_train? as f64 * self.num_epochs as f64 * self.num_parameters? as f64)
    }
}

/// What an ended trial took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// How it ended.
    pub state: TrialState,
    /// Trainable numbers; 0 where the result does not say.
    pub num_parameters: usize,
    /// Epochs over all stages.
    pub epochs: u64,
    /// Optimizer steps over all stages.
    pub steps: u64,
    /// Seconds of training.
    pub training_seconds: f64,
    /// Seconds of measuring and drawing.
    pub measuring_seconds: f64,
}

impl Spent {
    /// What the result says.
    pub fn of(result: &TrialResult) -> Self {
        Self {
            state: result.state,
            num_parameters: result.num_parameters,
            epochs: result.epochs_run,
            steps: result.steps,
            training_seconds: result.seconds,
            measuring_seconds: result.measuring_seconds,
        }
    }

    /// Training, measuring and drawing.
    pub fn seconds(&self) -> f64 {
        self.training_seconds + self.measuring_seconds
    }
}

/// The sizes of all trials of a plan, in its order. `spent` has what ended trials took. Each distinct model is built once on the host to
/// count its parameters, and each data set loaded once to count its examples, unless a trial that has ended tells them. What would take
/// longer than `budget` stays unknown; so does what cannot be read here, such as data that are yet to be fetched.
pub fn trial_sizes(plan: &Plan, spent: &[Option<Spent>], registry: &Registry, context: &LoadContext, budget: Duration) -> Vec<TrialSize> {
    let mut counter = Counter::new(plan, registry, context, budget);
    for (trial, spent) in plan.trials.iter().zip(spent) {
        if let Some(spent) = spent {
            counter.learn(trial, spent);
        }
    }
    plan.trials.iter().map(|trial| counter.size(trial)).collect()
}

/// What is known of one model on one data set, trained for so many epochs.
#[derive(Clone, Copy, Default)]
struct ModelSize {
    num_parameters: Option<usize>,
    num_epochs: Option<u64>,
}

struct Counter<'a> {
    registry: &'a Registry,
    context: LoadContext,
    deadline: Instant,
    models: HashMap<String, ModelSize>,
    /// Training examples of data sections, and whether that is from the data themselves.
    examples: HashMap<String, Option<u64>>,
    specs: HashMap<String, Option<DataSpec>>,
}

/// The number of parameters and stages depends on these parts of a definition alone.
fn model_key(trial: &PlannedTrial) -> String {
    let part = |pointer: &str| trial.definition.pointer(pointer).unwrap_or(&Value::Null).to_string();
    format!("{}\n{}\n{}", data_key(trial), part("/model"), part("/train/epochs"))
}

fn data_key(trial: &PlannedTrial) -> String {
    let part = |key: &str| trial.definition.get(key).unwrap_or(&Value::Null).to_string();
    format!("{}\n{}", part("data"), part("data_checksum"))
}

fn batch_size(trial: &PlannedTrial) -> u64 {
    trial.definition.pointer("/train/batch_size").and_then(Value::as_u64).unwrap_or(1).max(1)
}

impl<'a> Counter<'a> {
    fn new(plan: &Plan, registry: &'a Registry, context: &LoadContext, budget: Duration) -> Self {
        let context = LoadContext { base_dir: plan.base_dir().clone(), ..context.clone() };
        let deadline = Instant::now() + budget;
        Self { registry, context, deadline, models: HashMap::new(), examples: HashMap::new(), specs: HashMap::new() }
    }

    /// Takes from an ended trial what it tells of others of its kind.
    fn learn(&mut self, trial: &PlannedTrial, spent: &Spent) {
        if spent.num_parameters == 0 {
            return;
        }
        let known = self.models.entry(model_key(trial)).or_default();
        known.num_parameters = Some(spent.num_parameters);
        // What ran to its end without a rule that could have ended it earlier.
        if spent.state == TrialState::Finished && !stops_early(trial) {
            known.num_epochs = Some(spent.epochs);
        }
        if spent.epochs > 0 && spent.state == TrialState::Finished {
            // Up to the last batch of an epoch, which may be smaller: near enough for a cost.
            let examples = spent.steps.div_ceil(spent.epochs) * batch_size(trial);
            let known = self.examples.entry(data_key(trial)).or_insert(Some(examples));
            *known = Some(known.unwrap_or(examples).min(examples));
        }
    }

    fn size(&mut self, trial: &PlannedTrial) -> TrialSize {
        let key = model_key(trial);
        let mut model = self.models.get(&key).copied().unwrap_or_default();
        let is_whole = model.num_parameters.is_some() && model.num_epochs.is_some();
        let data = data_key(trial);
        if (!is_whole || !self.examples.contains_key(&data)) && Instant::now() < self.deadline {
            if let Ok(sections) = Sections::read(&sections_of(&trial.definition), self.registry) {
                if !is_whole {
                    let context = &self.context;
                    let spec = self.specs.entry(data.clone()).or_insert_with(|| sections.data.spec(context).ok()).clone();
                    if let Some(spec) = spec {
                        let built = build(&sections, &spec);
                        model = ModelSize {
                            num_parameters: model.num_parameters.or(built.num_parameters),
                            num_epochs: model.num_epochs.or(built.num_epochs),
                        };
                    }
                }
                let context = &self.context;
                self.examples
                    .entry(data.clone())
                    .or_insert_with(|| sections.data.load(context).ok().map(|dataset| aelab_core::Examples::len(&dataset.train) as u64));
            }
            self.models.insert(key, model);
        }
        let num_epochs = model.num_epochs.unwrap_or_else(|| trial.num_epochs());
        let num_train = self.examples.get(&data).copied().flatten();
        let num_steps = num_train.map(|examples| examples.div_ceil(batch_size(trial)) * num_epochs);
        TrialSize { num_parameters: model.num_parameters, num_epochs, num_train, num_steps }
    }
}

fn stops_early(trial: &PlannedTrial) -> bool {
    trial.definition.pointer("/train/early_stopping").is_some_and(|value| !value.is_null())
}

/// A definition without what is no section.
fn sections_of(definition: &Value) -> Value {
    let mut sections = definition.clone();
    if let Some(entries) = sections.as_object_mut() {
        for key in ["data_checksum", "format_version"] {
            entries.shift_remove(key);
        }
    }
    sections
}

fn build(sections: &Sections, spec: &DataSpec) -> ModelSize {
    let device = Device::flex().autodiff();
    let clipping = sections.train.gradient_clipping;
    let optimizer = || sections.train.optimizer.build(clipping);
    let trainee = sections.model.trainee(&BuildContext { data: spec, seed: sections.train.seed, device: &device, optimizer: &optimizer });
    let num_epochs = trainee.stages(sections.train.epochs).iter().map(|stage| stage.num_epochs as u64).sum();
    ModelSize { num_parameters: Some(trainee.num_parameters()), num_epochs: Some(num_epochs) }
}

/// Trials that should take the same for the same size: model, data, device, and fewer of these from left to right.
type Kind = [String; 3];

fn kinds(trial: &PlannedTrial) -> [Kind; 3] {
    let (model, data, device) = (trial.model.clone(), trial.data.clone(), trial.device().to_owned());
    [[model.clone(), data, device], [model, String::new(), String::new()], [String::new(), String::new(), String::new()]]
}

/// Sums over finished trials of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    num: f64,
    seconds: f64,
    measuring: f64,
    /// Share of the epochs that were run, where training may stop early.
    share: f64,
    num_shares: f64,
    /// Of `x = s / t` and `y = w / t`.
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Sums {
    /// `a` and `b` of `t = a s + b w`.
    fn rates(&self) -> Option<(f64, f64)> {
        let determinant = self.xx * self.yy - self.xy * self.xy;
        // With trials of one size alone, the two rates cannot be told apart: the work counts.
        if determinant > 1e-6 * self.xx * self.yy {
            let a = (self.x * self.yy - self.y * self.xy) / determinant;
            let b = (self.y * self.xx - self.x * self.xy) / determinant;
            if a >= 0.0 && b >= 0.0 {
                return Some((a, b));
            }
            // The minimum lies on the border, where one of them is nothing: what explains more counts.
            let (of_steps, of_work) = (self.x * self.x / self.xx, self.y * self.y / self.yy);
            return Some(if of_steps > of_work { (self.x / self.xx, 0.0) } else { (0.0, self.y / self.yy) });
        }
        (self.yy > 0.0).then(|| (0.0, self.y / self.yy))
    }
}

/// Seconds that trials take, learned from those that have finished.
#[derive(Debug, Clone, Default)]
pub struct CostModel {
    kinds: HashMap<Kind, Sums>,
    num_finished: usize,
}

impl CostModel {
    /// From the finished trials of a plan; `sizes` and `spent` are in its order.
    pub fn calibrated(plan: &Plan, sizes: &[TrialSize], spent: &[Option<Spent>]) -> Self {
        let mut model = Self::default();
        for ((trial, size), spent) in plan.trials.iter().zip(sizes).zip(spent) {
            if let Some(spent) = spent.filter(|spent| spent.state == TrialState::Finished && spent.training_seconds > 0.0) {
                model.learn(trial, size, &spent);
            }
        }
        model
    }

    fn learn(&mut self, trial: &PlannedTrial, size: &TrialSize, spent: &Spent) {
        self.num_finished += 1;
        let run = TrialSize { num_epochs: spent.epochs, ..*size };
        for kind in kinds(trial) {
            let sums = self.kinds.entry(kind).or_default();
            sums.num += 1.0;
            sums.seconds += spent.training_seconds;
            sums.measuring += spent.measuring_seconds;
            if stops_early(trial) && size.num_epochs > 0 {
                sums.share += spent.epochs as f64 / size.num_epochs as f64;
                sums.num_shares += 1.0;
            }
            if let Some(work) = run.work() {
                let (x, y) = (spent.steps as f64 / spent.training_seconds, work / spent.training_seconds);
                sums.x += x;
                sums.y += y;
                sums.xx += x * x;
                sums.xy += x * y;
                sums.yy += y * y;
            }
        }
    }

    /// From how many finished trials it was learned.
    pub fn num_finished(&self) -> usize {
        self.num_finished
    }

    /// Seconds of training and measuring of a trial from its start to its end; `None` before any trial has finished.
    pub fn seconds(&self, trial: &PlannedTrial, size: &TrialSize) -> Option<f64> {
        let sums = kinds(trial).iter().find_map(|kind| self.kinds.get(kind))?;
        let share = if stops_early(trial) && sums.num_shares > 0.0 { sums.share / sums.num_shares } else { 1.0 };
        let training = match (sums.rates(), size.num_steps, size.work()) {
            (Some((a, b)), Some(steps), Some(work)) => (a * steps as f64 + b * work) * share,
            _ => sums.seconds / sums.num,
        };
        Some(training + sums.measuring / sums.num)
    }
}

/// Seconds until `remaining` seconds of trials are done by `jobs` at a time: no less than an even share of all, and than the longest.
pub fn wall_seconds(remaining: &[f64], jobs: usize) -> f64 {
    let longest = remaining.iter().copied().fold(0.0, f64::max);
    longest.max(remaining.iter().sum::<f64>() / jobs.max(1) as f64)
}

/// What is left of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeLeft {
    /// Seconds until all trials are over.
    pub wall_seconds: f64,
    /// Seconds of all trials that are left, one after the other.
    pub trial_seconds: f64,
    /// Trials at a time that this reckons with.
    pub jobs: usize,
    /// Finished trials that it was learned from.
    pub num_finished: usize,
    /// Seconds left of each trial, in the order of the plan; `None` for those that are over.
    #[serde(skip)]
    pub of_trials: Vec<Option<f64>>,
}

/// How long a sweep has still to go. `None` while no trial has finished, and when all are over.
pub fn time_left(
    plan: &Plan,
    readings: &[TrialReading],
    jobs: usize,
    registry: &Registry,
    context: &LoadContext,
    budget: Duration,
) -> Option<TimeLeft> {
    let spent: Vec<Option<Spent>> = readings.iter().map(|reading| reading.spent).collect();
    let has_finished = spent.iter().flatten().any(|spent| spent.state == TrialState::Finished && spent.training_seconds > 0.0);
    if !has_finished || readings.iter().all(|reading| reading.state.is_over()) {
        return None;
    }
    let sizes = trial_sizes(plan, &spent, registry, context, budget);
    let model = CostModel::calibrated(plan, &sizes, &spent);
    let left = |((trial, size), reading): ((&PlannedTrial, &TrialSize), &TrialReading)| {
        if reading.state.is_over() {
            return None;
        }
        let whole = model.seconds(trial, size)?;
        Some(whole * (1.0 - reading.progress.as_ref().map_or(0.0, |progress| fraction_done(progress, size))))
    };
    let of_trials: Vec<Option<f64>> = plan.trials.iter().zip(&sizes).zip(readings).map(left).collect();
    let remaining: Vec<f64> = of_trials.iter().flatten().copied().collect();
    let wall_seconds = wall_seconds(&remaining, jobs);
    Some(TimeLeft { wall_seconds, trial_seconds: remaining.iter().sum(), jobs, num_finished: model.num_finished(), of_trials })
}

/// Share of its training that a worker says is behind it. Once it measures, nobody knows how far it is: nearly all.
fn fraction_done(progress: &TrialProgress, size: &TrialSize) -> f64 {
    match (&progress.standing, size.num_steps) {
        (Some(WorkerMessage::Progress { step, .. }), Some(steps)) if steps > 0 => (*step as f64 / steps as f64).clamp(0.0, 0.95),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(index: usize, model: &str, early: bool) -> PlannedTrial {
        let early_stopping = if early { serde_json::json!({"patience": 3}) } else { Value::Null };
        PlannedTrial {
            index,
            hash: format!("{index:016x}"),
            overrides: Vec::new(),
            seed: 1,
            model: model.into(),
            data: "digits".into(),
            code_size: 2,
            definition: serde_json::json!({
                "model": {model: {"hidden": [index]}}, "train": {"epochs": 10, "batch_size": 100, "early_stopping": early_stopping}
            }),
            metrics: Vec::new(),
            terms: Vec::new(),
            num_features: 64,
        }
    }

    fn size(num_parameters: usize, num_epochs: u64) -> TrialSize {
        let num_train = 1000;
        let num_steps = Some(num_train / 100 * num_epochs);
        TrialSize { num_parameters: Some(num_parameters), num_epochs, num_train: Some(num_train), num_steps }
    }

    fn spent(epochs: u64, training_seconds: f64) -> Spent {
        let (num_parameters, steps) = (1, epochs * 10);
        Spent { state: TrialState::Finished, num_parameters, epochs, steps, training_seconds, measuring_seconds: 0.5 }
    }

    #[test]
    fn two_rates_are_found_from_trials_of_two_sizes_and_foretell_a_third() {
        // 0.01 s per step and 1e-9 s per parameter and example.
        let truth = |size: &TrialSize| 0.01 * size.num_steps.unwrap() as f64 + 1e-9 * size.work().unwrap();
        let mut model = CostModel::default();
        for (index, size) in [size(10_000, 10), size(1_000_000, 10), size(1_000_000, 3)].iter().enumerate() {
            model.learn(&trial(index, "vae", false), size, &spent(size.num_epochs, truth(size)));
        }
        let new = size(5_000_000, 20);
        let found = model.seconds(&trial(9, "vae", false), &new).unwrap();
        assert!((found - truth(&new) - 0.5).abs() < 1e-6 * found, "{found}");
    }

    #[test]
    fn with_one_size_the_time_grows_with_the_work_and_rates_are_never_negative() {
        let mut model = CostModel::default();
        model.learn(&trial(0, "vae", false), &size(1000, 10), &spent(10, 4.0));
        assert!((model.seconds(&trial(1, "vae", false), &size(3000, 10)).unwrap() - 12.5).abs() < 1e-9);
        // More parameters in less time: no model of this form explains it, and still no time is negative.
        model.learn(&trial(2, "vae", false), &size(100_000, 10), &spent(10, 2.0));
        for num_parameters in [1, 1000, 1_000_000] {
            assert!(model.seconds(&trial(1, "vae", false), &size(num_parameters, 10)).unwrap() >= 0.5);
        }
    }

    #[test]
    fn a_trial_is_judged_by_its_like_first_and_without_any_finished_trial_not_at_all() {
        let mut model = CostModel::default();
        assert_eq!(model.seconds(&trial(0, "vae", false), &size(1000, 10)), None);
        model.learn(&trial(0, "vae", false), &size(1000, 10), &spent(10, 4.0));
        model.learn(&trial(1, "iwae", false), &size(1000, 10), &spent(10, 40.0));
        assert_eq!(model.seconds(&trial(2, "iwae", false), &size(1000, 10)), Some(40.5));
        let other = model.seconds(&trial(3, "linear", false), &size(1000, 10)).unwrap();
        assert!((4.5..40.5).contains(&other), "{other}");
        let unknown = TrialSize { num_parameters: None, ..size(1, 10) };
        assert_eq!(model.seconds(&trial(2, "iwae", false), &unknown), Some(40.5), "the mean, where the size is unknown");
    }

    #[test]
    fn what_stops_early_is_expected_to_stop_early_again() {
        let mut model = CostModel::default();
        model.learn(&trial(0, "vae", true), &size(1000, 10), &spent(4, 4.0));
        assert!((model.seconds(&trial(1, "vae", true), &size(1000, 10)).unwrap() - 4.5).abs() < 1e-9);
        assert!((model.seconds(&trial(1, "vae", false), &size(1000, 10)).unwrap() - 10.5).abs() < 1e-9);
    }

    #[test]
    fn the_longest_trial_bounds_the_time_however_many_run_at_once() {
        assert_eq!(wall_seconds(&[1.0, 1.0, 1.0, 1.0], 2), 2.0);
        assert_eq!(wall_seconds(&[10.0, 1.0, 1.0], 8), 10.0);
        assert_eq!(wall_seconds(&[], 8), 0.0);
    }
}
