//! Everything about one trial, and what sets two apart.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::export::{CurvePoint, read_curves};
use crate::lock::{self, Holder};
use crate::plan::{Plan, PlannedTrial};
use crate::prune::Pruned;
use crate::result::{MetricValue, TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError};
use crate::worker::TrialProgress;

/// Lines of a log that are shown.
const LOG_LINES: usize = 20;

/// A trial as a person wants to see it.
#[derive(Debug, Clone, Serialize)]
pub struct TrialReport {
    /// Name of the run.
    pub run: String,
    /// Number in the tables, from 1.
    pub trial: usize,
    /// Identity.
    pub hash: String,
    /// What sets it apart in its sweep.
    pub label: String,
    /// Where it stands.
    pub state: TrialState,
    /// Who has it, where somebody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Its folder.
    pub folder: PathBuf,
    /// Registry name of the model.
    pub model: String,
    /// Registry name of the data.
    pub data: String,
    /// Latent dimensions.
    pub code_size: usize,
    /// Its seed.
    pub seed: u64,
    /// What the sweep set, by full path.
    pub settings: Vec<(String, Value)>,
    /// How it ended.
    pub result: Option<TrialResult>,
    /// Where its worker stands, or stood.
    pub progress: Option<TrialProgress>,
    /// The last value of every logged scalar, in order of first appearance.
    pub curves: Vec<CurveEnd>,
    /// `environment.json`: program, machine, threads, data.
    pub environment: Option<Value>,
    /// Files of its folder and their bytes, sorted.
    pub files: Vec<(String, u64)>,
    /// Why its checkpoints are gone, if they were removed.
    pub pruned: Option<Pruned>,
    /// The end of what its worker wrote to standard error.
    pub log_tail: String,
    /// The resolved configuration.
    pub config: Value,
}

/// Where a logged scalar ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurveEnd {
    /// `valid/loss`.
    pub name: String,
    /// Its last value.
    pub value: f64,
    /// Optimizer steps behind it.
    pub step: Option<u64>,
    /// Epochs behind it.
    pub epoch: Option<f64>,
    /// How often it was logged.
    pub num: usize,
}

/// Why a trial cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialReportError {
    /// The run directory cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Collects what is known of the trial at `index` of the plan.
///
/// # Errors
/// Files that cannot be read.
pub fn trial_report(run_dir: &RunDir, plan: &Plan, index: usize) -> Result<TrialReport, TrialReportError> {
    let trial = &plan.trials[index];
    let folder = run_dir.trial(&trial.hash);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrialReportError::Io { path, source }
    };
    let (state, result) = folder.standing()?;
    let holder = lock::holder(&folder.lock_path()).map_err(io(&folder.lock_path()))?.flatten();
    let curves = read_curves(&folder.metrics_path()).map_err(io(&folder.metrics_path()))?;
    let mut files = Vec::new();
    if folder.path().exists() {
        list_files(folder.path(), "", &mut files).map_err(io(folder.path()))?;
    }
    files.sort();
    let environment = fs::read(folder.path().join("environment.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(TrialReport {
        run: plan.name.clone(),
        trial: index + 1,
        hash: trial.hash.clone(),
        label: plan.labels().swap_remove(index),
        state,
        holder: holder.filter(|_| !state.is_over()),
        folder: folder.path().to_owned(),
        model: trial.model.clone(),
        data: trial.data.clone(),
        code_size: trial.code_size,
        seed: trial.seed,
        settings: trial.overrides.clone(),
        result,
        progress: folder.progress(),
        curves: curve_ends(curves),
        environment,
        files,
        pruned: folder.pruned(),
        log_tail: folder.log_tail(LOG_LINES),
        config: trial.definition.clone(),
    })
}

fn curve_ends(points: Vec<CurvePoint>) -> Vec<CurveEnd> {
    let mut ends: Vec<CurveEnd> = Vec::new();
    let mut places: HashMap<std::sync::Arc<str>, usize> = HashMap::new();
    for CurvePoint { step, epoch, name, value } in points {
        let place = *places.entry(std::sync::Arc::clone(&name)).or_insert_with(|| {
            ends.push(CurveEnd { name: name.to_string(), value, step, epoch, num: 0 });
            ends.len() - 1
        });
        let end = &mut ends[place];
        (end.value, end.step, end.epoch, end.num) = (value, step, epoch, end.num + 1);
    }
    ends
}

fn list_files(root: &Path, below: &str, files: &mut Vec<(String, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        // It may be gone by now: a worker writes under temporary names.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            list_files(root, &path, files)?;
        } else {
            files.push((path, metadata.len()));
        }
    }
    Ok(())
}

