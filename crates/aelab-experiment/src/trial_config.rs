//! The configuration of one trial: typed, with every default filled in.

use std::fmt;
use std::path::PathBuf;

use aelab_core::{AnyModelConfig, DataSpec, Registry};
use aelab_data::DatasetConfig;
use aelab_eval::Evaluation;
use aelab_train::TrainConfig;
use serde_json::{Map, Value, json};

use crate::KeyPath;
use crate::device::resolve_device_name;
use crate::hash::short_hash;
use crate::read::{ReadError, read_at, unknown_name, variant};

/// Version of the meaning of a resolved configuration. It is part of every hash: a change of what a
/// configuration computes raises it, and no old result is taken for a new one.
pub const FORMAT_VERSION: u32 = 1;

/// Keys of an experiment that describe a trial; the others belong to the experiment as a whole.
pub(crate) const TRIAL_KEYS: [&str; 5] = ["data", "model", "train", "evaluate", "device"];

/// The typed sections of one trial.
pub struct Sections {
    /// Where the examples come from.
    pub data: Box<dyn DatasetConfig>,
    /// The model with its objective.
    pub model: Box<dyn AnyModelConfig>,
    /// How it is trained.
    pub train: TrainConfig,
    /// What is measured afterwards; `None` where the file leaves it to what applies to the data.
    pub evaluate: Option<Vec<Box<dyn Evaluation>>>,
    /// `flex`, `ndarray`, `cuda:0`.
    pub device: String,
}

impl Sections {
    /// Reads the sections of one trial. Unknown keys, wrong types and missing science are errors.
    pub fn read(value: &Value, registry: &Registry) -> Result<Self, ReadError> {
        let root = KeyPath::root();
        let Value::Object(entries) = value else { return Err(ReadError::other(root, "expected a map")) };
        let section = |key: &str| {
            let missing = || ReadError { path: KeyPath::root(), problem: crate::read::Problem::MissingKey { key: key.to_owned() } };
            entries.get(key).map(|value| (value, KeyPath::root().child(key))).ok_or_else(missing)
        };

        let (value, path) = section("data")?;
        let data = read_data(value, &path)?;

        let (value, path) = section("model")?;
        let names: Vec<&str> = registry.entries().iter().map(|entry| entry.name).collect();
        let (name, inner) = variant(value, &path, "model", &names)?;
        let entry = registry.find(&name).expect("the name is one of the list");
        let model = (entry.parse)(inner).map_err(|error| in_section(&path.child(&name), &error))?;

        let (value, path) = section("train")?;
        let train: TrainConfig = read_at(value.clone(), &path)?;
        train.check().map_err(|error| ReadError::other(path.join(&KeyPath::parse(&error.path)), error.message))?;

        let evaluate = match section("evaluate") {
            Ok((Value::Null, _)) | Err(_) => None,
            Ok((value, path)) => Some(read_evaluations(value, &path)?),
        };

        let device = match section("device") {
            Ok((value, path)) => {
                let name: String = read_at(value.clone(), &path)?;
                resolve_device_name(&name).map_err(|error| ReadError::other(path, error.to_string()))?
            }
            Err(_) => resolve_device_name("auto").expect("`auto` is a device"),
        };
        Ok(Self { data, model, train, evaluate, device })
    }

