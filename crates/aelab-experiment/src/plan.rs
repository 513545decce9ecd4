//! The trials of an experiment, resolved and checked, before any of them runs.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use aelab_core::{DataSpec, Registry, TermSpec};
use aelab_data::{DataError, Dataset, DatasetConfig, LoadContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{Condition, Found, Scope};
use crate::hash::canonical_json;
use crate::read::ReadError;
use crate::search::{Steering, first_proposals, unknown_goal};
use crate::source::{Diagnostic, nearest_name};
use crate::spec::{Execution, ExperimentSpec, SpecSource};
use crate::sweep::Setting;
use crate::tree::{At, Node, SetError};
use crate::trial_config::{FORMAT_VERSION, Sections, definition, read_data, trial_hash};
use crate::trial_values::{TrialValues, Variants};
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
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
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
    /// What `require` left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// A requirement that trials of the sweep broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The expression.
    pub requirement: String,
    /// Trials that were left out for it; one that breaks several counts for the first.
    pub num_trials: usize,
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
    let mut known_data = KnownDataSets::default();
    let settings = match &spec.sweep {
        Some(sweep) => {
            let planner = Planner::new(spec, &known_data, registry, context);
            sweep.expand(&mut |condition, front| planner.holds(condition, front))?
        }
        None => vec![Vec::new()],
    };
    let mut plan = plan_settings(spec, &settings, &settings, &mut known_data, registry, context)?;
    if plan.trials.is_empty() && !plan.left_out.is_empty() {
        let of_sweep = settings.iter().flatten().filter_map(required);
        let broken = of_sweep.chain(&spec.require).find(|condition| condition.expression.text() == plan.left_out[0].requirement);
        let mut diagnostic = Diagnostic::new("no trial is left");
        if let Some(condition) = broken {
            diagnostic = diagnostic.at(&spec.sources, &condition.origin, At::Value);
        }
        for LeftOut { requirement, num_trials } in &plan.left_out {
            diagnostic = diagnostic.note(format!("`require: {requirement}` leaves out {num_trials} of {}", settings.len()));
        }
        return Err(diagnostic);
    }
    plan.warnings.extend(unknown_goal(&plan));
    Ok(plan)
}

fn required(setting: &Setting<Node>) -> Option<&Condition> {
    match setting {
        Setting::Require(condition) => Some(condition),
        _ => None,
    }
}

/// What is known of data sets, by their resolved configuration.
pub(crate) type KnownDataSets = RefCell<HashMap<String, Rc<KnownData>>>;

