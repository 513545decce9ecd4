//! Keys: the names by which rows, columns, blocks and filters are chosen, and their values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::comparison::collect::CollectedTrial;
use crate::comparison::error::ComparisonError;
use crate::{KeyPath, short_value};

/// What a key looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyKind {
    Model,
    CodeSize,
    Data,
    Seed,
    Run,
    /// A place in the resolved configuration, the name of the model or data set replaced by `*`.
    Path(KeyPath),
}

/// A key with its name in tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) kind: KeyKind,
}

impl Key {
    fn new(name: &str, kind: KeyKind) -> Self {
        Self { name: name.to_owned(), kind }
    }

    /// The value of a trial. A data set is called as in `data_labels`.
    pub(super) fn value(&self, trial: &CollectedTrial, data_labels: &BTreeMap<String, String>) -> Option<Value> {
        let planned = &trial.planned;
        match &self.kind {
            KeyKind::Model => Some(Value::from(planned.model.clone())),
            KeyKind::CodeSize => Some(Value::from(planned.code_size)),
            KeyKind::Data => Some(Value::from(data_labels.get(&trial.data).unwrap_or(&planned.data).clone())),
            KeyKind::Seed => Some(Value::from(planned.seed)),
            KeyKind::Run => Some(Value::from(trial.run.clone())),
            KeyKind::Path(path) => value_at(&planned.definition, path),
        }
    }

    /// The place in the configuration whose whole value it shows, where it is one.
    fn whole_value(&self) -> Option<&KeyPath> {
        match &self.kind {
            KeyKind::Path(path) if !path.is_variant_map() => Some(path),
            _ => None,
        }
    }

    /// Whether it separates trials of different data or evaluations.
    pub(super) fn is_of_context(&self) -> bool {
        match &self.kind {
            KeyKind::Data | KeyKind::Run => true,
            KeyKind::Path(path) => matches!(path.parts().first().map(String::as_str), Some("data" | "evaluate")),
            _ => false,
        }
    }
}

/// The value at a family of paths. Of a map that chooses a variant, its name; of other maps and of lists, their text.
fn value_at(definition: &Value, family: &KeyPath) -> Option<Value> {
    let mut value = definition;
    for part in family.parts() {
        value = match value {
            Value::Object(entries) if part == "*" => entries.values().next()?,
            Value::Array(items) => items.iter().find_map(|item| item.get(part))?,
            other => other.get(part)?,
        };
    }
    match value {
        Value::Object(entries) if family.is_variant_map() => entries.keys().next().map(|name| Value::from(name.clone())),
        Value::Object(_) | Value::Array(_) => Some(Value::from(short_value(value))),
        Value::Null => None,
        single => Some(single.clone()),
    }
}

/// Every key that some trial has.
#[derive(Debug)]
pub(super) struct KnownKeys {
    /// Families of paths.
    paths: BTreeSet<KeyPath>,
    /// Families that the sweeps set, in order.
    swept: Vec<KeyPath>,
}

const GENERAL: [(&str, KeyKind); 5] =
    [("model", KeyKind::Model), ("code_size", KeyKind::CodeSize), ("data", KeyKind::Data), ("seed", KeyKind::Seed), ("run", KeyKind::Run)];

impl KnownKeys {
    pub(super) fn of(trials: &[CollectedTrial]) -> Self {
        let mut paths = BTreeSet::new();
        let mut swept: Vec<KeyPath> = Vec::new();
        let mut seen_configurations = BTreeSet::new();
        for trial in trials {
            // Trials that differ in their seed alone have the same keys.
            if !seen_configurations.insert((&trial.configuration, &trial.data)) {
                continue;
            }
            add_paths(&trial.planned.definition, &mut Vec::new(), &mut paths);
            for (path, _) in &trial.planned.overrides {
                let family = KeyPath::parse(path).family();
                if !swept.contains(&family) {
                    swept.push(family);
                }
            }
        }
        Self { paths, swept }
    }

