//! An experiment as written: the YAML file, what it extends, `--set`, and its sweep.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use aelab_files::read_bounded_text;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::expression::Condition;
use crate::read::{Problem, read_at};
use crate::rules::{self, Derived};
use crate::search::{Steering, read_steering};
use crate::slurm::SlurmSettings;
use crate::source::{Diagnostic, Sources};
use crate::sweep::Sweep;
use crate::tree::{self, At, Kind, Node, SetError};
use crate::trial_config::TRIAL_KEYS;
use crate::{KeyPath, sweep_section};

/// Keys at the top of an experiment file.
pub(crate) const TOP_KEYS: [&str; 17] = [
    "name",
    "description",
    "tags",
    "extends",
    "data",
    "model",
    "train",
    "evaluate",
    "device",
    "sweep",
    "search",
    "require",
    "derive",
    "goal",
    "early_termination",
    "budget",
    "execution",
];

/// The texts that an experiment is read from. Stored in the run directory, so that it can be resumed from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecSource {
    /// The experiment file as named by the user.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Folder of the file: where `extends` and relative data paths start.
    pub base_dir: PathBuf,
    /// Name and text of the file that it extends.
    pub extended: Option<(String, String)>,
    /// `path=value`, in order.
    pub sets: Vec<String>,
}

impl SpecSource {
    /// Reads an experiment file.
    pub fn from_file(path: &Path, sets: &[String]) -> Result<Self, Diagnostic> {
        let text = read_text(path, "the experiment file")?;
        let absolute = fs::canonicalize(path).map_err(|error| Diagnostic::new(format!("{}: {error}", path.display())))?;
        let base_dir = absolute.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { file: path.display().to_string(), text, base_dir, extended: None, sets: sets.to_vec() })
    }
}

/// The largest text of an experiment: far more than anyone writes by hand.
pub(crate) const MAX_TEXT: u64 = 4 << 20;

fn read_text(path: &Path, what: &str) -> Result<String, Diagnostic> {
    read_bounded_text(path, MAX_TEXT).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => error.to_string(),
        };
        Diagnostic::new(format!("cannot read {what} {}: {reason}", path.display()))
    })
}

/// How the trials of an experiment are run. None of it changes what they compute, but for the number of
/// threads, on which the last bits of a sum can depend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// Trials at a time: a number, or `auto` for as many as the cores allow.
    #[serde(default)]
    pub jobs: Jobs,
    /// Threads of each trial.
    #[serde(default = "default_threads")]
    pub threads_per_trial: usize,
    /// Which trials begin first.
    #[serde(default)]
    pub order: Order,
    /// Where trials run.
    #[serde(default)]
    pub executor: ExecutorKind,
    /// Seconds between two checkpoints within an epoch; there is one at the end of each epoch anyway.
    #[serde(default = "default_checkpoint_seconds")]
    pub checkpoint_seconds: NonZeroU32,
    /// Seconds that a worker has for its checkpoint when it is asked to stop.
    #[serde(default = "default_grace_seconds")]
    pub grace_seconds: NonZeroU32,
    /// A worker that has given no sign of life for so many seconds is killed and started again.
    #[serde(default = "default_hang_seconds")]
    pub hang_seconds: NonZeroU32,
    /// How often a trial whose worker was killed or hung is started again without having come further, before it counts as failed.
    #[serde(default = "default_max_restarts")]
    pub max_restarts: u32,
    /// What is asked of Slurm, with `executor: slurm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmSettings>,
}

fn default_threads() -> usize {
    1
}

fn default_checkpoint_seconds() -> NonZeroU32 {
    const { NonZeroU32::new(600).expect("not 0") }
}

fn default_grace_seconds() -> NonZeroU32 {
    const { NonZeroU32::new(10).expect("not 0") }
}

fn default_hang_seconds() -> NonZeroU32 {
    const { NonZeroU32::new(3600).expect("not 0") }
}

fn default_max_restarts() -> u32 {
    2
}