/// Reads and checks the trials of these settings; `all` has every alternative that trials may set. Trials that break a requirement are
/// left out, be it all of them.
pub(crate) fn plan_settings(
    spec: &ExperimentSpec,
    settings: &[Vec<Setting<Node>>],
    all: &[Vec<Setting<Node>>],
    known_data: &mut KnownDataSets,
    registry: &Registry,
    context: &LoadContext,
) -> Result<Plan, Diagnostic> {
    let planner = Planner::new(spec, known_data, registry, context);
    let alternatives = Alternatives::of(all);
    let mut trials: Vec<PlannedTrial> = Vec::new();
    let mut derived: Vec<Vec<KeyPath>> = Vec::new();
    let mut hashes: HashSet<String> = HashSet::new();
    let mut warnings = Warnings::default();
    let mut left_out: Vec<LeftOut> = Vec::new();
    // Names in requirements that no trial had so far, and the nearest one.
    let mut nowhere: Option<BTreeMap<String, Option<String>>> = None;
    let mut duplicates = 0;
    // For each `--set`: in how many trials the same is set again, and what sets it.
    let mut shadowed: Vec<(usize, Option<String>)> = vec![(0, None); spec.set_paths.len()];
    for settings in settings {
        let trial = planner.trial(settings)?;
        match &mut nowhere {
            Some(nowhere) => nowhere.retain(|name, nearest| match trial.absent.get(name) {
                Some(other) => {
                    let far = |other: &Option<String>| other.as_ref().map_or(usize::MAX, |other| strsim::damerau_levenshtein(name, other));
                    if far(other) < far(nearest) {
                        nearest.clone_from(other);
                    }
                    true
                }
                None => false,
            }),
            None => nowhere = Some(trial.absent),
        }
        for (path, (count, by)) in spec.set_paths.iter().zip(&mut shadowed) {
            let swept = trial.set.iter().find(|axis| axis.contains(path)).map(|axis| format!("the sweep sets `{axis}`"));
            let computed =
                || trial.derived.iter().find(|target| target.contains(path)).map(|target| format!("`derive` computes `{target}`"));
            if let Some(what) = swept.or_else(computed) {
                *count += 1;
                *by = Some(what);
            }
        }
        let (trial, set, computed) = match trial.outcome {
            Outcome::Planned(planned) => (*planned, trial.set, trial.derived),
            Outcome::LeftOut(condition) => {
                let text = condition.expression.text();
                match left_out.iter_mut().find(|other| other.requirement == text) {
                    Some(known) => known.num_trials += 1,
                    None => left_out.push(LeftOut { requirement: text.to_owned(), num_trials: 1 }),
                }
                continue;
            }
        };
        trial.warnings.iter().for_each(|warning| warnings.add(warning.clone()));
        let mut trial = trial.trial;
        if !hashes.insert(trial.hash.clone()) {
            duplicates += 1;
            continue;
        }
        trial.index = trials.len();
        trial.overrides = alternatives.overrides(settings, &set, &trial.definition);
        trials.push(trial);
        derived.push(computed);
    }
    show_derived(&mut trials, &derived);
    for (path, (count, by)) in spec.set_paths.iter().zip(shadowed) {
        match by {
            Some(what) if count == settings.len() => {
                let instead = if what.contains("`derive`") {
                    "set what is derived instead: `--set 'derive={...}'`, or `--set derive=null` for nothing"
                } else {
                    "set the values of the sweep instead: `--set 'sweep={...}'`, or `--set sweep=null` for a single trial"
                };
                return Err(Diagnostic::new(format!("`--set {path}=..` has no effect: {what} in every trial")).note(instead));
            }
            Some(what) => {
                warnings.add(format!("`--set {path}=..` has no effect in {count} of {} trials: {what} there", settings.len()));
            }
            None => {}
        }
    }
    for (name, nearest) in nowhere.unwrap_or_default() {
        let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
        warnings.add(format!("`require` names `{name}`, which no trial has{hint}"));
    }
    if duplicates > 0 {
        warnings.add(format!("{duplicates} of {} trials of the sweep equal another one and were merged with it", settings.len()));
    }
    Ok(Plan {
        format_version: FORMAT_VERSION,
        name: spec.name.clone(),
        description: spec.description.clone(),
        tags: spec.tags.clone(),
        execution: spec.execution.clone(),
        steering: spec.steering.clone(),
        source: spec.source.clone(),
        trials,
        warnings: warnings.finish(settings.len()),
        left_out,
    })
}

/// Adds to what the sweep set what was computed from it, where that differs between trials.
fn show_derived(trials: &mut [PlannedTrial], derived: &[Vec<KeyPath>]) {
    let families: BTreeSet<KeyPath> = derived.iter().flatten().map(KeyPath::family).collect();
    for family in families {
        let value = |(trial, paths): (&PlannedTrial, &Vec<KeyPath>)| {
            let path = paths.iter().find(|path| path.family() == family)?;
            Some((path.to_string(), at_path(&trial.definition, path)?.clone()))
        };
        let values: Vec<Option<(String, Value)>> = trials.iter().zip(derived).map(value).collect();
        if values.iter().any(|value| value.as_ref().map(|(_, value)| value) != values[0].as_ref().map(|(_, value)| value)) {
            for (trial, value) in trials.iter_mut().zip(values) {
                trial.overrides.extend(value.filter(|(path, _)| path != "train.seed"));
            }
        }
    }
}

fn at_path<'a>(definition: &'a Value, path: &KeyPath) -> Option<&'a Value> {
    path.parts().iter().try_fold(definition, |value, key| match value {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
        other => other.get(key),
    })
}

/// Makes trials of an experiment out of settings.
struct Planner<'a> {
    spec: &'a ExperimentSpec,
    known_data: &'a KnownDataSets,
    registry: &'a Registry,
    context: LoadContext,
    variants: Variants,
}

/// What came of settings.
struct SetTrial<'a> {
    /// What the settings set, in their order.
    set: Vec<KeyPath>,
    /// What was computed.
    derived: Vec<KeyPath>,
    /// Names in requirements of the experiment that it does not have, and the nearest one that it has.
    absent: BTreeMap<String, Option<String>>,
    outcome: Outcome<'a>,
}

/// Whether settings make a trial.
enum Outcome<'a> {
    /// They do.
    Planned(Box<Planned>),
    /// They break this requirement.
    LeftOut(&'a Condition),
}

