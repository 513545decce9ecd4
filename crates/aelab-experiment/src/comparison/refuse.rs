//! What must not be compared: results of different data, evaluations, definitions; cells that would average over configurations.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aelab_report::ComparedMetric;
use serde_json::Value;

use crate::comparison::collect::{CollectedTrial, Reading};
use crate::comparison::compared_metric;
use crate::comparison::error::ComparisonError;
use crate::comparison::keys::{Key, KeyKind, KnownKeys, differences, differing};
use crate::{KeyPath, short_value};

/// Trials of one value of the grouping keys.
fn partitions<'a>(
    trials: &[&'a CollectedTrial],
    keys: &[&Key],
    value: &impl Fn(&Key, &CollectedTrial) -> Option<Value>,
) -> Vec<(String, Vec<&'a CollectedTrial>)> {
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(String, Vec<&CollectedTrial>)> = Vec::new();
    for trial in trials {
        let place: Vec<Option<Value>> = keys.iter().map(|key| value(key, trial)).collect();
        let label: Vec<String> = keys
            .iter()
            .zip(&place)
            .map(|(key, value)| format!("{} {}", key.name, value.as_ref().map_or_else(|| "-".to_owned(), short_value)))
            .collect();
        let label = label.join(", ");
        let next = groups.len();
        let position = *positions.entry(format!("{place:?}")).or_insert(next);
        if position == next {
            groups.push((label, Vec::new()));
        }
        groups[position].1.push(trial);
    }
    groups
}

/// `8 in run_a; 32 in run_b, run_c`.
fn by_run<'a>(values: impl Iterator<Item = (String, &'a str)>) -> String {
    let mut runs: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (value, run) in values {
        runs.entry(value).or_default().insert(run);
    }
    let mut parts: Vec<String> = runs
        .iter()
        .take(6)
        .map(|(value, runs)| {
            let named: Vec<&str> = runs.iter().take(3).copied().collect();
            let more = if runs.len() > 3 { format!(" and {} more runs", runs.len() - 3) } else { String::new() };
            format!("{value} in {}{more}", named.join(", "))
        })
        .collect();
    parts.extend((runs.len() > 6).then(|| format!("and {} more values", runs.len() - 6)));
    parts.join("; ")
}

/// Refuses results of different data sections or contents, but for what the user groups by.
pub(super) fn refuse_different_data(
    trials: &[&CollectedTrial],
    grouping: &[&Key],
    value: &impl Fn(&Key, &CollectedTrial) -> Option<Value>,
) -> Result<(), ComparisonError> {
    let finished: Vec<&CollectedTrial> = trials.iter().copied().filter(|trial| trial.is_finished()).collect();
    let keys: Vec<&Key> = grouping.iter().copied().filter(|key| key.is_of_context()).collect();
    for (_, members) in partitions(&finished, &keys, value) {
        let mut distinct: Vec<&CollectedTrial> = Vec::new();
        for trial in &members {
            if distinct.iter().all(|known| known.data != trial.data) {
                distinct.push(trial);
            }
        }
        let mut lines: Vec<String> = Vec::new();
        let mut suggested: Option<String> = None;
        if distinct.len() > 1 {
            let sections: Vec<&Value> = distinct.iter().map(|trial| trial.planned.definition.get("data").unwrap_or(&Value::Null)).collect();
            for path in differing(&sections, &KeyPath::from_iter(["data"])) {
                let name = path.parts().iter().filter(|part| *part != "*").map(String::as_str).collect::<Vec<_>>().join(".");
                let kind = if path.is_variant_map() { KeyKind::Data } else { KeyKind::Path(path) };
                let key = Key { name: name.clone(), kind };
                let values = members.iter().map(|trial| {
                    let value = if key.kind == KeyKind::Data { Some(Value::from(trial.planned.data.clone())) } else { value(&key, trial) };
                    (value.as_ref().map_or_else(|| "nothing".to_owned(), short_value), trial.run.as_str())
                });
                lines.push(format!("  {name}: {}", by_run(values)));
                suggested.get_or_insert(name);
            }
            let checksum = |trial: &CollectedTrial| {
                let text = trial.planned.definition.get("data_checksum").and_then(Value::as_str).unwrap_or("none").to_owned();
                text.chars().take(16).collect::<String>()
            };
            // Different data sets have different contents; that is no news.
            if lines.is_empty()
                || distinct.iter().any(|trial| trial.planned.data == distinct[0].planned.data && checksum(trial) != checksum(distinct[0]))
            {
                lines
                    .push(format!("  checksum of the data: {}", by_run(members.iter().map(|trial| (checksum(trial), trial.run.as_str())))));
            }
        }
        if !lines.is_empty() {
            let key = suggested.unwrap_or_else(|| "run".to_owned());
            let hint = format!(
                " = choose with --filter {key}=..., put them into columns of their own with --cols {key}, or take data sets as blocks with --across data"
            );
            return Err(ComparisonError::DifferentData { differences: lines, hint });
        }
    }
    Ok(())
}