    /// Names of the metrics that the evaluations may measure, the terms of the objective among them.
    pub(crate) fn metric_names(&self, data: &aelab_core::DataSpec) -> Vec<String> {
        let defaults = if self.evaluate.is_none() { aelab_eval::default_evaluations(data) } else { Vec::new() };
        let mut names: Vec<String> = Vec::new();
        for evaluation in self.evaluate.as_ref().unwrap_or(&defaults) {
            names.extend(evaluation.metric_names(data));
            if evaluation.name() == "objective" {
                names.extend(self.model.terms(data).iter().map(|term| term.name.to_owned()));
            }
        }
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        if has("nll") && has("kl") {
            names.push("elbo".to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// The sections with every default filled in, the evaluations that apply to such data among them.
    pub fn resolved(&self, data: &DataSpec) -> Value {
        let defaults = if self.evaluate.is_none() { aelab_eval::default_evaluations(data) } else { Vec::new() };
        let evaluate = self.evaluate.as_ref().unwrap_or(&defaults);
        let one_key = |name: &str, inner: Value| Value::Object(Map::from_iter([(name.to_owned(), inner)]));
        json!({
            "data": one_key(self.data.name(), self.data.resolved()),
            "model": one_key(self.model.name(), self.model.resolved()),
            "train": serde_json::to_value(&self.train).expect("a configuration of numbers, strings, lists and maps serializes"),
            "evaluate": evaluate.iter().map(|evaluation| one_key(evaluation.name(), evaluation.resolved())).collect::<Vec<_>>(),
            "device": self.device,
        })
    }
}

/// Reads the section of the data by itself.
pub(crate) fn read_data(value: &Value, path: &KeyPath) -> Result<Box<dyn DatasetConfig>, ReadError> {
    let names: Vec<&str> = aelab_data::DATASETS.iter().map(|entry| entry.name).collect();
    let (name, inner) = variant(value, path, "data set", &names)?;
    let entry = aelab_data::DATASETS.iter().find(|entry| entry.name == name).expect("the name is one of the list");
    let data = (entry.parse)(inner).map_err(|error| in_section(&path.child(&name), &error))?;
    data.check().map_err(|error| ReadError::other(path.child(&name).join(&KeyPath::parse(&error.path)), error.message))?;
    Ok(data)
}

fn in_section(path: &KeyPath, error: &aelab_core::ParseError) -> ReadError {
    ReadError::from_serde(path.join(&KeyPath::parse(&error.path)), &error.message)
}

fn read_evaluations(value: &Value, path: &KeyPath) -> Result<Vec<Box<dyn Evaluation>>, ReadError> {
    let Value::Array(items) = value else {
        return Err(ReadError::other(path.clone(), "expected a list of evaluations: `[reconstruction, pca_baseline]`"));
    };
    let names: Vec<&str> = aelab_eval::EVALUATIONS.iter().map(|entry| entry.name).collect();
    let mut evaluations: Vec<Box<dyn Evaluation>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = path.child(index.to_string());
        let (name, inner) = match item {
            Value::String(name) if names.contains(&name.as_str()) => (name.clone(), Value::Object(Map::new())),
            Value::String(name) => return Err(unknown_name(&path, "evaluation", name, &names)),
            other => variant(other, &path, "evaluation", &names)?,
        };
        if evaluations.iter().any(|before| before.name() == name) {
            return Err(ReadError::other(path, format!("`{name}` is listed twice")));
        }
        let entry = aelab_eval::EVALUATIONS.iter().find(|entry| entry.name == name).expect("the name is one of the list");
        evaluations.push((entry.parse)(inner).map_err(|error| in_section(&path.child(&name), &error))?);
    }
    Ok(evaluations)
}

/// One trial, ready to run: what a worker rebuilds from `config.yaml`.
pub struct ResolvedTrial {
    /// Name of the experiment.
    pub name: String,
    /// Identity: a hash of `definition`.
    pub hash: String,
    /// Where the examples come from.
    pub data: Box<dyn DatasetConfig>,
    /// Checksum of the data that the trial was planned with.
    pub data_checksum: String,
    /// The model with its objective.
    pub model: Box<dyn AnyModelConfig>,
    /// How it is trained.
    pub train: TrainConfig,
    /// What is measured afterwards.
    pub evaluate: Vec<Box<dyn Evaluation>>,
    /// `flex`, `ndarray`, `cuda:0`.
    pub device: String,
    /// What sets this trial apart within its sweep, by full path; numbers, texts, booleans. The seed is not among them.
    pub overrides: Vec<(String, Value)>,
    /// Folder that relative paths of the data section start from.
    pub base_dir: PathBuf,
    /// What the hash was taken of.
    pub definition: Value,
}

impl fmt::Debug for ResolvedTrial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResolvedTrial").field("name", &self.name).field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Why a stored trial could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum TrialConfigError {
    /// A value cannot be read.
    #[error("`{path}` of the stored configuration cannot be read: {message}")]
    Read {
        /// Where.
        path: String,
        /// What.
        message: String,
    },
    /// The stored configuration is of another format version.
    #[error(
        "the stored configuration is of format version {found}, but this aelab has {FORMAT_VERSION}: use the aelab that wrote it, \
         or give the experiment another name to run it anew"
    )]
    Version {
        /// Version found.
        found: u64,
    },
    /// The stored configuration has another hash than the trial.
    #[error(
        "the stored configuration has the hash {found}, but belongs to the trial {expected}: it was edited or is of another version of aelab"
    )]
    Hash {
        /// Hash of what is stored.
        found: String,
        /// Hash of the trial.
        expected: String,
    },
}