    /// The key that a user means: a general one, or the end of a path (`beta`, `train.batch_size`, `model.vae.beta`).
    pub(super) fn resolve(&self, name: &str) -> Result<Key, ComparisonError> {
        let name = name.trim();
        if let Some((general, kind)) = GENERAL.into_iter().find(|(general, _)| *general == name) {
            return Ok(Key::new(general, kind));
        }
        let wanted = KeyPath::parse(name);
        let wanted = wanted.parts();
        if matches!(wanted, [.., last] if last == "latent_dim" || last == "code_size") {
            return Ok(Key::new("code_size", KeyKind::CodeSize));
        }
        let is_end_of = |path: &&KeyPath| {
            let parts = path.parts();
            let without_star: Vec<&String> = parts.iter().filter(|part| *part != "*").collect();
            let ends = |parts: &[&String], wanted: &[String]| {
                parts.len() >= wanted.len() && parts[parts.len() - wanted.len()..].iter().zip(wanted).all(|(part, wanted)| *part == wanted)
            };
            // `model.vae.beta` names the variant that the family leaves open.
            let family = KeyPath::parse(name).family();
            !wanted.is_empty()
                && (ends(&without_star, wanted) || ends(&parts.iter().collect::<Vec<_>>(), wanted) || family.parts() == parts)
        };
        let found: Vec<&KeyPath> = self.paths.iter().filter(is_end_of).collect();
        let Some(fewest) = found.iter().map(|path| path.parts().len()).min() else {
            let names = self.names();
            return Err(ComparisonError::unknown_key(name, &names, &self.shown()));
        };
        let shortest: Vec<&&KeyPath> = found.iter().filter(|path| path.parts().len() == fewest).collect();
        match shortest[..] {
            [path] if *path == &KeyPath::from_iter(["train", "seed"]) => Ok(Key::new("seed", KeyKind::Seed)),
            [path] => Ok(Key { name: self.name_of(path), kind: KeyKind::Path((*path).clone()) }),
            _ => {
                Err(ComparisonError::AmbiguousKey { name: name.to_owned(), candidates: shortest.iter().map(|path| plain(path)).collect() })
            }
        }
    }

    /// The shortest name of a path: its last part where no other path of the same length or shorter ends so. What belongs to the
    /// data or an evaluation says so.
    fn name_of(&self, path: &KeyPath) -> String {
        let parts: Vec<&String> = path.parts().iter().filter(|part| *part != "*").collect();
        if matches!(parts.first().map(|part| part.as_str()), Some("data" | "evaluate")) {
            return plain(path);
        }
        let is_taken = |tail: &[&String]| {
            GENERAL.iter().any(|(name, _)| tail.len() == 1 && tail[0] == name)
                || self.paths.iter().any(|other| {
                    let parts: Vec<&String> = other.parts().iter().filter(|part| *part != "*").collect();
                    other != path && other.parts().len() <= path.parts().len() && parts.ends_with(tail)
                })
        };
        let num = (1..parts.len()).find(|num| !is_taken(&parts[parts.len() - num..])).unwrap_or(parts.len());
        parts[parts.len() - num..].iter().map(|part| part.as_str()).collect::<Vec<_>>().join(".")
    }

    /// All names, for the nearest one.
    pub(super) fn names(&self) -> Vec<String> {
        let general = GENERAL.iter().map(|(name, _)| (*name).to_owned());
        let mut names: Vec<String> = general.chain(self.paths.iter().map(|path| self.name_of(path))).collect();
        names.sort();
        names.dedup();
        names
    }