/// One of two trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedSide {
    /// Name of its run.
    pub run: String,
    /// Number in the tables, from 1.
    pub trial: usize,
    /// Identity.
    pub hash: String,
    /// What sets it apart in its sweep.
    pub label: String,
    /// Where it stands.
    pub state: TrialState,
}

/// A setting that differs; `None` where a trial does not have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingDifference {
    /// Full path.
    pub path: String,
    /// Of the first.
    pub first: Option<Value>,
    /// Of the second.
    pub second: Option<Value>,
}

/// A metric of two trials; `None` where one did not measure it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricDifference {
    /// Name.
    pub name: String,
    /// What it is measured in.
    pub unit: String,
    /// Whether `lower` or `higher` is better; `none` where neither is.
    pub direction: String,
    /// Of the first.
    pub first: Option<f64>,
    /// Of the second.
    pub second: Option<f64>,
    /// Second less first.
    pub difference: Option<f64>,
    /// Whether both were measured by the same version of the metric's definition.
    pub is_comparable: bool,
}

/// What sets two trials apart.
#[derive(Debug, Clone, Serialize)]
pub struct TrialDifference {
    /// The first.
    pub first: ComparedSide,
    /// The second.
    pub second: ComparedSide,
    /// Settings that differ, sorted by path, the checksum of the data among them.
    pub settings: Vec<SettingDifference>,
    /// What differs of program, machine and threads.
    pub environment: Vec<SettingDifference>,
    /// All metrics of either, in the order of the first.
    pub metrics: Vec<MetricDifference>,
    /// Parameters, epochs, steps and seconds.
    pub training: Vec<MetricDifference>,
}

/// Compares two trials, of one run or of two.
///
/// # Errors
/// Files that cannot be read.
pub fn diff_trials(first: (&RunDir, &Plan, usize), second: (&RunDir, &Plan, usize)) -> Result<TrialDifference, RunDirError> {
    let side = |(run_dir, plan, index): (&RunDir, &Plan, usize)| {
        let trial = &plan.trials[index];
        let (state, result) = run_dir.trial(&trial.hash).standing()?;
        let label = plan.labels().swap_remove(index);
        let side = ComparedSide { run: plan.name.clone(), trial: index + 1, hash: trial.hash.clone(), label, state };
        let environment = fs::read(run_dir.trial(&trial.hash).path().join("environment.json")).ok();
        let environment: Value = environment.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null);
        Ok::<_, RunDirError>((side, result, environment))
    };
    let ((first_side, first_result, first_environment), (second_side, second_result, second_environment)) = (side(first)?, side(second)?);
    let definition = |(_, plan, index): (&RunDir, &Plan, usize)| -> Value { definition_of(&plan.trials[index]) };
    Ok(TrialDifference {
        settings: value_differences(&definition(first), &definition(second)),
        environment: value_differences(&first_environment, &second_environment),
        metrics: metric_differences(first_result.as_ref(), second_result.as_ref()),
        training: training_differences(first_result.as_ref(), second_result.as_ref()),
        first: first_side,
        second: second_side,
    })
}

fn definition_of(trial: &PlannedTrial) -> Value {
    let mut definition = trial.definition.clone();
    // A list of evaluations with one key each reads better, and compares better, by their names.
    if let Some(evaluate) = definition.get_mut("evaluate")
        && let Some(items) = evaluate.as_array()
    {
        *evaluate = Value::Object(
            items.iter().filter_map(Value::as_object).flatten().map(|(name, options)| (name.clone(), options.clone())).collect(),
        );
    }
    definition
}

/// Every leaf in which two values differ.
fn value_differences(first: &Value, second: &Value) -> Vec<SettingDifference> {
    fn compare(path: &str, first: Option<&Value>, second: Option<&Value>, found: &mut Vec<SettingDifference>) {
        let entries = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
        let is_map_or_nothing = |value: Option<&Value>| value.is_none_or(Value::is_object);
        if is_map_or_nothing(first) && is_map_or_nothing(second) && (first.is_some() || second.is_some()) {
            let (left, right) = (entries(first).unwrap_or_default(), entries(second).unwrap_or_default());
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            if keys.is_empty() && first != second {
                found.push(SettingDifference { path: path.to_owned(), first: first.cloned(), second: second.cloned() });
            }
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, left.get(key), right.get(key), found);
            }
        } else if first != second {
            found.push(SettingDifference { path: path.to_owned(), first: first.cloned(), second: second.cloned() });
        }
    }
    let mut found = Vec::new();
    let or_nothing = |value: &Value| (!value.is_null()).then(|| value.clone());
    compare("", or_nothing(first).as_ref(), or_nothing(second).as_ref(), &mut found);
    found
}