/// Refuses a metric that several evaluations measured, or one with different options, but for what the user groups by. Options of
/// other evaluations do not matter.
pub(super) fn refuse_different_evaluations(
    trials: &[&CollectedTrial],
    grouping: &[&Key],
    value: &impl Fn(&Key, &CollectedTrial) -> Option<Value>,
    metric: &str,
) -> Result<(), ComparisonError> {
    let keys: Vec<&Key> = grouping.iter().copied().filter(|key| key.is_of_context()).collect();
    for (_, members) in partitions(trials, &keys, value) {
        let readings: Vec<Reading<'_>> =
            members.iter().flat_map(|trial| trial.readings()).filter(|reading| reading.metric.name == metric).collect();
        let mut distinct: Vec<&Reading<'_>> = Vec::new();
        for reading in &readings {
            if !distinct.iter().any(|known| known.has_source_of(reading)) {
                distinct.push(reading);
            }
        }
        let contradicts = |(index, reading): (usize, &&Reading<'_>)| distinct[..index].iter().any(|known| known.contradicts(reading));
        if !distinct.iter().enumerate().any(contradicts) {
            continue;
        }
        let names: BTreeSet<&str> = distinct.iter().filter_map(|reading| reading.metric.evaluation.as_deref()).collect();
        let different = different_options(&readings);
        let mut lines: Vec<String> = Vec::new();
        if names.len() > 1 || different.is_empty() {
            let name = |reading: &Reading<'_>| reading.metric.evaluation.clone().unwrap_or_else(|| "an unnamed one".to_owned());
            lines.push(format!("  evaluation: {}", by_run(readings.iter().map(|reading| (name(reading), reading.run)))));
        }
        lines.extend(different.iter().map(|(name, values)| format!("  {name}: {values}")));
        let how = match different.first().and_then(|(name, _)| name.split('.').nth(1)).filter(|_| names.len() < 2) {
            Some(evaluation) => format!("with different options of the evaluation `{evaluation}`"),
            None => "by different evaluations".to_owned(),
        };
        let key = different.first().map_or_else(|| "run".to_owned(), |(name, _)| name.clone());
        let hint = format!(
            " = choose with --filter {key}=..., put them into columns of their own with --cols {key}, or name other metrics with --metric"
        );
        return Err(ComparisonError::DifferentEvaluation { metric: metric.to_owned(), how, differences: lines, hint });
    }
    Ok(())
}

/// Options in which evaluations of one name differ, with their values by run.
fn different_options(readings: &[Reading<'_>]) -> Vec<(String, String)> {
    let mut of_evaluation: BTreeMap<&str, Vec<(&Value, &str)>> = BTreeMap::new();
    for reading in readings {
        for (name, options) in reading.evaluations() {
            of_evaluation.entry(name).or_default().push((options, reading.run));
        }
    }
    let mut different = Vec::new();
    for (evaluation, measured) in of_evaluation {
        let options: BTreeSet<&String> =
            measured.iter().filter_map(|(options, _)| options.as_object()).flat_map(|map| map.keys()).collect();
        for option in options {
            if measured.iter().any(|(options, _)| options.get(option) != measured[0].0.get(option)) {
                let text = |options: &Value| options.get(option).map_or_else(|| "nothing".to_owned(), short_value);
                different
                    .push((format!("evaluate.{evaluation}.{option}"), by_run(measured.iter().map(|(options, run)| (text(options), *run)))));
            }
        }
    }
    different
}

/// Refuses a cell of several configurations: their mean would say nothing about any of them.
pub(super) fn refuse_mixed_cells(
    trials: &[&CollectedTrial],
    keys: &[&Key],
    known: &KnownKeys,
    value: &impl Fn(&Key, &CollectedTrial) -> Option<Value>,
) -> Result<(), ComparisonError> {
    for (place, members) in partitions(trials, keys, value) {
        let mut distinct: Vec<&CollectedTrial> = Vec::new();
        for trial in &members {
            if distinct.iter().all(|other| other.configuration != trial.configuration) {
                distinct.push(trial);
            }
        }
        if distinct.len() < 2 {
            continue;
        }
        let mut lines = Vec::new();
        let mut names = Vec::new();
        for path in differences(&distinct) {
            let key = known.resolve(&path.parts().iter().filter(|part| *part != "*").map(String::as_str).collect::<Vec<_>>().join("."));
            let Ok(key) = key else { continue };
            let values = members
                .iter()
                .map(|trial| (value(&key, trial).as_ref().map_or_else(|| "nothing".to_owned(), short_value), trial.run.as_str()));
            lines.push(format!("  {}: {}", key.name, by_run(values)));
            names.push(key.name);
        }
        let first = names.first().cloned().unwrap_or_else(|| "run".to_owned());
        let hint = format!(
            " = add --rows or --cols {first}, choose with --filter {first}=..., or average over it as blocks with --across {first}"
        );
        return Err(ComparisonError::MixedCell { num: distinct.len(), place, differences: lines, hint });
    }
    Ok(())
}

/// Names of the metrics of baselines that stand beside a metric.
pub(super) fn baselines_of<'a>(trials: &[&'a CollectedTrial], metric: &str) -> BTreeSet<&'a str> {
    let names = trials.iter().flat_map(|trial| trial.metric_values()).map(|(name, _)| name);
    names.filter(|name| aelab_report::baseline_readings(name).any(|(_, of)| of == metric)).collect()
}

