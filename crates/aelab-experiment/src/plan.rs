//! The trials of an experiment, resolved and checked, before any of them runs.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use aelab_core::{DataSpec, Registry, TermSpec};
use aelab_data::{DataError, Dataset, DatasetConfig, LoadContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::canonical_json;
use crate::read::ReadError;
use crate::search::{Steering, first_proposals, unknown_goal};
use crate::source::Diagnostic;
use crate::spec::{Execution, ExperimentSpec, SpecSource};
use crate::sweep::Setting;
use crate::tree::Node;
use crate::trial_config::{FORMAT_VERSION, Sections, definition, trial_hash};
use crate::{KeyPath, resolve_device, sweep_section};

/// Every trial of an experiment: `plan.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Name of the experiment.
    pub name: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How the trials are run.
    pub execution: Execution,
    /// Search, goal, early termination and budget.
    #[serde(default)]
    pub steering: Steering,
    /// What the experiment was read from.
    pub source: SpecSource,
    /// The trials in the order in which they run.
    pub trials: Vec<PlannedTrial>,
    /// What is allowed but probably not meant.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One trial of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedTrial {
    /// Position in the plan, from 0.
    pub index: usize,
    /// Identity: hash of the definition.
    pub hash: String,
    /// What the sweep set, by full path, in the order of the sweep. The seed is not among them.
    pub overrides: Vec<(String, Value)>,
    /// Seed of the trial.
    pub seed: u64,
    /// Registry name of the model.
    pub model: String,
    /// Registry name of the data set.
    pub data: String,
    /// Latent dimensions.
    pub code_size: usize,
    /// What the hash was taken of: the resolved configuration, data checksum and format version.
    pub definition: Value,
    /// Names of the metrics that may be measured on the test split.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// The terms of the objective.
    #[serde(skip)]
    pub terms: Vec<TermSpec>,
    /// Features of one example.
    #[serde(skip)]
    pub num_features: usize,
}

impl PlannedTrial {
    /// What sets it apart, by itself: `code_size=8 learning_rate=0.001 seed=2`. [`Plan::labels`] tells all trials of a plan apart.
    pub fn label(&self) -> String {
        let part = |(path, value): &(String, Value)| {
            let path = KeyPath::parse(path);
            format!("{}={}", path.last().unwrap_or_default(), short_value(value))
        };
        let parts: Vec<String> = self.overrides.iter().map(part).collect();
        format!("{} seed={}", if parts.is_empty() { self.model.clone() } else { parts.join(" ") }, self.seed)
    }

    /// The device that it runs on.
    pub fn device(&self) -> &str {
        self.definition.get("device").and_then(Value::as_str).unwrap_or("flex")
    }

    /// Epochs that it trains for at most.
    pub fn num_epochs(&self) -> u64 {
        self.definition.pointer("/train/epochs").and_then(Value::as_u64).unwrap_or(0)
    }
}

impl Plan {
    /// Folder that relative data paths start from.
    pub fn base_dir(&self) -> &PathBuf {
        &self.source.base_dir
    }

    /// The swept hyperparameters as columns: short label and, per trial, the value where it has one.
    /// The same hyperparameter of several models is one column. A column `seed` comes last where seeds differ.
    pub fn columns(&self) -> Vec<(String, Vec<Option<Value>>)> {
        let mut families: Vec<KeyPath> = Vec::new();
        let mut places: HashMap<KeyPath, usize> = HashMap::new();
        let mut values: Vec<Vec<Option<Value>>> = Vec::new();
        for (index, trial) in self.trials.iter().enumerate() {
            for (path, value) in &trial.overrides {
                let family = KeyPath::parse(path).family();
                let place = *places.entry(family.clone()).or_insert_with(|| {
                    families.push(family);
                    values.push(vec![None; self.trials.len()]);
                    values.len() - 1
                });
                values[place][index].get_or_insert_with(|| value.clone());
            }
        }
        let mut columns: Vec<(String, Vec<Option<Value>>)> =
            families.iter().zip(values).map(|(family, values)| (short_label(family, &families), values)).collect();
        if self.trials.iter().any(|trial| trial.seed != self.trials[0].seed) {
            columns.push(("seed".to_owned(), self.trials.iter().map(|trial| Some(Value::from(trial.seed))).collect()));
        }
        columns
    }

