//! Reads typed values out of a tree and turns what serde says into words for the writer of the file.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::KeyPath;
use crate::source::{Diagnostic, Sources};
use crate::tree::{At, Node};

/// Why a value could not be read, by its path from the root of the experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// Where.
    pub path: KeyPath,
    /// What.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A key that nobody reads. The path includes it.
    UnknownKey {
        /// The key.
        key: String,
        /// Keys that would have been read.
        expected: Vec<String>,
    },
    /// A name that chooses nothing.
    UnknownName {
        /// What the name should have chosen: `model`, `data set`.
        what: String,
        /// The name.
        name: String,
        /// Names that there are.
        expected: Vec<String>,
    },
    /// A required key is absent.
    MissingKey {
        /// The key.
        key: String,
    },
    /// Anything else, in words.
    Other(String),
}

impl ReadError {
    /// An error in words about the value at `path`.
    pub fn other(path: KeyPath, message: impl Into<String>) -> Self {
        Self { path, problem: Problem::Other(message.into()) }
    }

    /// From a message of serde about the value at `path`.
    pub fn from_serde(path: KeyPath, message: &str) -> Self {
        if let Some(key) = quoted_after(message, "unknown field ") {
            let path = if path.last() == Some(&key) { path } else { path.child(&key) };
            return Self { path, problem: Problem::UnknownKey { key, expected: expected_names(message) } };
        }
        if let Some(name) = quoted_after(message, "unknown variant ") {
            let path = if path.last() == Some(&name) { path.parent().unwrap_or_default() } else { path };
            return Self { path, problem: Problem::UnknownName { what: "name".to_owned(), name, expected: expected_names(message) } };
        }
        if let Some(key) = quoted_after(message, "missing field ") {
            return Self { path, problem: Problem::MissingKey { key } };
        }
        Self { path, problem: Problem::Other(in_words(message)) }
    }

    /// The diagnostic, with the place in the text that the value came from.
    pub fn diagnose(&self, tree: &Node, sources: &Sources) -> Diagnostic {
        let (node, covered) = tree.nearest(&self.path);
        match &self.problem {
            Problem::UnknownKey { key, expected } => {
                let inside = self.path.parent().filter(|parent| !parent.parts().is_empty());
                let message = match inside {
                    Some(parent) => format!("unknown key `{key}` in `{parent}`"),
                    None => format!("unknown key `{key}`"),
                };
                Diagnostic::new(message).at(sources, &node.origin, At::Key).expected_names(key, expected)
            }
            Problem::UnknownName { what, name, expected } => {
                let named = node.child(name);
                let (node, at) = named.map_or((node, At::Value), |node| (node, At::Key));
                Diagnostic::new(format!("there is no {what} `{name}`")).at(sources, &node.origin, at).expected_names(name, expected)
            }
            Problem::MissingKey { key } => {
                let message = match self.path.parts() {
                    [] => format!("missing key `{key}`"),
                    _ => format!("missing key `{key}` in `{covered}`"),
                };
                let mut diagnostic = Diagnostic::new(message).at(sources, &node.origin, At::Key);
                if diagnostic.excerpt.is_none() {
                    diagnostic = diagnostic.note(format!("in {}", sources.get(node.origin.source).name));
                }
                diagnostic
            }
            Problem::Other(message) => {
                let message = if covered.parts().is_empty() { message.clone() } else { format!("{covered}: {message}") };
                Diagnostic::new(message).at(sources, &node.origin, At::Value)
            }
        }
    }
}

/// Reads the value at `path` of an experiment.
pub(crate) fn read_at<T: DeserializeOwned>(value: Value, path: &KeyPath) -> Result<T, ReadError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let inner = if inner == "." { KeyPath::root() } else { KeyPath::parse(&inner) };
        ReadError::from_serde(path.join(&inner), &error.into_inner().to_string())
    })
}

/// The one entry of a map that chooses a variant; an empty value stands for `{}`.
pub(crate) fn variant(value: &Value, path: &KeyPath, what: &str, names: &[&str]) -> Result<(String, Value), ReadError> {
    let example = names.first().copied().unwrap_or("name");
    match value {
        Value::Object(entries) if entries.len() == 1 => {
            let (name, inner) = entries.iter().next().expect("a map of one entry has one");
            if !names.contains(&name.as_str()) {
                return Err(unknown_name(path, what, name, names));
            }
            Ok((name.clone(), if inner.is_null() { Value::Object(serde_json::Map::new()) } else { inner.clone() }))
        }
        Value::Object(entries) if entries.is_empty() => {
            Err(ReadError::other(path.clone(), format!("names no {what}; write one as a map with one key: `{{{example}: {{...}}}}`")))
        }
        Value::Object(entries) => {
            let found: Vec<String> = entries.keys().map(|key| format!("`{key}`")).collect();
            if let Some(unknown) = entries.keys().find(|key| !names.contains(&key.as_str())) {
                return Err(unknown_name(path, what, unknown, names));
            }
            Err(ReadError::other(
                path.clone(),
                format!("names several {what}s, {}; alternatives belong into the sweep", found.join(" and ")),
            ))
        }
        Value::String(name) if names.contains(&name.as_str()) => {
            Err(ReadError::other(path.clone(), format!("expected a map with one key, the name of a {what}; write `{{{name}: {{}}}}`")))
        }
        Value::String(name) => Err(unknown_name(path, what, name, names)),
        _ => Err(ReadError::other(path.clone(), format!("expected a map with one key, the name of a {what}: `{{{example}: {{...}}}}`"))),
    }
}

/// The error about a name that chooses nothing.
pub(crate) fn unknown_name(path: &KeyPath, what: &str, name: &str, names: &[&str]) -> ReadError {
    let expected = names.iter().map(|name| (*name).to_owned()).collect();
    ReadError { path: path.clone(), problem: Problem::UnknownName { what: what.to_owned(), name: name.to_owned(), expected } }
}

/// The names of the variants of a type that is read from a map with one key.
pub(crate) fn names_of<T: DeserializeOwned>() -> Vec<String> {
    let nobody = Value::Object(std::iter::once((String::new(), Value::Null)).collect());
    serde_json::from_value::<T>(nobody).err().map(|error| expected_names(&error.to_string())).unwrap_or_default()
}

fn quoted_after(message: &str, start: &str) -> Option<String> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    Some(rest.split('`').next()?.to_owned())
}

fn expected_names(message: &str) -> Vec<String> {
    let Some((_, names)) = message.split_once(", expected ") else { return Vec::new() };
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// serde's words for types, in those of YAML.
fn in_words(message: &str) -> String {
    let Some((kind, rest)) =
        message.split_once(": ").filter(|(kind, _)| ["invalid type", "invalid value", "invalid length"].contains(kind))
    else {
        return message.to_owned();
    };
    let Some((found, expected)) = rest.split_once(", expected ") else { return message.to_owned() };
    let found = match found.split_once(' ') {
        _ if found == "map" || found == "sequence" => found.replace("map", "a map").replace("sequence", "a list"),
        _ if found == "null" || found.starts_with("unit") => "nothing".to_owned(),
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating", number)) => format!("the number {}", number.trim_start_matches("point ").replace('`', "")),
        Some(("boolean", value)) => value.to_owned(),
        _ => found.to_owned(),
    };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or larger",
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number of at least 1",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" => "a text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "map with a single key" => "a map with one key",
        other if other.starts_with("struct ") => "a map",
        other => other,
    };
    let _ = kind;
    format!("expected {expected}, found {found}")
}
