//! Reading runs: every trial of every plan with its state and result.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::comparison::error::ComparisonError;
use crate::comparison::filter::Filter;
use crate::comparison::keys::KnownKeys;
use crate::hash::short_hash;
use crate::plan::PlannedTrial;
use crate::reading::map_trials;
use crate::result::{MetricValue, TrialResult, TrialState};
use crate::run_dir::RunDir;

/// Evaluations of a trial by name, with the options on which their metrics depend.
type Evaluations = BTreeMap<String, Value>;

/// A number of a trial with how it was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) metric: &'a MetricValue,
    /// Name of the run.
    pub(super) run: &'a str,
    /// Hash of the trial.
    pub(super) trial: &'a str,
    evaluations: &'a Evaluations,
}

impl<'a> Reading<'a> {
    /// The evaluations that may have measured it: the one that the result names, or else all of its trial.
    pub(super) fn evaluations(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let wanted = self.metric.evaluation.as_deref();
        let all = self.evaluations.iter().map(|(name, options)| (name.as_str(), options));
        all.filter(move |(name, _)| wanted.is_none_or(|wanted| wanted == *name))
    }

    /// Whether both say the same of how they were measured.
    pub(super) fn has_source_of(&self, other: &Reading<'_>) -> bool {
        self.metric.evaluation == other.metric.evaluation
            && (std::ptr::eq(self.evaluations, other.evaluations) || self.evaluations().eq(other.evaluations()))
    }

    /// Whether they were measured by different evaluations or with different options. Of results that do not say which evaluation
    /// it was, the options of all that both trials have count.
    pub(super) fn contradicts(&self, other: &Reading<'_>) -> bool {
        match (&self.metric.evaluation, &other.metric.evaluation) {
            (Some(mine), Some(theirs)) => mine != theirs || self.evaluations.get(mine) != other.evaluations.get(theirs),
            (Some(name), None) | (None, Some(name)) => self.evaluations.get(name) != other.evaluations.get(name),
            (None, None) => {
                self.evaluations.iter().any(|(name, options)| other.evaluations.get(name).is_some_and(|theirs| theirs != options))
            }
        }
    }
}

/// What the same trial measured in another run, and differently.
#[derive(Debug, Clone)]
struct Elsewhere {
    metric: MetricValue,
    run: String,
    trial: String,
    evaluations: Arc<Evaluations>,
}

/// A trial of a run with its outcome.
#[derive(Debug, Clone)]
pub struct CollectedTrial {
    /// Name of the run.
    pub run: String,
    /// Tags of the run.
    pub(super) tags: Arc<Vec<String>>,
    /// What was planned.
    pub planned: PlannedTrial,
    /// Where it stands.
    pub state: TrialState,
    /// What it measured; `None` before it has ended.
    pub result: Option<TrialResult>,
    /// Hash of what it computes apart from its seed, its data and its evaluations.
    pub(super) configuration: String,
    /// Hash of its data section and the checksum of the data.
    pub(super) data: String,
    evaluations: Arc<Evaluations>,
    elsewhere: Vec<Elsewhere>,
}

impl CollectedTrial {
    /// A trial without its result.
    pub(super) fn without_result(run: &str, tags: &Arc<Vec<String>>, planned: PlannedTrial, state: TrialState) -> Self {
        let (configuration, data) = identities(&planned.definition);
        Self {
            run: run.to_owned(),
            tags: Arc::clone(tags),
            planned,
            state,
            result: None,
            configuration,
            data,
            evaluations: Arc::default(),
            elsewhere: Vec::new(),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state == TrialState::Finished
    }

    /// Everything that it measured; in other runs, too, where it measured something else there.
    pub(super) fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let result = self.result.iter().filter(|_| self.is_finished());
        let here = result.flat_map(|result| &result.metrics).map(|metric| Reading {
            metric,
            run: &self.run,
            trial: &self.planned.hash,
            evaluations: &self.evaluations,
        });
        here.chain(self.elsewhere.iter().map(|other| Reading {
            metric: &other.metric,
            run: &other.run,
            trial: &other.trial,
            evaluations: &other.evaluations,
        }))
    }

    /// Names and values of what it measured, its size and time among them.
    pub(super) fn metric_values(&self) -> impl Iterator<Item = (&str, f64)> {
        let result = self.result.iter().filter(|_| self.is_finished());
        let of_training = result.flat_map(|result| [("num_parameters", result.num_parameters as f64), ("seconds", result.seconds)]);
        self.readings().map(|reading| (reading.metric.name.as_str(), reading.metric.value)).chain(of_training)
    }

    pub(super) fn reason(&self) -> String {
        let error = self.result.as_ref().and_then(|result| result.error.as_deref());
        error.and_then(|error| error.lines().next()).unwrap_or_default().to_owned()
    }
}

/// The trials of all runs.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Names of the runs; their folders where names are shared.
    pub runs: Vec<String>,
    /// In the order of the runs and their plans; one that several runs have is there several times.
    pub trials: Vec<CollectedTrial>,
}

