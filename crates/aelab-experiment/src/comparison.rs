//! Results of any runs, collected for a comparison: which trials are configurations of which row, and whether they may be
//! compared at all.

mod collect;
mod error;
mod filter;
mod keys;
mod refuse;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aelab_eval::metric_info;
use aelab_report::statistics::PairedTest;
use aelab_report::{
    Abscissa, BaselineValue, ComparedMetric, ComparedTrial, ComparisonInput, Direction, KeyValues, TradeOff, baseline_readings, compare,
    trade_off,
};
use serde_json::Value;

pub use collect::{Collected, CollectedTrial, collect};
pub use error::ComparisonError;
pub use filter::Filter;
pub(crate) use filter::passing;

use crate::nearest_name;
use keys::{Key, KeyKind, KnownKeys};

/// What a user wants to see.
#[derive(Debug, Clone, Default)]
pub struct ComparisonRequest {
    /// Names of metrics, with or without `eval/`; the headline metrics that all configurations have where empty.
    pub metrics: Vec<String>,
    /// Keys whose combinations are the rows; whatever varies where empty.
    pub rows: Vec<String>,
    /// Keys whose combinations are the columns.
    pub columns: Vec<String>,
    /// Keys whose combinations are blocks, which are averaged over: `data`.
    pub across: Vec<String>,
    /// Which trials to look at.
    pub filters: Vec<Filter>,
    /// The test; `None` for the default.
    pub test: Option<PairedTest>,
    /// Whether baselines get rows.
    pub baselines: bool,
    /// Metric by which rows are sorted; the first one where it is empty.
    pub sort: Option<String>,
}

/// A trade-off curve that a user wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurveRequest {
    /// A key or a metric.
    pub x: String,
    /// A metric.
    pub y: String,
    /// Whether the x axis is logarithmic; chosen by the values for `None`.
    pub log_x: Option<bool>,
    /// Whether the y axis is logarithmic.
    pub log_y: Option<bool>,
}

impl Collected {
    /// The trials of the request with their places in the table. Refuses what cannot be compared.
    pub fn comparison(&self, request: &ComparisonRequest) -> Result<ComparisonInput, ComparisonError> {
        request.refuse_empty_names()?;
        let known = KnownKeys::of(&self.trials);
        let passing = self.filtered(&request.filters, &known)?;
        let (once, mut notes) = collect::each_once(&passing);
        let trials: Vec<&CollectedTrial> = once.iter().map(AsRef::as_ref).collect();
        let resolve = |names: &[String]| names.iter().map(|name| known.resolve(name)).collect::<Result<Vec<Key>, _>>();
        let (columns, across) = (resolve(&request.columns)?, resolve(&request.across)?);
        if let Some(seed) = columns.iter().chain(&across).find(|key| key.kind == KeyKind::Seed) {
            return Err(ComparisonError::SeedAsKey(seed.name.clone()));
        }
        let given_rows = resolve(&request.rows)?;
        if given_rows.iter().any(|key| key.kind == KeyKind::Seed) {
            return Err(ComparisonError::SeedAsKey("seed".to_owned()));
        }
        let all_given: Vec<&Key> = given_rows.iter().chain(&columns).chain(&across).collect();
        if let Some((first, _)) = all_given.iter().enumerate().find(|(index, key)| all_given[..*index].contains(key)) {
            return Err(ComparisonError::KeyTwice(all_given[first].name.clone()));
        }

        let data_labels = keys::data_labels(&trials, &all_given);
        let value = |key: &Key, trial: &CollectedTrial| key.value(trial, &data_labels);
        // A row per run does not say that the data differ; a column or block of its own keeps them apart.
        let separating: Vec<&Key> = given_rows.iter().filter(|key| key.kind != KeyKind::Run).chain(&columns).chain(&across).collect();
        refuse::refuse_different_data(&trials, &separating, &value)?;
        let rows = if given_rows.is_empty() {
            let others: Vec<Key> = columns.iter().chain(&across).cloned().collect();
            keys::varying(&trials, &known, &others, &data_labels)
        } else {
            given_rows.clone()
        };
        let placing: Vec<&Key> = rows.iter().chain(&columns).chain(&across).collect();
        refuse::refuse_mixed_cells(&trials, &placing, &known, &value)?;

        let names = self.metric_names(&trials, request, &rows, &value)?;
        let mut metrics = Vec::new();
        for name in &names {
            let beside = if request.baselines { refuse::baselines_of(&trials, name) } else { BTreeSet::new() };
            for name in std::iter::once(name.as_str()).chain(beside.iter().copied()) {
                refuse::common_definition(&trials, name)?;
                refuse::refuse_different_evaluations(&trials, &separating, &value, name)?;
            }
            metrics.push(refuse::common_definition(&trials, name)?);
        }
        let sort = match &request.sort {
            None => None,
            Some(name) if name.is_empty() => Some(0),
            Some(name) => {
                let name = bare(name);
                Some(names.iter().position(|other| other == name).ok_or_else(|| ComparisonError::SortNotShown {
                    name: name.to_owned(),
                    shown: names.join(", "),
                    is_measured: self.measured_names().iter().any(|other| other == name),
                })?)
            }
        };
        let key_values = |keys: &[Key], trial: &CollectedTrial| -> KeyValues { keys.iter().map(|key| value(key, trial)).collect() };
        let compared = trials.iter().map(|trial| {
            let measured: HashMap<&str, f64> = trial.metric_values().collect();
            let baselines = measured.iter().flat_map(|(name, value)| {
                baseline_readings(name).filter_map(|(prefix, of)| {
                    let metric = names.iter().position(|name| name == of)?;
                    Some(BaselineValue { prefix, metric, value: *value })
                })
            });
            let mut baselines: Vec<BaselineValue> = baselines.collect();
            baselines.sort_by_key(|value| (value.prefix, value.metric));
            ComparedTrial {
                run: trial.run.clone(),
                trial: trial.planned.hash.clone(),
                state: trial.state.name().to_owned(),
                reason: trial.reason(),
                row: key_values(&rows, trial),
                column: key_values(&columns, trial),
                block: key_values(&across, trial),
                seed: trial.planned.seed,
                code_size: trial.planned.code_size,
                values: names.iter().map(|name| measured.get(name.as_str()).copied()).collect(),
                baselines,
            }
        });
        let compared = compared.collect();
        if !request.filters.is_empty() {
            let filters: Vec<String> = request.filters.iter().map(Filter::to_string).collect();
            notes.push(format!("{} of {} trials pass {}", passing.len(), self.trials.len(), filters.join(", ")));
        }
        let names_of = |keys: &[Key]| keys.iter().map(|key| key.name.clone()).collect::<Vec<_>>();
        Ok(ComparisonInput {
            title: self.runs.join(", "),
            row_keys: names_of(&rows),
            column_keys: names_of(&columns),
            block_keys: names_of(&across),
            metrics,
            trials: compared,
            test: request.test,
            baselines: request.baselines,
            sort,
            notes,
        })
    }