    /// What sets each trial apart, in one line: `model=vae code_size=8 seed=2`. In the order of the trials.
    pub fn labels(&self) -> Vec<String> {
        let columns = self.columns();
        let label = |(index, trial): (usize, &PlannedTrial)| {
            let part = |(label, values): &(String, Vec<Option<Value>>)| Some(format!("{label}={}", short_value(values[index].as_ref()?)));
            let parts: Vec<String> = columns.iter().filter_map(part).collect();
            if parts.is_empty() { trial.model.clone() } else { parts.join(" ") }
        };
        self.trials.iter().enumerate().map(label).collect()
    }
}

/// The last key of a hyperparameter's path; the whole path where that is ambiguous.
fn short_label(family: &KeyPath, families: &[KeyPath]) -> String {
    let last = family.last().unwrap_or_default();
    let is_unique = families.iter().filter(|other| other.last() == Some(last)).count() == 1 && last != "seed";
    if is_unique { last.to_owned() } else { family.to_string() }
}

/// A value in a table: text without quotes, the rest as JSON.
pub fn short_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string().replace(['"', ' '], ""),
    }
}

/// What is known of the data of a trial.
pub(crate) struct KnownData {
    checksum: String,
    spec: DataSpec,
    /// Of the classes; read at most once, where something asks for them and the data are there.
    class_names: OnceCell<Option<Vec<String>>>,
}

