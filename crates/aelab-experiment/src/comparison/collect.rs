//! Reading runs: every trial of every plan with its state and result.

use std::collections::HashMap;

use serde_json::Value;

use crate::comparison::error::ComparisonError;
use crate::comparison::filter::Filter;
use crate::comparison::keys::KnownKeys;
use crate::hash::short_hash;
use crate::plan::PlannedTrial;
use crate::result::{TrialResult, TrialState};
use crate::run_dir::RunDir;

/// A trial of a run with its outcome.
#[derive(Debug, Clone)]
pub struct CollectedTrial {
    /// Name of the run.
    pub run: String,
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
}

impl CollectedTrial {
    pub(super) fn is_finished(&self) -> bool {
        self.state == TrialState::Finished
    }

    /// Names and values of what it measured, its size and time among them.
    pub(super) fn metric_values(&self) -> impl Iterator<Item = (&str, f64)> {
        self.result.iter().filter(|_| self.is_finished()).flat_map(|result| {
            let measured = result.metrics.iter().map(|metric| (metric.name.as_str(), metric.value));
            measured.chain([("num_parameters", result.num_parameters as f64), ("seconds", result.seconds)])
        })
    }

    /// Unit, direction and version of a metric.
    pub(super) fn metric_definition(&self, name: &str) -> Option<(String, String, u32)> {
        let result = self.result.as_ref().filter(|_| self.is_finished())?;
        match name {
            "num_parameters" => Some((String::new(), "none".to_owned(), 1)),
            "seconds" => Some(("s".to_owned(), "none".to_owned(), 1)),
            _ => {
                let metric = result.metrics.iter().find(|metric| metric.name == name)?;
                Some((metric.unit.clone(), metric.direction.clone(), metric.version))
            }
        }
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
    /// In the order of the runs and their plans.
    pub trials: Vec<CollectedTrial>,
    /// What a reader must know of the collection.
    pub notes: Vec<String>,
}

/// Reads the plans and results of `runs`. A trial that several runs have counts once.
pub fn collect(runs: &[RunDir]) -> Result<Collected, ComparisonError> {
    let plans = runs.iter().map(RunDir::plan).collect::<Result<Vec<_>, _>>()?;
    let is_shared = |name: &str| plans.iter().filter(|plan| plan.name == name).count() > 1;
    let names: Vec<String> = runs
        .iter()
        .zip(&plans)
        .map(|(run, plan)| if is_shared(&plan.name) { run.root().display().to_string() } else { plan.name.clone() })
        .collect();
    let mut trials: Vec<CollectedTrial> = Vec::new();
    let mut places: HashMap<(String, String, u64), usize> = HashMap::new();
    let (mut num_shared, mut num_contradicting) = (0, 0);
    for ((run, plan), name) in runs.iter().zip(plans).zip(&names) {
        for planned in plan.trials {
            let folder = run.trial(&planned.hash);
            let result = folder.result()?;
            let state = match &result {
                Some(result) => result.state,
                None => folder.state()?,
            };
            let (configuration, data) = identities(&planned.definition);
            let key = (configuration.clone(), data.clone(), planned.seed);
            let trial = CollectedTrial { run: name.clone(), planned, state, result, configuration, data };
            match places.get(&key) {
                None => {
                    places.insert(key, trials.len());
                    trials.push(trial);
                }
                Some(place) => {
                    num_shared += 1;
                    num_contradicting += usize::from(!merge(&mut trials[*place], trial));
                }
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
    Ok(Collected { runs: names, trials, notes })
}

/// Adds what the same trial measured in another run. `false` where values differ.
fn merge(kept: &mut CollectedTrial, other: CollectedTrial) -> bool {
    if !other.is_finished() {
        return true;
    }
    if !kept.is_finished() {
        *kept = other;
        return true;
    }
    let (Some(mine), Some(theirs)) = (&mut kept.result, other.result) else { return true };
    let mut agrees = true;
    for metric in theirs.metrics {
        match mine.metrics.iter().find(|known| known.name == metric.name) {
            Some(known) => agrees &= known.value == metric.value || known.version != metric.version,
            None => mine.metrics.push(metric),
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