    /// General keys and what is swept.
    pub(super) fn swept_names(&self) -> Vec<String> {
        let mut names: Vec<String> = GENERAL.iter().map(|(name, _)| (*name).to_owned()).collect();
        for name in self.swept.iter().map(|path| self.key(path).name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The names that most want.
    fn shown(&self) -> Vec<String> {
        let mut shown = self.swept_names();
        shown.push("any key of the experiment file".to_owned());
        shown
    }

    fn key(&self, path: &KeyPath) -> Key {
        let parts: Vec<&str> = path.parts().iter().map(String::as_str).collect();
        match parts[..] {
            ["model"] => Key::new("model", KeyKind::Model),
            ["data"] => Key::new("data", KeyKind::Data),
            ["model", "*", "code_size" | "latent_dim"] => Key::new("code_size", KeyKind::CodeSize),
            _ => Key { name: self.name_of(path), kind: KeyKind::Path(path.clone()) },
        }
    }
}

/// A path without the stars.
fn plain(path: &KeyPath) -> String {
    path.parts().iter().filter(|part| *part != "*").map(String::as_str).collect::<Vec<_>>().join(".")
}

fn add_paths(value: &Value, parts: &mut Vec<String>, paths: &mut BTreeSet<KeyPath>) {
    let here = KeyPath::from_iter(parts.iter().cloned());
    match value {
        Value::Object(entries) => {
            for (key, inner) in entries {
                parts.push(if here.is_variant_map() { "*".to_owned() } else { key.clone() });
                if parts.last().is_none_or(|last| last != "*") && parts.len() > 1 || parts[0] == "device" {
                    paths.insert(KeyPath::from_iter(parts.iter().cloned()));
                }
                add_paths(inner, parts, paths);
                parts.pop();
            }
        }
        // The evaluations: a list of one-key maps.
        Value::Array(items) if *parts == ["evaluate"] => items.iter().for_each(|item| add_paths(item, parts, paths)),
        _ => {}
    }
}

/// Names of the data sets of these trials: that of the data set alone where it says enough, with what differs otherwise, but for
/// what the keys `shown` say anyway.
pub(super) fn data_labels(trials: &[&CollectedTrial], shown: &[&Key]) -> BTreeMap<String, String> {
    let mut sections: Vec<&CollectedTrial> = Vec::new();
    for trial in trials {
        if sections.iter().all(|known| known.data != trial.data) {
            sections.push(trial);
        }
    }
    let mut labels = BTreeMap::new();
    for trial in &sections {
        let same_name: Vec<&CollectedTrial> = sections.iter().copied().filter(|other| other.planned.data == trial.planned.data).collect();
        let mut label = trial.planned.data.clone();
        if same_name.len() > 1 {
            let parts: Vec<&Value> = same_name.iter().filter_map(|trial| trial.planned.definition.get("data")).collect();
            let is_shown = |path: &KeyPath| shown.iter().any(|key| key.kind == KeyKind::Path(path.clone()));
            for path in differing(&parts, &KeyPath::from_iter(["data"])).into_iter().filter(|path| !is_shown(path)) {
                let value = value_at(&trial.planned.definition, &path).map_or_else(|| "none".to_owned(), |value| short_value(&value));
                label.push_str(&format!(" {}={value}", path.last().unwrap_or_default()));
            }
            let checksum = |trial: &CollectedTrial| trial.planned.definition.get("data_checksum").map(ToString::to_string);
            if same_name.iter().any(|other| checksum(other) != checksum(trial)) {
                let text = checksum(trial).unwrap_or_default().replace('"', "");
                label.push_str(&format!(" checksum={}", text.chars().take(8).collect::<String>()));
            }
        }
        labels.insert(trial.data.clone(), label);
    }
    labels
}

/// Families of paths, below `path`, at which `values` differ: the deepest ones that all of them have.
pub(super) fn differing(values: &[&Value], path: &KeyPath) -> Vec<KeyPath> {
    let values: Vec<Option<&Value>> = values.iter().copied().map(Some).collect();
    let mut found = Vec::new();
    find_differing(&values, path, &mut found);
    found
}

fn find_differing(values: &[Option<&Value>], path: &KeyPath, found: &mut Vec<KeyPath>) {
    if values.iter().all(|value| *value == values[0]) {
        return;
    }
    let maps: Option<Vec<&serde_json::Map<String, Value>>> = values.iter().map(|value| value.and_then(Value::as_object)).collect();
    let Some(maps) = maps else {
        found.push(path.clone());
        return;
    };
    if path.is_variant_map() {
        let name = |map: &serde_json::Map<String, Value>| map.keys().next().cloned();
        if maps.iter().any(|map| name(map) != name(maps[0])) {
            found.push(path.clone());
        }
        // Options of different models have different names; those of one name are compared.
        let inner: Vec<Option<&Value>> = maps.iter().map(|map| map.values().next()).collect();
        if inner.iter().all(|value| value.is_some_and(Value::is_object)) && maps.iter().all(|map| name(map) == name(maps[0])) {
            find_differing(&inner, &path.child("*"), found);
        }
        return;
    }
    let is_section = path.parts().len() <= 1 || path.last() == Some("*");
    let same_keys = maps.iter().all(|map| map.len() == maps[0].len() && map.keys().all(|key| maps[0].contains_key(key)));
    if !is_section && !same_keys {
        found.push(path.clone());
        return;
    }
    let keys: BTreeSet<&String> = maps.iter().flat_map(|map| map.keys()).collect();
    for key in keys {
        let inner: Vec<Option<&Value>> = maps.iter().map(|map| map.get(key)).collect();
        find_differing(&inner, &path.child(key.clone()), found);
    }
}

/// Families at which what these trials compute differs, seed, data and evaluations left out.
pub(super) fn differences(trials: &[&CollectedTrial]) -> Vec<KeyPath> {
    let part =
        |key: &str| -> Vec<&Value> { trials.iter().map(|trial| trial.planned.definition.get(key).unwrap_or(&Value::Null)).collect() };
    let mut found: Vec<KeyPath> =
        ["model", "train", "device"].iter().flat_map(|key| differing(&part(key), &KeyPath::from_iter([*key]))).collect();
    found.retain(|path| *path != KeyPath::from_iter(["train", "seed"]));
    found
}

/// The keys that tell the configurations of these trials apart besides `others`: model, code size, what the sweeps set, then
/// whatever else it takes.
pub(super) fn varying(trials: &[&CollectedTrial], known: &KnownKeys, others: &[Key], data_labels: &BTreeMap<String, String>) -> Vec<Key> {
    let varies = |key: &Key| {
        let first = trials.first().map(|trial| key.value(trial, data_labels));
        trials.iter().any(|trial| Some(key.value(trial, data_labels)) != first)
    };
    let mut keys: Vec<Key> = Vec::new();
    let model = Key::new("model", KeyKind::Model);
    keys.extend((!others.contains(&model)).then_some(model));
    let code_size = Key::new("code_size", KeyKind::CodeSize);
    for key in [code_size].into_iter().chain(known.swept.iter().map(|path| known.key(path))) {
        if !keys.contains(&key) && !others.contains(&key) && !key.is_of_context() && key.kind != KeyKind::Seed && varies(&key) {
            keys.push(key);
        }
    }
    // A schedule is one value: its parts say nothing beside it.
    let shown: Vec<KeyPath> = keys.iter().filter_map(Key::whole_value).cloned().collect();
    let is_part = |path: &KeyPath| shown.iter().any(|whole| whole != path && whole.contains(path));
    keys.retain(|key| !key.whole_value().is_some_and(is_part));
    loop {
        let mut groups: HashMap<String, Vec<&CollectedTrial>> = HashMap::new();
        let mut order: Vec<String> = Vec::new();
        for trial in trials {
            let place: Vec<Option<Value>> = keys.iter().chain(others).map(|key| key.value(trial, data_labels)).collect();
            let place = format!("{place:?}");
            let members = groups.entry(place.clone()).or_default();
            if members.is_empty() {
                order.push(place);
            }
            if members.iter().all(|known| known.configuration != trial.configuration) {
                members.push(trial);
            }
        }
        let mixed = order.iter().find(|place| groups[*place].len() > 1);
        let Some(mixed) = mixed else { return keys };
        let found = differences(&groups[mixed]).into_iter().map(|path| known.key(&path));
        let new: Vec<Key> = found.filter(|key| !keys.contains(key) && !others.contains(key)).collect();
        // Cells that still mix are refused later, with what differs.
        if new.is_empty() {
            return keys;
        }
        keys.extend(new);
    }
}