    /// A trade-off curve of the trials of the request; its metrics and columns do not matter.
    pub fn curve(&self, request: &ComparisonRequest, curve: &CurveRequest) -> Result<TradeOff, ComparisonError> {
        let known = KnownKeys::of(&self.trials);
        let measured = self.measured_names();
        let y = bare(&curve.y).to_owned();
        let x = bare(&curve.x).to_owned();
        let is_metric = measured.contains(&x);
        let labels = BTreeMap::new();
        let values = |key: &Key| -> BTreeSet<String> {
            let values = self.trials.iter().filter_map(|trial| key.value(trial, &labels));
            values.filter(Value::is_number).map(|value| value.to_string()).collect()
        };
        let resolved = known.resolve(&x);
        // A name that is both is meant as what varies.
        let key = resolved.as_ref().ok().filter(|key| {
            let numbers = values(key).len();
            !is_metric && numbers > 0 || numbers > 1
        });
        if key.is_none() && !is_metric {
            let mut names: Vec<String> =
                known.swept_names().into_iter().filter(|name| known.resolve(name).is_ok_and(|key| !values(&key).is_empty())).collect();
            names.extend(measured.iter().cloned());
            let listed = names.join(", ");
            return Err(match resolved {
                Ok(key) => {
                    let found: BTreeSet<String> =
                        self.trials.iter().filter_map(|trial| key.value(trial, &labels)).map(|value| crate::short_value(&value)).collect();
                    let mut values: Vec<String> = found.iter().take(8).cloned().collect();
                    values.extend((found.len() > 8).then(|| format!("and {} more", found.len() - 8)));
                    ComparisonError::NoNumbers { name: x, values: values.join(", "), known: listed }
                }
                Err(error @ ComparisonError::AmbiguousKey { .. }) => error,
                Err(_) => {
                    let all: Vec<String> = known.names().into_iter().chain(measured).collect();
                    ComparisonError::UnknownAbscissa { hint: did_you_mean(&x, &all), name: x, known: listed }
                }
            });
        }
        let grouping: Vec<String> = request.rows.iter().chain(&request.columns).cloned().collect();
        let mut rows = Vec::new();
        if let (Some(key), false) = (key, grouping.is_empty()) {
            rows.clone_from(&grouping);
            if !rows.iter().any(|name| known.resolve(name).is_ok_and(|known| known == *key)) {
                rows.push(x.clone());
            }
        }
        let metrics = if key.is_some() { vec![y.clone()] } else { vec![y.clone(), x.clone()] };
        let inner = ComparisonRequest { metrics, rows, columns: Vec::new(), baselines: true, sort: None, ..request.clone() };
        let mut input = self.comparison(&inner)?;
        let abscissa = match key {
            Some(key) => match input.row_keys.iter().position(|name| *name == key.name) {
                Some(position) => Abscissa::Key(position),
                None => {
                    // It does not vary: a single place on the axis.
                    input =
                        self.comparison(&ComparisonRequest { rows: input.row_keys.iter().cloned().chain([x.clone()]).collect(), ..inner })?;
                    Abscissa::Key(input.row_keys.len() - 1)
                }
            },
            None => Abscissa::Metric(1),
        };
        // Configurations of a series are joined by a line: columns do not cut it into points.
        let series = if request.rows.is_empty() { vec!["model".to_owned()] } else { request.rows.clone() };
        let series: Vec<String> = series.iter().filter_map(|name| Some(known.resolve(name).ok()?.name)).collect();
        let mut trade_off =
            trade_off(&compare(input), abscissa, 0, &series).ok_or_else(|| ComparisonError::EmptyCurve { x: x.clone(), y: y.clone() })?;
        (trade_off.figure.log_x, trade_off.figure.log_y) = (curve.log_x, curve.log_y);
        Ok(trade_off)
    }