/// What is known of a metric, where all trials agree about it.
pub(super) fn common_definition(trials: &[&CollectedTrial], name: &str) -> Result<ComparedMetric, ComparisonError> {
    match name {
        "num_parameters" => return Ok(compared_metric(name, "", "none", 1)),
        "seconds" => return Ok(compared_metric(name, "s", "none", 1)),
        _ => {}
    }
    let mut found: BTreeMap<(&str, &str, u32), BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for reading in trials.iter().flat_map(|trial| trial.readings()).filter(|reading| reading.metric.name == name) {
        let definition = (reading.metric.unit.as_str(), reading.metric.direction.as_str(), reading.metric.version);
        found.entry(definition).or_default().entry(reading.run).or_default().insert(reading.trial);
    }
    if found.len() > 1 {
        let of_run = |(run, trials): (&&str, &BTreeSet<&str>)| {
            let named: Vec<&str> = trials.iter().take(3).copied().collect();
            let more = if trials.len() > 3 { format!(" and {} more", trials.len() - 3) } else { String::new() };
            format!("{run} (trial{} {}{more})", if trials.len() == 1 { "" } else { "s" }, named.join(", "))
        };
        let line = |((unit, direction, version), runs): (&(&str, &str, u32), &BTreeMap<&str, BTreeSet<&str>>)| {
            let unit = if unit.is_empty() { "no unit" } else { unit };
            format!("  version {version}, {unit}, better: {direction} in {}", runs.iter().map(of_run).collect::<Vec<_>>().join(", "))
        };
        // Choosing runs helps only where each is of one definition.
        let mut seen = BTreeSet::new();
        let runs_agree = found.values().flat_map(BTreeMap::keys).all(|run| seen.insert(run));
        let choice = if runs_agree { "choose runs of one definition (--filter run=...), " } else { "choose " };
        let hint = format!(" = {choice}other metrics (--metric), or measure again with this aelab");
        return Err(ComparisonError::DifferentMetric { metric: name.to_owned(), differences: found.iter().map(line).collect(), hint });
    }
    let (unit, direction, version) = found.into_keys().next().unwrap_or_default();
    Ok(compared_metric(name, unit, direction, version))
}