fn metric_differences(first: Option<&TrialResult>, second: Option<&TrialResult>) -> Vec<MetricDifference> {
    let metrics = |result: Option<&TrialResult>| -> Vec<MetricValue> { result.map(|result| result.metrics.clone()).unwrap_or_default() };
    let (left, right) = (metrics(first), metrics(second));
    let mut found = Vec::new();
    for metric in &left {
        let other = right.iter().find(|other| other.name == metric.name);
        found.push(MetricDifference {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            direction: metric.direction.clone(),
            first: Some(metric.value),
            second: other.map(|other| other.value),
            difference: other.map(|other| other.value - metric.value),
            is_comparable: other.is_none_or(|other| other.version == metric.version && other.unit == metric.unit),
        });
    }
    for metric in right.iter().filter(|metric| left.iter().all(|other| other.name != metric.name)) {
        found.push(MetricDifference {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            direction: metric.direction.clone(),
            first: None,
            second: Some(metric.value),
            difference: None,
            is_comparable: true,
        });
    }
    found
}

fn training_differences(first: Option<&TrialResult>, second: Option<&TrialResult>) -> Vec<MetricDifference> {
    type Get = fn(&TrialResult) -> Option<f64>;
    let rows: [(&str, &str, Get); 6] = [
        ("parameters", "", |result| Some(result.num_parameters as f64)),
        ("epochs", "", |result| Some(result.epochs_run as f64)),
        ("best epoch", "", |result| result.best_epoch.map(|epoch| epoch as f64)),
        ("steps", "", |result| Some(result.steps as f64)),
        ("training", "s", |result| Some(result.seconds)),
        ("measuring", "s", |result| Some(result.measuring_seconds)),
    ];
    let row = |(name, unit, get): (&str, &str, Get)| {
        let (first, second) = (first.and_then(get), second.and_then(get));
        let difference = first.zip(second).map(|(first, second)| second - first);
        let direction = "none".to_owned();
        MetricDifference { name: name.to_owned(), unit: unit.to_owned(), direction, first, second, difference, is_comparable: true }
    };
    rows.into_iter().map(row).filter(|row| row.first.is_some() || row.second.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn a_trial_is_told_with_its_settings_metrics_curves_and_files() {
        let fixture = Fixture::new(&[(TrialState::Finished, 1.5), (TrialState::Failed, 0.0)]);
        let folder = fixture.run_dir.trial(&fixture.plan.trials[0].hash);
        fs::write(folder.metrics_path(), "{\"step\":1,\"epoch\":1.0,\"train/loss\":3.0}\n{\"step\":2,\"epoch\":2.0,\"train/loss\":2.0}\n")
            .unwrap();
        let report = trial_report(&fixture.run_dir, &fixture.plan, 0).unwrap();
        assert_eq!((report.state, report.trial, report.label.as_str()), (TrialState::Finished, 1, "latent_dim=1"));
        let end = CurveEnd { name: "train/loss".into(), value: 2.0, step: Some(2), epoch: Some(2.0), num: 2 };
        assert_eq!((report.curves, report.result.unwrap().metric("sse")), (vec![end], Some(1.5)));
        let files: Vec<&str> = report.files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(files, ["config.yaml", "metrics.jsonl", "result.json"]);
        let failed = trial_report(&fixture.run_dir, &fixture.plan, 1).unwrap();
        assert!(failed.result.unwrap().error.unwrap().contains("did not work"));
    }

    #[test]
    fn two_trials_differ_in_what_was_set_and_measured_and_nothing_else_is_told() {
        let fixture = Fixture::new(&[(TrialState::Finished, 1.5), (TrialState::Finished, 1.0), (TrialState::Pending, 0.0)]);
        let trial = |index| (&fixture.run_dir, &fixture.plan, index);
        let difference = diff_trials(trial(0), trial(1)).unwrap();
        let expected = SettingDifference { path: "model.vae.latent_dim".into(), first: Some(1.into()), second: Some(2.into()) };
        assert_eq!(difference.settings, [expected]);
        let sse = &difference.metrics[0];
        assert_eq!((sse.name.as_str(), sse.first, sse.second, sse.difference), ("sse", Some(1.5), Some(1.0), Some(-0.5)));
        let difference = diff_trials(trial(2), trial(1)).unwrap();
        assert_eq!((difference.metrics[0].first, difference.metrics[0].second, difference.metrics[0].difference), (None, Some(1.0), None));
        assert!(diff_trials(trial(1), trial(1)).unwrap().settings.is_empty());
    }

    #[test]
    fn what_only_one_trial_has_is_told_leaf_by_leaf() {
        let (first, second) = (serde_json::json!({"a": {"b": 1, "c": [1, 2]}}), serde_json::json!({"a": {"c": [1, 3]}, "d": {"e": 2}}));
        let found = value_differences(&first, &second);
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["a.b", "a.c", "d.e"]);
        assert_eq!((found[0].second.clone(), found[2].first.clone()), (None, None));
    }
}