    /// Names of everything that some finished trial measured, sorted.
    fn measured_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.trials.iter().flat_map(|trial| trial.metric_values().map(|(name, _)| name)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn metric_names(
        &self,
        trials: &[&CollectedTrial],
        request: &ComparisonRequest,
        rows: &[Key],
        value: &impl Fn(&Key, &CollectedTrial) -> Option<Value>,
    ) -> Result<Vec<String>, ComparisonError> {
        if trials.iter().all(|trial| !trial.is_finished()) {
            let states: Vec<&str> = trials.iter().map(|trial| trial.state.name()).collect();
            let mut counts: Vec<String> = Vec::new();
            for state in crate::TrialState::ALL {
                let count = states.iter().filter(|name| **name == state.name()).count();
                counts.extend((count > 0).then(|| format!("{count} {state}")));
            }
            return Err(ComparisonError::NothingFinished { runs: self.runs.join(", "), states: counts.join(", ") });
        }
        let measured: BTreeSet<&str> = trials.iter().flat_map(|trial| trial.metric_values().map(|(name, _)| name)).collect();
        let all: Vec<String> = measured.iter().map(|name| (*name).to_owned()).collect();
        if !request.metrics.is_empty() {
            let mut names: Vec<String> = Vec::new();
            for name in &request.metrics {
                let name = bare(name).to_owned();
                if !measured.contains(name.as_str()) {
                    return Err(ComparisonError::unknown_metric(&name, &all));
                }
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            return Ok(names);
        }
        // Per row, what any of its finished trials has.
        let mut by_row: HashMap<String, BTreeSet<&str>> = HashMap::new();
        let mut order: Vec<&str> = Vec::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for trial in trials.iter().filter(|trial| trial.is_finished()) {
            let row: Vec<Option<Value>> = rows.iter().map(|key| value(key, trial)).collect();
            let of_row = by_row.entry(format!("{row:?}")).or_default();
            for (name, _) in trial.metric_values() {
                of_row.insert(name);
                if seen.insert(name) {
                    order.push(name);
                }
            }
        }
        // Losses of different models or weights are different quantities.
        let is_baseline = |name: &str| baseline_readings(name).any(|(_, of)| measured.contains(of));
        let is_shown = |name: &&str| {
            *name != "loss" && metric_info(name).is_headline && !is_baseline(name) && by_row.values().all(|names| names.contains(name))
        };
        let names: Vec<String> = order.into_iter().filter(is_shown).map(str::to_owned).collect();
        if names.is_empty() { Err(ComparisonError::NoCommonMetric { measured: all.join(", ") }) } else { Ok(names) }
    }
}

impl ComparisonRequest {
    fn refuse_empty_names(&self) -> Result<(), ComparisonError> {
        let lists = [("--metric", &self.metrics), ("--rows", &self.rows), ("--cols", &self.columns), ("--across", &self.across)];
        let empty = lists.into_iter().find(|(_, names)| names.iter().any(|name| bare(name).is_empty()));
        empty.map_or(Ok(()), |(option, _)| Err(ComparisonError::EmptyName { option }))
    }
}

/// A metric's name without the split that curves put before it.
fn bare(name: &str) -> &str {
    let name = name.trim();
    name.strip_prefix("eval/").unwrap_or(name)
}

/// What is known of a metric; losses of different objectives have no direction.
fn compared_metric(name: &str, unit: &str, direction: &str, version: u32) -> ComparedMetric {
    let direction = match direction {
        _ if name == "loss" => Direction::Neutral,
        "lower" => Direction::LowerIsBetter,
        "higher" => Direction::HigherIsBetter,
        _ => Direction::Neutral,
    };
    let info = metric_info(name);
    ComparedMetric { name: name.to_owned(), unit: unit.to_owned(), direction, version, definition: info.definition.to_owned() }
}

/// The nearest of `names`, as a question.
fn did_you_mean(found: &str, names: &[String]) -> String {
    nearest_name(found, names).map_or_else(String::new, |nearest| format!("\n = did you mean `{nearest}`?"))
}