impl Default for Execution {
    fn default() -> Self {
        Self {
            jobs: Jobs::Auto,
            threads_per_trial: default_threads(),
            order: Order::LongestFirst,
            executor: ExecutorKind::Local,
            checkpoint_seconds: default_checkpoint_seconds(),
            grace_seconds: default_grace_seconds(),
            hang_seconds: default_hang_seconds(),
            max_restarts: default_max_restarts(),
            slurm: None,
        }
    }
}

/// Which trials begin first. What they compute does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Those that are expected to take longest, so that in the end all cores are busy: the default. Where trials run one at a time,
    /// or all at once, they begin in the order of the plan.
    #[default]
    LongestFirst,
    /// Those that come first in the plan.
    Plan,
}

/// Where trials run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// In processes on this machine.
    #[default]
    Local,
    /// As jobs of Slurm, on the machines of a cluster.
    Slurm,
}

/// Trials at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jobs {
    /// As many as the cores allow.
    #[default]
    Auto,
    /// So many.
    Count(usize),
}

impl Serialize for Jobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Jobs::Auto => serializer.serialize_str("auto"),
            Jobs::Count(count) => serializer.serialize_u64(*count as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "auto" => Ok(Jobs::Auto),
            Value::Number(number) if number.as_u64().is_some_and(|count| count > 0) => {
                Ok(Jobs::Count(usize::try_from(number.as_u64().unwrap_or(1)).unwrap_or(usize::MAX)))
            }
            other => Err(serde::de::Error::custom(format!("expected `auto` or a whole number from 1, found {other}"))),
        }
    }
}

impl JsonSchema for Jobs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Jobs".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]})
    }
}

/// An experiment before its sweep is expanded.
#[derive(Debug, Clone)]
pub struct ExperimentSpec {
    /// Name: that of its run directory. Where the file gives none, the name of the file.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// `data`, `model`, `train`, `evaluate`, `device` before the sweep sets anything.
    pub base: Node,
    /// The sweep; `None` for a single trial.
    pub sweep: Option<Sweep<Node>>,
    /// What must hold of every trial.
    pub require: Vec<Condition>,
    /// What is computed for every trial.
    pub derive: Vec<Derived>,
    /// Search, goal, early termination and budget.
    pub steering: Steering,
    /// How its trials are run.
    pub execution: Execution,
    /// What it was read from.
    pub source: SpecSource,
    /// The texts, for messages.
    pub sources: Sources,
    /// Paths given by `--set`.
    pub set_paths: Vec<KeyPath>,
}

impl ExperimentSpec {
    /// Reads an experiment file with overrides.
    pub fn from_file(path: &Path, sets: &[String]) -> Result<Self, Diagnostic> {
        Self::parse(SpecSource::from_file(path, sets)?)
    }