impl KnownData {
    /// Looks at the data. Where examples are chosen by their labels, they are read now: whether enough of them are of the classes
    /// asked for, no header says, and every trial would fail. Data that are yet to be fetched are trusted.
    fn of(data: &dyn DatasetConfig, context: &LoadContext) -> Result<Self, DataError> {
        let known = Self { checksum: data.checksum(context)?, spec: data.spec(context)?, class_names: OnceCell::new() };
        if data.resolved().get("normal_classes").is_some_and(|classes| !classes.is_null()) {
            match data.load(context) {
                Ok(dataset) => {
                    known.class_names.get_or_init(|| names_of(&dataset));
                }
                Err(DataError::NotFetched { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    fn class_names(&self, data: &dyn DatasetConfig, context: &LoadContext) -> Option<Vec<String>> {
        self.class_names.get_or_init(|| data.load(context).ok().and_then(|dataset| names_of(&dataset))).clone()
    }
}

fn names_of(dataset: &Dataset) -> Option<Vec<String>> {
    dataset.class_names.as_deref().map(<[String]>::to_vec)
}

/// Expands the sweep, reads and checks every trial. `context` says where data lies; its base folder is
/// replaced by that of the experiment file.
pub fn plan(spec: &ExperimentSpec, registry: &Registry, context: &LoadContext) -> Result<Plan, Diagnostic> {
    if spec.steering.search.is_some() {
        return first_proposals(spec, registry, context);
    }
    let settings = match &spec.sweep {
        Some(sweep) => sweep.expand().map_err(|error| Diagnostic::new(error.to_string()))?,
        None => vec![Vec::new()],
    };
    let mut plan = plan_settings(spec, &settings, &settings, &mut KnownDataSets::default(), registry, context)?;
    plan.warnings.extend(unknown_goal(&plan));
    Ok(plan)
}

/// What is known of data sets, by their resolved configuration.
pub(crate) type KnownDataSets = HashMap<String, KnownData>;

/// Reads and checks the trials of these settings; `all` has every alternative that trials may set.
pub(crate) fn plan_settings(
    spec: &ExperimentSpec,
    settings: &[Vec<Setting<Node>>],
    all: &[Vec<Setting<Node>>],
    known_data: &mut KnownDataSets,
    registry: &Registry,
    context: &LoadContext,
) -> Result<Plan, Diagnostic> {
    let mut context = context.clone();
    context.base_dir.clone_from(&spec.source.base_dir);
    let alternatives = Alternatives::of(all);
    let mut trials: Vec<PlannedTrial> = Vec::new();
    let mut hashes: HashSet<String> = HashSet::new();
    let mut warnings = Warnings::default();
    let mut duplicates = 0;
    // For each `--set`: in how many trials the sweep sets the same again, and what it sets.
    let mut shadowed: Vec<(usize, Option<KeyPath>)> = vec![(0, None); spec.set_paths.len()];
    for settings in settings {
        let mut tree = spec.base.clone();
        let set = sweep_section::apply(&mut tree, settings, &spec.sources)?;
        for (path, (count, by)) in spec.set_paths.iter().zip(&mut shadowed) {
            if let Some(axis) = set.iter().find(|axis| axis.contains(path)) {
                *count += 1;
                *by = Some(axis.clone());
            }
        }
        let explain = |error: &ReadError| in_trial(error.diagnose(&tree, &spec.sources), &tree, &set);
        let sections = Sections::read(&tree.to_value(), registry).map_err(|error| explain(&error))?;
        let section_path = |section: &str, name: &str| KeyPath::from_iter([section, name]);

        let data_path = section_path("data", sections.data.name());
        let data_key = canonical_json(&sections.data.resolved()) + sections.data.name();
        if !known_data.contains_key(&data_key) {
            let known =
                KnownData::of(sections.data.as_ref(), &context).map_err(|error| explain(&ReadError::other(data_path, chain(&error))))?;
            known_data.insert(data_key.clone(), known);
        }
        let data = &known_data[&data_key];

        let model_path = section_path("model", sections.model.name());
        sections
            .model
            .check(&data.spec)
            .map_err(|error| explain(&ReadError::other(model_path.join(&KeyPath::parse(&error.path)), error.message)))?;
        resolve_device(&sections.device).map_err(|error| explain(&ReadError::other(KeyPath::from_iter(["device"]), error.to_string())))?;

        for (index, evaluation) in sections.evaluate.iter().flatten().enumerate() {
            let class_names = || data.class_names(sections.data.as_ref(), &context);
            evaluation.check(&data.spec, &class_names).map_err(|error| {
                let path = KeyPath::from_iter(["evaluate".to_owned(), index.to_string(), evaluation.name().to_owned()]);
                explain(&ReadError::other(path.join(&KeyPath::parse(&error.path)), error.message))
            })?;
        }

        for warning in sections.model.warnings(&data.spec) {
            warnings.add(format!("{}: {warning}", sections.model.name()));
        }
        for complaint in sections.evaluate.iter().flatten().flat_map(|evaluation| evaluation.complaints(&data.spec)) {
            warnings.add(complaint);
        }

        let definition = definition(&sections.resolved(&data.spec), &data.checksum);
        let hash = trial_hash(&definition);
        if !hashes.insert(hash.clone()) {
            duplicates += 1;
            continue;
        }
        trials.push(PlannedTrial {
            index: trials.len(),
            hash,
            overrides: alternatives.overrides(settings, &set, &definition),
            seed: sections.train.seed,
            model: sections.model.name().to_owned(),
            data: sections.data.name().to_owned(),
            code_size: sections.model.code_size(),
            definition,
            metrics: sections.metric_names(&data.spec),
            terms: sections.model.terms(&data.spec),
            num_features: data.spec.num_features(),
        });
    }
    for (path, (count, by)) in spec.set_paths.iter().zip(shadowed) {
        match by {
            Some(axis) if count == settings.len() => {
                if spec.steering.search.is_some() {
                    return Err(Diagnostic::new(format!("`--set {path}=..` has no effect: the search sets `{axis}` in every trial"))
                        .note("take it out of the space, or write `--set search=null` for a single trial"));
                }
                return Err(Diagnostic::new(format!("`--set {path}=..` has no effect: the sweep sets `{axis}` in every trial"))
                    .note("set the values of the sweep instead: `--set 'sweep={...}'`, or `--set sweep=null` for a single trial"));
            }
            Some(axis) => warnings
                .add(format!("`--set {path}=..` has no effect in {count} of {} trials: the sweep sets `{axis}` there", settings.len())),
            None => {}
        }
    }
    if duplicates > 0 {
        warnings.add(format!("{duplicates} of {} trials of the sweep equal another one and were merged with it", settings.len()));
    }
    Ok(Plan {
        format_version: FORMAT_VERSION,
        name: spec.name.clone(),
        description: spec.description.clone(),
        execution: spec.execution.clone(),
        steering: spec.steering.clone(),
        source: spec.source.clone(),
        trials,
        warnings: warnings.finish(settings.len()),
    })
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Adds which trial of the sweep it was.
fn in_trial(diagnostic: Diagnostic, tree: &Node, set: &[KeyPath]) -> Diagnostic {
    if set.is_empty() {
        return diagnostic;
    }
    let settings: Vec<String> = set
        .iter()
        .filter_map(|path| {
            let value = tree.at(path)?.to_value();
            let text = match value.as_object() {
                Some(map) if path.is_variant_map() && map.len() == 1 => map.keys().next().cloned().unwrap_or_default(),
                _ => short_value(&value),
            };
            Some(format!("{path}={text}"))
        })
        .collect();
    diagnostic.note(format!("in the trial with {}", settings.join(", ")))
}

/// Distinct warnings with the number of trials that have them.
#[derive(Default)]
struct Warnings(Vec<(String, usize)>);

impl Warnings {
    fn add(&mut self, warning: String) {
        match self.0.iter_mut().find(|(text, _)| *text == warning) {
            Some((_, count)) => *count += 1,
            None => self.0.push((warning, 1)),
        }
    }

    fn finish(self, num_trials: usize) -> Vec<String> {
        let with_count = |(text, count): (String, usize)| if count > 1 { format!("{text} ({count} of {num_trials} trials)") } else { text };
        self.0.into_iter().map(with_count).collect()
    }
}

/// For axes over whole models, data sets or optimizers: in which options the alternatives of one name differ.
struct Alternatives(BTreeMap<(KeyPath, String), Vec<KeyPath>>);

impl Alternatives {
    fn of(trials: &[Vec<Setting<Node>>]) -> Self {
        let mut seen: BTreeMap<(KeyPath, String), Vec<Node>> = BTreeMap::new();
        for setting in trials.iter().flatten() {
            if let Setting::Value { path, value } = setting
                && path.is_variant_map()
                && let Some([(name, inner)]) = value.entries()
            {
                let nodes = seen.entry((path.clone(), name.clone())).or_default();
                if nodes.iter().all(|node| node.to_value() != inner.to_value()) {
                    nodes.push(inner.clone());
                }
            }
        }
        let differing = |nodes: Vec<Node>| {
            let mut paths: Vec<KeyPath> = Vec::new();
            for path in nodes.iter().flat_map(Node::leaf_paths) {
                let values: Vec<Option<Value>> = nodes.iter().map(|node| node.at(&path).map(Node::to_value)).collect();
                if values.iter().any(|value| *value != values[0]) && !paths.contains(&path) {
                    paths.push(path);
                }
            }
            paths
        };
        Self(seen.into_iter().map(|(key, nodes)| (key, differing(nodes))).collect())
    }

    /// The settings of one trial as numbers, texts and booleans, with the values as they were resolved.
    fn overrides(&self, settings: &[Setting<Node>], set: &[KeyPath], definition: &Value) -> Vec<(String, Value)> {
        let mut overrides: Vec<(String, Value)> = Vec::new();
        let mut add = |path: &KeyPath, value: Value| {
            let path = path.to_string();
            if path != "train.seed" {
                overrides.retain(|(before, _)| *before != path);
                overrides.push((path, value));
            }
        };
        // A schedule or a list of sizes is told apart by its text.
        let resolved = |path: &KeyPath, written: &Node| {
            let found = path.parts().iter().try_fold(definition, |value, key| match value {
                Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
                other => other.get(key),
            });
            found.cloned().unwrap_or_else(|| written.to_value())
        };
        for (setting, path) in settings.iter().zip(set) {
            let Setting::Value { value, .. } = setting else { continue };
            match value.entries() {
                Some([(name, inner)]) if path.is_variant_map() => {
                    add(path, Value::from(name.clone()));
                    for differing in self.0.get(&(path.clone(), name.clone())).into_iter().flatten() {
                        if let Some(written) = inner.at(differing) {
                            let path = path.child(name.clone()).join(differing);
                            add(&path, resolved(&path, written));
                        }
                    }
                }
                _ => match resolved(path, value) {
                    whole @ (Value::Object(_) | Value::Array(_)) => add(path, Value::from(short_value(&whole))),
                    single => add(path, single),
                },
            }
        }
        overrides
    }
}