/// A trial without its place in a plan.
struct Planned {
    trial: PlannedTrial,
    /// What is allowed but probably not meant.
    warnings: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(spec: &'a ExperimentSpec, known_data: &'a KnownDataSets, registry: &'a Registry, context: &LoadContext) -> Self {
        let mut context = context.clone();
        context.base_dir.clone_from(&spec.source.base_dir);
        let variants = Variants {
            models: registry.entries().iter().map(|entry| entry.name.to_owned()).collect(),
            data: aelab_data::DATASETS.iter().map(|entry| entry.name.to_owned()).collect(),
            optimizers: crate::read::names_of::<aelab_train::OptimizerConfig>(),
        };
        Self { spec, known_data, registry, context, variants }
    }

    fn data(&self, data: &dyn DatasetConfig) -> Result<Rc<KnownData>, DataError> {
        let key = canonical_json(&data.resolved()) + data.name();
        if let Some(known) = self.known_data.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let known = Rc::new(KnownData::of(data, &self.context)?);
        self.known_data.borrow_mut().insert(key, Rc::clone(&known));
        Ok(known)
    }

    /// The values of a trial as far as it is known: with defaults where all of it can be read.
    fn values(&self, tree: &Node) -> TrialValues<'_> {
        let written = tree.to_value();
        let data = || {
            let section = written.get("data").ok_or("this trial has no data yet")?;
            let config = read_data(section, &KeyPath::from_iter(["data"])).map_err(|_| "the data of this trial cannot be read")?;
            self.data(config.as_ref()).map_err(|error| format!("`input` is not known: {}", chain(&error)))
        };
        let data: Result<Rc<KnownData>, String> = data();
        let num_features = data.as_ref().map(|data| data.spec.num_features()).map_err(String::clone);
        let read = data.ok().and_then(|data| Some((Sections::read(&written, self.registry).ok()?, data)));
        let (sections, code_size) = match read {
            Some((sections, data)) => (sections.resolved(&data.spec), Some(sections.model.code_size())),
            None => (written, None),
        };
        TrialValues { sections, code_size, num_features, variants: &self.variants }
    }

    /// Whether a condition holds after these settings.
    fn holds(&self, condition: &Condition, settings: &[Setting<Node>]) -> Result<bool, Diagnostic> {
        let mut tree = self.spec.base.clone();
        let set = sweep_section::apply(&mut tree, settings, &self.spec.sources)?;
        condition.holds(&self.values(&tree), &self.spec.sources).map_err(|error| in_trial(error, &tree, &set))
    }

    /// The trial that these settings make.
    fn trial<'b>(&self, settings: &'b [Setting<Node>]) -> Result<SetTrial<'b>, Diagnostic>
    where
        'a: 'b,
    {
        let spec = self.spec;
        let mut tree = spec.base.clone();
        let set = sweep_section::apply(&mut tree, settings, &spec.sources)?;
        let derived = self.derive(&mut tree, &set)?;
        let explain = |error: &ReadError| in_trial(error.diagnose(&tree, &spec.sources), &tree, &set);
        let sections = Sections::read(&tree.to_value(), self.registry).map_err(|error| explain(&error))?;
        let section_path = |section: &str, name: &str| KeyPath::from_iter([section, name]);

        let data_path = section_path("data", sections.data.name());
        let data = self.data(sections.data.as_ref()).map_err(|error| explain(&ReadError::other(data_path, chain(&error))))?;
        let resolved = sections.resolved(&data.spec);

        let values = TrialValues {
            sections: resolved,
            code_size: Some(sections.model.code_size()),
            num_features: Ok(data.spec.num_features()),
            variants: &self.variants,
        };
        let answer = |condition: &Condition| condition.holds(&values, &spec.sources).map_err(|error| in_trial(error, &tree, &set));
        for setting in settings {
            if let Setting::When { condition, holds } = setting
                && answer(condition)? != *holds
            {
                let diagnostic = Diagnostic::new(format!("`{}` is asked before what it depends on is set", condition.expression.text()))
                    .at(&spec.sources, &condition.origin, At::Value)
                    .note("put what has `when` behind the axes that its condition names");
                return Err(in_trial(diagnostic, &tree, &set));
            }
        }
        let mut absent = BTreeMap::new();
        for name in spec.require.iter().flat_map(|condition| condition.expression.names(false)) {
            if values.find(name) == Ok(Found::Absent) {
                let name = name.to_string();
                let nearest = nearest_name(&name, &values.names()).map(str::to_owned);
                absent.insert(name, nearest);
            }
        }
        let of_sweep = settings.iter().filter_map(required);
        for condition in of_sweep.chain(&spec.require) {
            if !answer(condition)? {
                return Ok(SetTrial { set, derived, absent, outcome: Outcome::LeftOut(condition) });
            }
        }

        let model_path = section_path("model", sections.model.name());
        sections
            .model
            .check(&data.spec)
            .map_err(|error| explain(&ReadError::other(model_path.join(&KeyPath::parse(&error.path)), error.message)))?;
        resolve_device(&sections.device).map_err(|error| explain(&ReadError::other(KeyPath::from_iter(["device"]), error.to_string())))?;

        for (index, evaluation) in sections.evaluate.iter().flatten().enumerate() {
            let class_names = || data.class_names(sections.data.as_ref(), &self.context);
            evaluation.check(&data.spec, &class_names).map_err(|error| {
                let path = KeyPath::from_iter(["evaluate".to_owned(), index.to_string(), evaluation.name().to_owned()]);
                explain(&ReadError::other(path.join(&KeyPath::parse(&error.path)), error.message))
            })?;
        }

        let of_model = sections.model.warnings(&data.spec).into_iter().map(|warning| format!("{}: {warning}", sections.model.name()));
        let of_evaluations = sections.evaluate.iter().flatten().flat_map(|evaluation| evaluation.complaints(&data.spec));
        let warnings = of_model.chain(of_evaluations).collect();

        let definition = definition(&values.sections, &data.checksum);
        let trial = PlannedTrial {
            index: 0,
            hash: trial_hash(&definition),
            overrides: Vec::new(),
            seed: sections.train.seed,
            model: sections.model.name().to_owned(),
            data: sections.data.name().to_owned(),
            code_size: sections.model.code_size(),
            definition,
            metrics: sections.metric_names(&data.spec),
            terms: sections.model.terms(&data.spec),
            num_features: data.spec.num_features(),
        };
        Ok(SetTrial { set, derived, absent, outcome: Outcome::Planned(Box::new(Planned { trial, warnings })) })
    }

    /// Computes what is derived, in the order written. Returns what was set.
    fn derive(&self, tree: &mut Node, set: &[KeyPath]) -> Result<Vec<KeyPath>, Diagnostic> {
        let sources = &self.spec.sources;
        let mut derived: Vec<KeyPath> = Vec::new();
        for one in &self.spec.derive {
            let values = self.values(tree);
            let is_there = one.when.as_ref().map_or(Ok(true), |when| when.holds(&values, sources));
            if !is_there.map_err(|error| in_trial(error, tree, set))? {
                continue;
            }
            let expression = &one.value.expression;
            let value = expression.value(&values).map_err(|error| {
                let diagnostic = error.diagnose(expression.text(), &one.value.origin, sources);
                in_trial(diagnostic, tree, set)
            })?;
            let resolved = tree.set(&one.path, Node::from_value(&printable(value), &one.value.origin)).map_err(|error| {
                let diagnostic =
                    Diagnostic::new(format!("cannot derive `{}`: {error}", one.path)).at(sources, &one.value.origin, At::Value);
                let diagnostic = match error {
                    SetError::OtherVariant { .. } => {
                        diagnostic.note("`*` stands for whichever is chosen, and `{value: .., when: ..}` sets it in some trials only")
                    }
                    _ => diagnostic,
                };
                in_trial(diagnostic, tree, set)
            })?;
            if let Some(before) = set.iter().chain(&derived).find(|before| resolved.contains(before)) {
                let what = if *before == resolved {
                    "it is set in the same trial".to_owned()
                } else {
                    format!("`{before}` is set in the same trial")
                };
                return Err(Diagnostic::new(format!("`{resolved}` is derived, but {what}"))
                    .at(sources, &one.value.origin, At::Value)
                    .note("what is derived cannot be swept as well, nor derived twice"));
            }
            derived.push(resolved);
        }
        Ok(derived)
    }
}

/// A computed value as it is kept: twelve digits, as the values of ranges.
fn printable(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() => Value::from(crate::space::rounded(number)),
        _ => value,
    }
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
        let resolved = |path: &KeyPath, written: &Node| at_path(definition, path).cloned().unwrap_or_else(|| written.to_value());
        let changes = settings.iter().filter(|setting| matches!(setting, Setting::Value { .. } | Setting::Offset { .. }));
        for (setting, path) in changes.zip(set) {
            let Setting::Value { value, .. } = setting else {
                if let Some(seed) = at_path(definition, path) {
                    add(path, seed.clone());
                }
                continue;
            };
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