/// Reads the plans and results of `runs`.
pub fn collect(runs: &[RunDir]) -> Result<Collected, ComparisonError> {
    let plans = runs.iter().map(RunDir::plan).collect::<Result<Vec<_>, _>>()?;
    let is_shared = |name: &str| plans.iter().filter(|plan| plan.name == name).count() > 1;
    let names: Vec<String> = runs
        .iter()
        .zip(&plans)
        .map(|(run, plan)| if is_shared(&plan.name) { run.root().display().to_string() } else { plan.name.clone() })
        .collect();
    let mut trials: Vec<CollectedTrial> = Vec::new();
    let mut known_evaluations: HashMap<String, Arc<Evaluations>> = HashMap::new();
    for ((run, plan), name) in runs.iter().zip(plans).zip(&names) {
        let tags = Arc::new(plan.tags);
        let read = map_trials(run, &plan.trials, |planned, state, result| (state, result, identities(&planned.definition)))?;
        for (planned, (state, result, (configuration, data))) in plan.trials.into_iter().zip(read) {
            let evaluate = planned.definition.get("evaluate").unwrap_or(&Value::Null);
            let evaluations = known_evaluations.entry(evaluate.to_string()).or_insert_with(|| Arc::new(evaluations_of(evaluate))).clone();
            trials.push(CollectedTrial {
                run: name.clone(),
                tags: Arc::clone(&tags),
                planned,
                state,
                result,
                configuration,
                data,
                evaluations,
                elsewhere: Vec::new(),
            });
        }
    }
    Ok(Collected { runs: names, trials })
}

fn evaluations_of(evaluate: &Value) -> Evaluations {
    let entries = evaluate.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    let measuring = |(name, options): (&String, &Value)| {
        let options = aelab_eval::find(name).map_or_else(|| options.clone(), |entry| entry.measuring_options(options));
        (name.clone(), options)
    };
    entries.map(measuring).collect()
}

/// Trials each once, with what a reader must know of those that several runs have.
pub(super) fn each_once<'a>(trials: &[&'a CollectedTrial]) -> (Vec<Cow<'a, CollectedTrial>>, Vec<String>) {
    let mut once: Vec<Cow<'a, CollectedTrial>> = Vec::new();
    let mut places: HashMap<(&str, &str, u64), usize> = HashMap::new();
    let (mut num_shared, mut num_contradicting) = (0, 0);
    for trial in trials {
        match places.entry((&trial.configuration, &trial.data, trial.planned.seed)) {
            std::collections::hash_map::Entry::Occupied(place) => {
                num_shared += 1;
                num_contradicting += usize::from(!merge(&mut once[*place.get()], trial));
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(Cow::Borrowed(trial));
            }
        }
    }
    let mut notes = Vec::new();
    if num_shared > 0 {
        notes.push(format!("{num_shared} trials are in more than one run and count once"));
    }
    if num_contradicting > 0 {
        notes.push(format!("{num_contradicting} of them measured other values there; those of the run named first count"));
    }
    (once, notes)
}

/// Adds what the same trial measured in another run. `false` where values differ that should be the same. What was measured in
/// another way is kept beside the first, so that a comparison of that metric is refused whatever the order of the runs.
fn merge<'a>(kept: &mut Cow<'a, CollectedTrial>, other: &'a CollectedTrial) -> bool {
    if !other.is_finished() {
        return true;
    }
    if !kept.is_finished() {
        *kept = Cow::Borrowed(other);
        return true;
    }
    let mut agrees = true;
    for reading in other.readings() {
        let is_alike = |known: &Reading<'_>| {
            known.metric.name == reading.metric.name
                && (known.metric.version, &known.metric.unit, &known.metric.direction)
                    == (reading.metric.version, &reading.metric.unit, &reading.metric.direction)
                && !known.contradicts(&reading)
        };
        let alike = kept.readings().find(is_alike).map(|known| known.metric.value);
        match alike {
            Some(value) => agrees &= value == reading.metric.value,
            None => kept.to_mut().elsewhere.push(Elsewhere {
                metric: reading.metric.clone(),
                run: other.run.clone(),
                trial: other.planned.hash.clone(),
                evaluations: other.evaluations.clone(),
            }),
        }
    }
    agrees
}

/// Hashes of what is computed but for seed, data and evaluations, and of the data.
fn identities(definition: &Value) -> (String, String) {
    let mut computed = definition.clone();
    if let Some(entries) = computed.as_object_mut() {
        for key in ["data", "data_checksum", "evaluate"] {
            entries.remove(key);
        }
        if let Some(train) = entries.get_mut("train").and_then(Value::as_object_mut) {
            train.remove("seed");
        }
    }
    let part = |key: &str| definition.get(key).cloned().unwrap_or(Value::Null);
    (short_hash(&computed), short_hash(&Value::Array(vec![part("data"), part("data_checksum")])))
}

impl Collected {
    pub(super) fn filtered(&self, filters: &[Filter], known: &KnownKeys) -> Result<Vec<&CollectedTrial>, ComparisonError> {
        let mut trials: Vec<&CollectedTrial> = self.trials.iter().collect();
        for filter in filters {
            let passing = filter.apply(&trials, known)?;
            trials = passing;
        }
        Ok(trials)
    }
}
