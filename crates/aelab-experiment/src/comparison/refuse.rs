//! What must not be compared: results of different data, evaluations, definitions; cells that would average over configurations.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aelab_report::ComparedMetric;
use serde_json::Value;

use crate::comparison::collect::CollectedTrial;
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

/// Refuses results of different data sections, contents or evaluation options, but for what the user groups by.
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
        for (name, values) in different_options(&members) {
            lines.push(format!("  {name}: {values}"));
            suggested.get_or_insert(name);
        }
        if !lines.is_empty() {
            let key = suggested.unwrap_or_else(|| "run".to_owned());
            let blocks = if distinct.len() > 1 { ", or take data sets as blocks with --across data" } else { "" };
            let hint = format!(" = choose with --filter {key}=..., put them into columns of their own with --cols {key}{blocks}");
            return Err(ComparisonError::DifferentData { differences: lines, hint });
        }
    }
    Ok(())
}

/// Options in which evaluations of one name differ, with their values by run. An option that one of them does not have is newer.
fn different_options(trials: &[&CollectedTrial]) -> Vec<(String, String)> {
    let mut options: BTreeMap<(String, String), BTreeMap<String, BTreeSet<&str>>> = BTreeMap::new();
    for trial in trials {
        let evaluations = trial.planned.definition.get("evaluate").and_then(Value::as_array).into_iter().flatten();
        for (evaluation, inner) in evaluations.filter_map(Value::as_object).flatten() {
            for (option, value) in inner.as_object().into_iter().flatten() {
                let values = options.entry((evaluation.clone(), option.clone())).or_default();
                values.entry(short_value(value)).or_default().insert(&trial.run);
            }
        }
    }
    let different = options.into_iter().filter(|(_, values)| values.len() > 1);
    let described = different.map(|((evaluation, option), values)| {
        let values = values.iter().flat_map(|(value, runs)| runs.iter().map(move |run| (value.clone(), *run)));
        (format!("evaluate.{evaluation}.{option}"), by_run(values))
    });
    described.collect()
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

/// What is known of a metric, where all trials agree about it, those of its baselines too.
pub(super) fn common_definition(trials: &[&CollectedTrial], name: &str) -> Result<ComparedMetric, ComparisonError> {
    let check = |name: &str| {
        let mut found: BTreeMap<(String, String, u32), BTreeSet<&str>> = BTreeMap::new();
        for trial in trials {
            if let Some(definition) = trial.metric_definition(name) {
                found.entry(definition).or_default().insert(&trial.run);
            }
        }
        if found.len() > 1 {
            let line = |((unit, direction, version), runs): (&(String, String, u32), &BTreeSet<&str>)| {
                let unit = if unit.is_empty() { "no unit" } else { unit };
                let runs: Vec<&str> = runs.iter().copied().collect();
                format!("  version {version}, {unit}, better: {direction} in {}", runs.join(", "))
            };
            return Err(ComparisonError::DifferentMetric { metric: name.to_owned(), differences: found.iter().map(line).collect() });
        }
        Ok(found.into_keys().next())
    };
    let mut baselines: BTreeSet<&str> = BTreeSet::new();
    for trial in trials {
        baselines.extend(
            trial.metric_values().map(|(of, _)| of).filter(|of| aelab_report::baseline_readings(of).any(|(_, metric)| metric == name)),
        );
    }
    for baseline in baselines {
        check(baseline)?;
    }
    let (unit, direction, version) = check(name)?.unwrap_or_default();
    Ok(compared_metric(name, &unit, &direction, version))
}