    /// Reads an experiment from its texts. Sections of trials are read later, for each trial by itself: see [`crate::plan`].
    pub fn parse(mut source: SpecSource) -> Result<Self, Diagnostic> {
        let mut sources = Sources::default();
        let main = sources.add(source.file.clone(), source.text.clone());
        let mut tree = tree::parse(&sources, main)?;
        expect_map(&tree, &sources)?;

        if let Some(extends) = tree.take("extends") {
            tree = extend(tree, &extends, &mut source, &mut sources)?;
        }

        let mut set_paths = Vec::new();
        for (index, set) in source.sets.iter().enumerate() {
            set_paths.push(apply_set(&mut tree, set, index, &mut sources)?);
        }

        for (key, node) in tree.entries().unwrap_or_default() {
            if !TOP_KEYS.contains(&key.as_str()) {
                return Err(Diagnostic::new(format!("unknown key `{key}`"))
                    .at(&sources, &node.origin, At::Key)
                    .expected_names(key, &TOP_KEYS));
            }
        }

        let name = match tree.take("name") {
            Some(node) => read_name(&node, &sources)?,
            None => Path::new(&source.file).file_stem().map_or_else(|| "experiment".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        };
        let description = match tree.take("description") {
            Some(node) => Some(read_section::<String>(&node, "description", &sources)?),
            None => None,
        };
        let execution = match tree.take("execution") {
            Some(node) if !matches!(node.kind, Kind::Null) => {
                let execution: Execution = read_section(&node, "execution", &sources)?;
                if execution.threads_per_trial == 0 {
                    let threads = node.child("threads_per_trial").unwrap_or(&node);
                    return Err(Diagnostic::new("`threads_per_trial` must be at least 1").at(&sources, &threads.origin, At::Value));
                }
                if let Some((key, message)) = execution.slurm.as_ref().and_then(|slurm| slurm.check().err()) {
                    let section = node.child("slurm").unwrap_or(&node);
                    let place = section.child(key).unwrap_or(section);
                    return Err(Diagnostic::new(format!("execution.slurm: {message}")).at(&sources, &place.origin, At::Value));
                }
                execution
            }
            _ => Execution::default(),
        };
        let steering = read_steering(&mut tree, &sources)?;
        let sweep = match tree.take("sweep") {
            Some(node) if !matches!(node.kind, Kind::Null) => Some(sweep_section::read(&node, &sources)?),
            _ => None,
        };
        let tags = match tree.take("tags") {
            Some(node) if !matches!(node.kind, Kind::Null) => read_tags(&node, &sources)?,
            _ => Vec::new(),
        };
        let require = match tree.take("require") {
            Some(node) if !matches!(node.kind, Kind::Null) => rules::read_require(&node, &sources)?,
            _ => Vec::new(),
        };
        let derive = match tree.take("derive") {
            Some(node) if !matches!(node.kind, Kind::Null) => rules::read_derive(&node, &TRIAL_KEYS, &sources)?,
            _ => Vec::new(),
        };
        debug_assert!(tree.keys().iter().all(|key| TRIAL_KEYS.contains(key)));
        Ok(Self { name, description, tags, base: tree, sweep, require, derive, steering, execution, source, sources, set_paths })
    }
}

fn expect_map(tree: &Node, sources: &Sources) -> Result<(), Diagnostic> {
    match tree.kind {
        Kind::Map(_) => Ok(()),
        _ => Err(Diagnostic::new(format!("an experiment is a map of `data`, `model`, `train` and more, found {}", tree.describe())).at(
            sources,
            &tree.origin,
            At::Value,
        )),
    }
}

fn extend(tree: Node, extends: &Node, source: &mut SpecSource, sources: &mut Sources) -> Result<Node, Diagnostic> {
    let Some(file) = extends.as_text() else {
        return Err(Diagnostic::new(format!("`extends` names one experiment file, found {}", extends.describe())).at(
            sources,
            &extends.origin,
            At::Value,
        ));
    };
    let (name, text) = match source.extended.take() {
        Some(stored) => stored,
        None => {
            let path = source.base_dir.join(file);
            let text = read_text(&path, "the file that this experiment extends,")
                .map_err(|error| error.at(sources, &extends.origin, At::Value))?;
            (path.display().to_string(), text)
        }
    };
    source.extended = Some((name.clone(), text.clone()));
    let index = sources.add(name, text);
    let mut base = tree::parse(sources, index)?;
    expect_map(&base, sources)?;
    if let Some(again) = base.child("extends") {
        return Err(Diagnostic::new("an experiment that is extended cannot extend another: one level only").at(
            sources,
            &again.origin,
            At::Key,
        ));
    }
    // Two experiments of one name would share a run directory.
    base.take("name");
    base.take("description");
    Ok(base.overlaid(tree))
}

fn apply_set(tree: &mut Node, set: &str, index: usize, sources: &mut Sources) -> Result<KeyPath, Diagnostic> {
    let name = if index == 0 { "--set".to_owned() } else { format!("--set (number {})", index + 1) };
    let Some((path_text, value_text)) = set.split_once('=') else {
        return Err(Diagnostic::new(format!("`--set {set}` has no `=`")).note("write `--set train.epochs=5`"));
    };
    let path = KeyPath::parse(path_text.trim());
    let text_source = sources.add_after(name, format!("{path_text}="), value_text);
    let value = if value_text.trim().is_empty() {
        return Err(Diagnostic::new(format!("`--set {path}=` has no value")).note("write `null` to take a value away"));
    } else {
        tree::parse(sources, text_source)?
    };
    let key_origin = crate::source::Origin { source: text_source, path: KeyPath::root() };
    if path.parts().first().is_some_and(|key| key == "extends") {
        return Err(Diagnostic::new("`extends` cannot be given by --set").at(sources, &key_origin, At::Key));
    }
    let top = path.parts().first().cloned().unwrap_or_default();
    if !TOP_KEYS.contains(&top.as_str()) {
        return Err(Diagnostic::new(format!("unknown key `{top}`")).at(sources, &key_origin, At::Key).expected_names(&top, &TOP_KEYS));
    }
    let names: Vec<String> = tree.leaf_paths().iter().map(KeyPath::to_string).collect();
    let removes = matches!(value.kind, Kind::Null);
    let resolved = tree.set(&path, value).map_err(|error| {
        let mut diagnostic = Diagnostic::new(format!("cannot set `{path}`: {error}")).at(sources, &key_origin, At::Key);
        if let Some(nearest) = crate::source::nearest_name(&path.to_string(), &names) {
            diagnostic = diagnostic.note(format!("did you mean `{nearest}`?"));
        }
        if let SetError::OtherVariant { parent, key, .. } = &error {
            diagnostic = diagnostic.note(format!("to choose another one, set the whole of it: `--set '{parent}={{{key}: {{...}}}}'`"));
        }
        diagnostic
    })?;
    if removes
        && let (Some(parent), Some(last)) = (resolved.parent(), resolved.last())
        && let Some(parent) = tree.at_mut(&parent)
    {
        parent.take(last);
    }
    Ok(resolved)
}

pub(crate) fn read_section<T: serde::de::DeserializeOwned>(node: &Node, key: &str, sources: &Sources) -> Result<T, Diagnostic> {
    read_at(node.to_value(), &KeyPath::root()).map_err(|error| {
        let mut diagnostic = error.diagnose(node, sources);
        // The section was read by itself: its own name is not in the path.
        diagnostic.message = match &error.problem {
            Problem::Other(message) if error.path.parts().is_empty() => format!("{key}: {message}"),
            Problem::Other(_) => format!("{key}.{}", diagnostic.message),
            _ if error.path.parts().len() <= 1 => format!("{} in `{key}`", diagnostic.message),
            _ => diagnostic.message,
        };
        diagnostic
    })
}

fn read_tags(node: &Node, sources: &Sources) -> Result<Vec<String>, Diagnostic> {
    let fail = |message: String, node: &Node| Diagnostic::new(message).at(sources, &node.origin, At::Value);
    let Kind::List(items) = &node.kind else {
        return Err(fail(format!("`tags` is a list of words, found {}", node.describe()), node).note("for example `tags: [thesis, draft]`"));
    };
    let mut tags: Vec<String> = Vec::new();
    for item in items {
        let tag = match &item.kind {
            Kind::Text(tag) => tag.clone(),
            Kind::Number(number) => number.to_string(),
            _ => return Err(fail(format!("a tag is a word, found {}", item.describe()), item)),
        };
        // They are values of `--filter`.
        if tag.is_empty() || tag.trim() != tag || tag.contains([',', '=', '<', '>', '!']) || tag.chars().any(char::is_control) {
            return Err(fail(format!("`{tag}` cannot be a tag: filters could not name it"), item)
                .note("a tag has no `,`, `=`, `<`, `>`, `!`, and neither begins nor ends with a space"));
        }
        if tags.contains(&tag) {
            return Err(fail(format!("the tag `{tag}` is given twice"), item));
        }
        tags.push(tag);
    }
    Ok(tags)
}

fn read_name(node: &Node, sources: &Sources) -> Result<String, Diagnostic> {
    let name: String = match &node.kind {
        Kind::Text(name) => name.clone(),
        Kind::Number(number) => number.to_string(),
        _ => return Err(Diagnostic::new(format!("`name` is a text, found {}", node.describe())).at(sources, &node.origin, At::Value)),
    };
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.chars().all(allowed) {
        return Err(Diagnostic::new(format!("`{name}` cannot name a folder everywhere"))
            .at(sources, &node.origin, At::Value)
            .note("a name has up to 100 letters, digits, `-`, `_` and `.`, and does not begin with `.`"));
    }
    Ok(name)
}