/// What a trial computes, and nothing about what it is called or how it is run: the identity is a hash of this.
pub(crate) fn definition(resolved_sections: &Value, data_checksum: &str) -> Value {
    let mut definition = resolved_sections.clone();
    let entries = definition.as_object_mut().expect("resolved sections are a map");
    entries.insert("data_checksum".to_owned(), data_checksum.into());
    entries.insert("format_version".to_owned(), FORMAT_VERSION.into());
    definition
}

/// Identity of a trial: the first 16 hexadecimal digits of the SHA-256 of its definition in canonical JSON.
pub(crate) fn trial_hash(definition: &Value) -> String {
    short_hash(definition)
}

impl ResolvedTrial {
    /// Reads what `config.yaml` of a trial holds and checks that it is what it says.
    pub fn parse(stored: &Value, registry: &Registry) -> Result<Self, TrialConfigError> {
        let read_error = |path: &str, message: &str| TrialConfigError::Read { path: path.to_owned(), message: message.to_owned() };
        let entries = stored.as_object().ok_or_else(|| read_error("", "expected a map"))?;
        let version = entries.get("format_version").and_then(Value::as_u64).unwrap_or(0);
        if version != u64::from(FORMAT_VERSION) {
            return Err(TrialConfigError::Version { found: version });
        }
        let text =
            |key: &str| entries.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| read_error(key, "expected a text"));
        let (name, hash, data_checksum, base_dir) = (text("name")?, text("hash")?, text("data_checksum")?, text("base_dir")?);
        let sections: Map<String, Value> =
            entries.iter().filter(|(key, _)| TRIAL_KEYS.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect();
        let sections = Sections::read(&Value::Object(sections), registry).map_err(|error| {
            let message = match &error.problem {
                crate::read::Problem::Other(message) => message.clone(),
                other => format!("{other:?}"),
            };
            read_error(&error.path.to_string(), &message)
        })?;
        let Sections { data, model, train, evaluate, device } = sections;
        let evaluate = evaluate.ok_or_else(|| read_error("evaluate", "missing"))?;
        let definition = stored_definition(stored);
        let found = trial_hash(&definition);
        if found != hash {
            return Err(TrialConfigError::Hash { found, expected: hash });
        }
        let overrides = entries
            .get("overrides")
            .and_then(Value::as_object)
            .map(|map| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
        Ok(Self {
            name,
            hash,
            data,
            data_checksum,
            model,
            train,
            evaluate,
            device,
            overrides: overrides.unwrap_or_default(),
            base_dir: PathBuf::from(base_dir),
            definition,
        })
    }
}

/// The content of `config.yaml` of a trial.
pub(crate) fn stored_config(
    name: &str,
    hash: &str,
    base_dir: &std::path::Path,
    overrides: &[(String, Value)],
    definition: &Value,
) -> Value {
    let mut stored = Map::new();
    stored.insert("name".to_owned(), name.into());
    stored.insert("hash".to_owned(), hash.into());
    stored.insert("base_dir".to_owned(), base_dir.to_string_lossy().into());
    stored.insert("overrides".to_owned(), Value::Object(overrides.iter().cloned().collect()));
    if let Value::Object(entries) = definition {
        stored.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Value::Object(stored)
}

/// The part of a stored configuration that the hash is taken of, without reading types.
pub(crate) fn stored_definition(stored: &Value) -> Value {
    let kept = |key: &str| TRIAL_KEYS.contains(&key) || key == "data_checksum" || key == "format_version";
    let entries = stored.as_object().into_iter().flatten().filter(|(key, _)| kept(key));
    Value::Object(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
}
