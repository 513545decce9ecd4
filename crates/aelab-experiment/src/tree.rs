//! YAML as a tree of maps and lists in which every value knows where it was written.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::KeyPath;
use crate::source::{Diagnostic, Excerpt, Origin, Sources};
use crate::spec::MAX_TEXT;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// Where it was written.
    pub origin: Origin,
}

/// What a value is. Maps keep the order in which they were written.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A finite number, whole or not.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Vec<(String, Node)>),
}

/// Which part of a map entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl Node {
    /// A value written at `origin`.
    pub fn new(kind: Kind, origin: Origin) -> Self {
        Self { kind, origin }
    }

    /// A plain JSON value, all of it written at `origin`.
    pub fn from_value(value: &Value, origin: &Origin) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(value) => Kind::Number(value.clone()),
            Value::String(value) => Kind::Text(value.clone()),
            Value::Array(items) => Kind::List(items.iter().map(|item| Self::from_value(item, origin)).collect()),
            Value::Object(entries) => {
                Kind::Map(entries.iter().map(|(key, value)| (key.clone(), Self::from_value(value, origin))).collect())
            }
        };
        Self { kind, origin: origin.clone() }
    }

    /// The value without its origins.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(value) => Value::String(value.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_value())).collect::<Map<_, _>>()),
        }
    }

    /// The value below `key`, a key of a map or an index of a list.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Kind::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        }
    }

    /// The value at `path`.
    pub fn at(&self, path: &KeyPath) -> Option<&Node> {
        path.parts().iter().try_fold(self, |node, key| node.child(key))
    }

    /// The value at `path`, to be changed.
    pub fn at_mut(&mut self, path: &KeyPath) -> Option<&mut Node> {
        path.parts().iter().try_fold(self, |node, key| match &mut node.kind {
            Kind::Map(entries) => entries.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node),
            Kind::List(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        })
    }

    /// The innermost value on the way to `path`, and the part of the path that it covers.
    pub fn nearest(&self, path: &KeyPath) -> (&Node, KeyPath) {
        let mut node = self;
        let mut covered = KeyPath::root();
        for key in path.parts() {
            // serde names some steps twice (a variant and its key): what is not there is passed over.
            if let Some(child) = node.child(key) {
                node = child;
                covered = covered.child(key);
            }
        }
        (node, covered)
    }

    /// The entries of a map.
    pub fn entries(&self) -> Option<&[(String, Node)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The keys of a map; none of anything else.
    pub fn keys(&self) -> Vec<&str> {
        self.entries().unwrap_or_default().iter().map(|(key, _)| key.as_str()).collect()
    }

    /// Takes the entry `key` out of a map.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        let Kind::Map(entries) = &mut self.kind else { return None };
        let position = entries.iter().position(|(name, _)| name == key)?;
        Some(entries.remove(position).1)
    }

    /// Text, where this is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What this is, in words, for messages.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("`{value}`"),
            Kind::Number(value) => format!("the number {value}"),
            Kind::Text(value) if value.chars().nth(80).is_some() => {
                format!("the text \"{}...\"", value.chars().take(80).collect::<String>())
            }
            Kind::Text(value) => format!("the text \"{value}\""),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }

    /// `over` laid over this value: maps are merged key by key, everything else is replaced. A one-key map
    /// that chooses a variant is replaced as a whole by another variant.
    #[must_use]
    pub fn overlaid(self, over: Node) -> Node {
        self.overlaid_at(over, &KeyPath::root())
    }

    fn overlaid_at(self, over: Node, path: &KeyPath) -> Node {
        let origin = over.origin.clone();
        match (self.kind, over.kind) {
            (Kind::Map(base), Kind::Map(over)) if !is_other_variant(&base, &over, path) => {
                let mut merged = base;
                for (key, value) in over {
                    match merged.iter().position(|(name, _)| is_same_key(name, &key, path)) {
                        Some(position) => {
                            let (_, below) = merged.remove(position);
                            let value = below.overlaid_at(value, &path.child(&key));
                            merged.insert(position, (key, value));
                        }
                        None => merged.push((key, value)),
                    }
                }
                Node { kind: Kind::Map(merged), origin }
            }
            (_, over) => Node { kind: over, origin },
        }
    }

    /// Puts `value` at `path`, making maps on the way where there is nothing. `*` stands for the chosen
    /// variant of a data set, model or optimizer. Returns the path with `*` replaced.
    pub fn set(&mut self, path: &KeyPath, value: Node) -> Result<KeyPath, SetError> {
        let mut node = self;
        let mut walked = KeyPath::root();
        let Some((last, front)) = path.parts().split_last() else { return Err(SetError::Root) };
        for key in front {
            let key = node.variant_of(key, &walked)?;
            node = node.child_or_new(&key, &walked, &value.origin)?;
            walked = walked.child(key);
        }
        let last = node.variant_of(last, &walked)?;
        let place = node.child_or_new(&last, &walked, &value.origin)?;
        *place = value;
        Ok(walked.child(last))
    }

    fn variant_of(&self, key: &str, walked: &KeyPath) -> Result<String, SetError> {
        match (key, self.entries()) {
            ("*", Some([(only, _)])) => Ok(only.clone()),
            ("*", _) => Err(SetError::Wildcard { parent: walked.clone() }),
            _ => Ok(key.to_owned()),
        }
    }

    fn child_or_new(&mut self, key: &str, walked: &KeyPath, origin: &Origin) -> Result<&mut Node, SetError> {
        if matches!(self.kind, Kind::Null) {
            self.kind = Kind::Map(Vec::new());
        }
        let description = self.describe();
        match &mut self.kind {
            Kind::Map(entries) => {
                let position = match entries.iter().position(|(name, _)| is_same_key(name, key, walked)) {
                    Some(position) => {
                        key.clone_into(&mut entries[position].0);
                        position
                    }
                    None if walked.is_variant_map() && !entries.is_empty() => {
                        return Err(SetError::OtherVariant { parent: walked.clone(), key: key.to_owned(), present: entries[0].0.clone() });
                    }
                    None => {
                        entries.push((key.to_owned(), Node::new(Kind::Null, origin.clone())));
                        entries.len() - 1
                    }
                };
                Ok(&mut entries[position].1)
            }
            Kind::List(items) => {
                let length = items.len();
                key.parse::<usize>().ok().and_then(|index| items.get_mut(index)).ok_or_else(|| SetError::NotInList {
                    parent: walked.clone(),
                    key: key.to_owned(),
                    length,
                })
            }
            _ => Err(SetError::NotAMap { parent: walked.clone(), found: description }),
        }
    }

    /// The paths of all values that are neither map nor list.
    pub fn leaf_paths(&self) -> Vec<KeyPath> {
        fn collect(node: &Node, path: &KeyPath, paths: &mut Vec<KeyPath>) {
            match &node.kind {
                Kind::Map(entries) if !entries.is_empty() => {
                    entries.iter().for_each(|(key, child)| collect(child, &path.child(key), paths))
                }
                _ => paths.push(path.clone()),
            }
        }
        let mut paths = Vec::new();
        collect(self, &KeyPath::root(), &mut paths);
        paths
    }
}

/// Why a value could not be put at a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The path has no keys.
    #[error("the path is empty")]
    Root,
    /// `*` where there is no single variant.
    #[error("`*` stands for the chosen data set, model or optimizer, but `{parent}` is not a map with one key")]
    Wildcard {
        /// The path so far.
        parent: KeyPath,
    },
    /// A key inside of a variant that was not chosen.
    #[error("`{parent}` is `{present}` here, so there is no `{parent}.{key}`")]
    OtherVariant {
        /// The path so far.
        parent: KeyPath,
        /// The key asked for.
        key: String,
        /// The variant that is there.
        present: String,
    },
    /// A list has no such index.
    #[error("`{parent}` is a list of {length}, so there is no `{parent}.{key}`")]
    NotInList {
        /// The path so far.
        parent: KeyPath,
        /// The index asked for.
        key: String,
        /// Items of the list.
        length: usize,
    },
    /// A key inside of a number or a text.
    #[error("`{parent}` is {found}, which has no keys")]
    NotAMap {
        /// The path so far.
        parent: KeyPath,
        /// What is there.
        found: String,
    },
}

/// Whether two keys of the map at `path` mean the same: in a model `code_size` and `latent_dim` do, so setting
/// one replaces the other.
fn is_same_key(one: &str, other: &str, path: &KeyPath) -> bool {
    let names_the_code = |key: &str| ["code_size", "latent_dim"].contains(&key);
    let in_a_model = matches!(path.parts(), [section, _] if section == "model");
    one == other || (in_a_model && names_the_code(one) && names_the_code(other))
}

fn is_other_variant(base: &[(String, Node)], over: &[(String, Node)], path: &KeyPath) -> bool {
    let names_differ = base.len() == 1 && over.len() == 1 && base[0].0 != over[0].0;
    let parts: Vec<&str> = path.parts().iter().map(String::as_str).collect();
    // A one-key map among the options of a variant is itself a choice: a schedule, a corruption.
    let below_options =
        matches!(parts[..], ["data" | "model", _, _, ..] | ["train", "optimizer", _, _, ..] | ["train", "gradient_clipping"]);
    path.is_variant_map() && base.iter().all(|(key, _)| over.iter().all(|(other, _)| other != key)) || below_options && names_differ
}

/// Reads the text of index `source`. Keys must be names and different, numbers finite; `<<` merges maps.
pub fn parse(sources: &Sources, source: usize) -> Result<Node, Diagnostic> {
    let text = &sources.get(source).text;
    if text.len() as u64 > MAX_TEXT {
        let message = format!("{} has {} bytes; a text of an experiment has at most {MAX_TEXT}", sources.get(source).name, text.len());
        return Err(Diagnostic::new(message));
    }
    if let Some(at) = too_deep(text) {
        let (before, line) = (&text[..at], text[..at].matches('\n').count() + 1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let mut diagnostic = Diagnostic::new(TOO_DEEP);
        diagnostic.excerpt = Some(Box::new(Excerpt::new(sources.get(source), line, column)));
        return Err(diagnostic);
    }
    let held = Cell::new(0);
    let reader = Reader { source, path: KeyPath::root(), target: None, held: &held };
    reader.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| syntax_error(sources, source, &error))
}

const TOO_DEEP: &str = "maps and lists are nested too deeply";

/// Where brackets are open more deeply than serde_yaml reads. It finds that out too late: the time that its scanner takes for a
/// bracket grows with the number of open ones, so a mebibyte of them takes minutes.
fn too_deep(text: &str) -> Option<usize> {
    const MAX_DEPTH: usize = 128;
    let bytes = text.as_bytes();
    let (mut depth, mut at, mut begins_token) = (0_usize, 0, true);
    while let Some(byte) = bytes.get(at) {
        let is_space = |at: usize| bytes.get(at).is_none_or(u8::is_ascii_whitespace);
        match byte {
            b'[' | b'{' => {
                depth += 1;
                begins_token = true;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                begins_token = false;
            }
            // Outside of brackets a quotation mark may be part of a text, and what is open there is not much.
            quote @ (b'"' | b'\'') if depth > 0 && begins_token => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| byte != quote) {
                    at += if *quote == b'"' && bytes[at] == b'\\' { 2 } else { 1 };
                }
                begins_token = false;
            }
            b'#' if at == 0 || is_space(at - 1) => {
                while bytes.get(at + 1).is_some_and(|byte| *byte != b'\n') {
                    at += 1;
                }
            }
            b',' | b'\n' => begins_token = true,
            b':' | b'?' | b'-' if is_space(at + 1) => begins_token = true,
            byte if byte.is_ascii_whitespace() => {}
            _ => begins_token = false,
        }
        at += 1;
    }
    None
}

fn syntax_error(sources: &Sources, source: usize, error: &serde_yaml::Error) -> Diagnostic {
    let text = error.to_string();
    // serde_yaml puts the path before and the place behind; both are shown otherwise here.
    let message = text.split(" at line ").next().unwrap_or(&text);
    let message = message.rsplit_once(MARK).map_or(message, |(_, message)| message);
    let message = match message {
        "EOF while parsing a value" => "there is nothing in this text",
        "deserializing from YAML containing more than one document is not supported" => "expected one YAML document, found several (`---`)",
        "repetition limit exceeded" => "the aliases (`*name`) in this text multiply to too much",
        "recursion limit exceeded" => TOO_DEEP,
        other => other,
    };
    let mut diagnostic = Diagnostic::new(message);
    if let Some(location) = error.location() {
        let lines = sources.get(source).text.lines().count().max(1);
        let (line, column) = if location.line() > lines { (lines, 1) } else { (location.line().max(1), location.column().max(1)) };
        diagnostic.excerpt = Some(Box::new(Excerpt::new(sources.get(source), line, column)));
    }
    diagnostic
}

/// Line and column, counted from 1, of the key or value at `path` in a YAML text.
pub fn locate(text: &str, path: &KeyPath, at: At) -> Option<(usize, usize)> {
    if path.parts().is_empty() && at == At::Key {
        return None;
    }
    let held = Cell::new(0);
    let reader = Reader { source: 0, path: KeyPath::root(), target: Some((path, at)), held: &held };
    let error = reader.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    if !error.to_string().contains(FOUND) {
        return None;
    }
    error.location().map(|location| (location.line().max(1), location.column().max(1)))
}

/// Raised where [`locate`] arrives.
const FOUND: &str = "\u{1}found";
/// Stands before messages of ours, to tell them from the path that serde_yaml puts in front.
const MARK: char = '\u{2}';

fn problem<E: de::Error>(message: impl fmt::Display) -> E {
    E::custom(format!("{MARK}{message}"))
}

/// The most memory that the values of one text may take with their places, roughly: a million of them. Aliases multiply what is
/// written once, and each value carries the keys that lead to it.
const MAX_HELD: usize = 256 << 20;

/// More keys than this no map of an experiment has; each is compared with all others.
const MAX_KEYS: usize = 1000;

/// Reads one value; where `target` is set, raises an error at that place.
#[derive(Clone)]
struct Reader<'a> {
    source: usize,
    path: KeyPath,
    target: Option<(&'a KeyPath, At)>,
    /// Bytes held by all values so far, roughly.
    held: &'a Cell<usize>,
}

impl Reader<'_> {
    fn child(&self, key: impl Into<String>) -> Self {
        Self { path: self.path.child(key), ..self.clone() }
    }

    /// Counts another value at this path, of `num_bytes` besides the path.
    fn hold<E: de::Error>(&self, num_bytes: usize) -> Result<(), E> {
        let path: usize = self.path.parts().iter().map(|key| 2 * size_of::<String>() + key.len()).sum();
        self.held.set(self.held.get() + path + num_bytes);
        if self.held.get() <= MAX_HELD {
            return Ok(());
        }
        Err(problem(
            "this text holds too much: up to here its values take more than 256 MiB with their places; aliases (`*name`) count \
             anew wherever they stand, and long lists are better written as `range` or `log_range`",
        ))
    }

    fn is_target(&self, at: At) -> bool {
        self.target.is_some_and(|(path, wanted)| wanted == at && *path == self.path)
    }

    fn node<E: de::Error>(self, kind: Kind) -> Result<Node, E> {
        self.hold(size_of::<Node>())?;
        Ok(Node { kind, origin: Origin { source: self.source, path: self.path } })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.is_target(At::Value) {
            deserializer.deserialize_any(Raise).map(|never| match never {})
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, a text, a list or a map")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.node(Kind::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.node(Kind::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.node(Kind::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.node(Kind::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.node(Kind::Number(value.into()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        Err(problem(format!("{value} is too large a whole number")))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        Err(problem(format!("{value} is too large a whole number")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        match Number::from_f64(value) {
            Some(number) => self.node(Kind::Number(number)),
            None => Err(problem("expected a finite number: `.nan` and `.inf` have no meaning here")),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.hold(value.len())?;
        self.node(Kind::Text(value.to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _data: A) -> Result<Node, A::Error> {
        Err(problem("YAML tags (`!name`) are not used here: a variant is named by a map with one key, `{name: {...}}`"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self.child(items.len().to_string()))? {
            items.push(item);
        }
        self.node(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        while let Some(key) = map.next_key_seed(Key { reader: &self, seen: &entries })? {
            if key == "<<" {
                match map.next_value_seed(MergedMaps(self.child("<<")))? {
                    Node { kind: Kind::List(maps), .. } => merged.extend(maps),
                    map => merged.push(map),
                }
            } else {
                let value = map.next_value_seed(self.child(key.clone()))?;
                entries.push((key, value));
                if entries.len() > MAX_KEYS {
                    return Err(problem(format!("a map has at most {MAX_KEYS} keys; this one has more")));
                }
            }
        }
        for node in merged {
            let Kind::Map(inherited) = node.kind else { continue };
            for (key, value) in inherited {
                if entries.iter().all(|(name, _)| *name != key) {
                    entries.push((key, value));
                }
            }
            if entries.len() > MAX_KEYS {
                return Err(problem(format!("a map has at most {MAX_KEYS} keys; with those merged into it, this one has more")));
            }
        }
        self.node(Kind::Map(entries))
    }
}

/// Reads the value of `<<`: a map or a list of maps.
struct MergedMaps<'a>(Reader<'a>);

impl<'de> DeserializeSeed<'de> for MergedMaps<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let node = self.0.deserialize(deserializer)?;
        let is_map = |node: &Node| matches!(node.kind, Kind::Map(_));
        match &node.kind {
            Kind::Map(_) => Ok(node),
            Kind::List(maps) if maps.iter().all(is_map) => Ok(node),
            _ => Err(problem(format!("`<<` merges a map or a list of maps, but found {}", node.describe()))),
        }
    }
}

/// Reads a key: a name that the map does not have yet.
struct Key<'a, 'b> {
    reader: &'b Reader<'a>,
    seen: &'b [(String, Node)],
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name as key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        if self.reader.child(key).is_target(At::Key) {
            return Err(E::custom(FOUND));
        }
        if self.seen.iter().any(|(name, _)| name == key) {
            return Err(problem(format!("the key `{key}` is given twice")));
        }
        Ok(key.to_owned())
    }

    fn visit_bool<E: de::Error>(self, key: bool) -> Result<String, E> {
        Err(problem(format!("expected a name as key, found `{key}`; quote it if it is meant")))
    }

    fn visit_u64<E: de::Error>(self, key: u64) -> Result<String, E> {
        Err(problem(format!("expected a name as key, found the number {key}")))
    }

    fn visit_i64<E: de::Error>(self, key: i64) -> Result<String, E> {
        Err(problem(format!("expected a name as key, found the number {key}")))
    }

    fn visit_f64<E: de::Error>(self, key: f64) -> Result<String, E> {
        Err(problem(format!("expected a name as key, found the number {key}")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Err(problem("expected a name as key, found nothing"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _sequence: A) -> Result<String, A::Error> {
        Err(problem("expected a name as key, found a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _map: A) -> Result<String, A::Error> {
        Err(problem("expected a name as key, found a map"))
    }
}

/// Raises [`FOUND`] at whatever comes, so that serde_yaml adds the place.
struct Raise;

enum Never {}

impl<'de> Visitor<'de> for Raise {
    type Value = Never;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(FOUND)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _data: A) -> Result<Never, A::Error> {
        Err(de::Error::custom(FOUND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, String> {
        let mut sources = Sources::default();
        let source = sources.add("test.yaml", text);
        parse(&sources, source).map(|node| node.to_value()).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_those_of_yaml_1_2() {
        let numbers = read("[1e-4, 1E+3, .5, -0, 0x10, 0o10, 12, '12', 1_000, yes, null, ~, true]").unwrap();
        assert_eq!(numbers, serde_json::json!([1e-4, 1e3, 0.5, 0, 16, 8, 12, "12", "1_000", "yes", null, null, true]));
    }

    #[test]
    fn a_place_is_found_through_flow_block_and_merged_maps() {
        let text = "base: &base\n  rate: 0.5\nlist:\n- {a: 1, b: [7, 8]}\n- <<: *base\n  c: 3\nempty:\n";
        let place = |path: &str, at| locate(text, &KeyPath::parse(path), at);
        assert_eq!(place("list.0.b.1", At::Value), Some((4, 17)));
        assert_eq!(place("list.0.b", At::Key), Some((4, 10)));
        assert_eq!(place("list.1.c", At::Value), Some((6, 6)));
        assert_eq!(place("list.1.<<.rate", At::Value), Some((2, 9)), "an alias leads to its anchor");
        assert_eq!(place("empty", At::Key), Some((7, 1)));
        assert_eq!(place("list.0.absent", At::Key), None);
    }

    #[test]
    fn setting_the_code_under_its_other_name_replaces_it() {
        let mut sources = Sources::default();
        let source = sources.add("test.yaml", "{model: {vae: {latent_dim: 20, beta: 1}}, other: {thing: {latent_dim: 1}}}");
        let mut tree = parse(&sources, source).unwrap();
        let number = |value: u64| Node::from_value(&serde_json::json!(value), &tree.origin.clone());
        let (four, five) = (number(4), number(5));
        tree.set(&KeyPath::parse("model.vae.code_size"), four).unwrap();
        tree.set(&KeyPath::parse("other.thing.code_size"), five).unwrap();
        let expected =
            serde_json::json!({"model": {"vae": {"code_size": 4, "beta": 1}}, "other": {"thing": {"latent_dim": 1, "code_size": 5}}});
        assert_eq!(tree.to_value(), expected);
        let source = sources.add("over.yaml", "{model: {vae: {latent_dim: 3}}}");
        let merged = tree.overlaid(parse(&sources, source).unwrap());
        assert_eq!(merged.to_value()["model"]["vae"], serde_json::json!({"latent_dim": 3, "beta": 1}));
    }

    fn refusal(text: &str) -> String {
        let refused = read(text).unwrap_err();
        assert!(refused.len() < 4000, "the message is long: {}", refused.len());
        refused
    }

    #[test]
    fn aliases_do_not_multiply_without_bound() {
        let bomb: String = (1..30).map(|level| format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(9))).collect();
        let bomb = format!("a0: &a0 [x, x, x, x, x, x, x, x, x]\n{bomb}");
        let refused = refusal(&bomb);
        assert!(refused.contains("multiply to too much") || refused.contains("holds too much"), "{refused}");
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
        assert!(refusal(&long).starts_with("this text holds too much: up to here"), "{}", refusal(&long));
        assert!(refusal(&long).contains("--> test.yaml:1:4"), "{}", refusal(&long));
    }

    #[test]
    fn long_keys_above_many_values_and_deep_lists_are_bounded() {
        let wide = format!("? {}\n: [{}]\n", "k".repeat(1 << 20), "1, ".repeat(100_000));
        assert!(refusal(&wide).starts_with("this text holds too much"), "{}", refusal(&wide));
        let deep = format!("{}{}{}", "[".repeat(100), "1, ".repeat(1_000_000), "]".repeat(100));
        assert!(refusal(&deep).starts_with("this text holds too much"), "{}", refusal(&deep));
        for (open, place) in [("[", "1:129"), ("{a: ", "1:513"), ("[? ", "1:385"), ("['[', \"]\\\"]\", # ]\n", "129:1")] {
            let refused = refusal(&open.repeat(200_000));
            assert!(refused.starts_with("maps and lists are nested too deeply\n"), "{refused}");
            assert!(refused.contains(&format!("--> test.yaml:{place}\n")), "{refused}");
        }
        let lists: String = (0..500).map(|key| format!("k{key}: ['[[[', \"[\", {{a: [1]}}] # [[\n")).collect();
        assert!(read(&lists).is_ok());
        let keys: String = (0..2000).map(|key| format!("k{key}: 1\n")).collect();
        assert!(refusal(&keys).starts_with("a map has at most 1000 keys"), "{}", refusal(&keys));
        let many: String = (0..100_000).map(|value| format!("{value}, ")).collect();
        assert_eq!(
            read(&format!("sweep: {{model: {{vae: {{beta: [{many}]}}}}}}")).unwrap()["sweep"]["model"]["vae"]["beta"][99_999],
            99_999
        );
    }

    #[test]
    fn a_text_of_more_than_four_mebibytes_is_refused_unread() {
        assert_eq!(refusal(&" ".repeat((4 << 20) + 1)), "test.yaml has 4194305 bytes; a text of an experiment has at most 4194304");
    }

    fn any_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
            "[ -~äé\n]{0,6}".prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z0-9 :#-]{1,4}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The paths of all keys and items below `node`.
    fn places(node: &Node, path: &KeyPath, found: &mut Vec<(KeyPath, Value)>) {
        let mut visit = |key: &str, child: &Node| {
            found.push((path.child(key), child.to_value()));
            places(child, &path.child(key), found);
        };
        match &node.kind {
            Kind::Map(entries) => entries.iter().for_each(|(key, child)| visit(key, child)),
            Kind::List(items) => items.iter().enumerate().for_each(|(index, child)| visit(&index.to_string(), child)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn yaml_round_trips(value in any_tree()) {
            prop_assert_eq!(read(&crate::to_yaml(&value)), Ok(value));
        }

        #[test]
        fn every_value_is_found_where_it_is_written(value in any_tree()) {
            let text = crate::to_yaml(&value);
            let mut sources = Sources::default();
            let source = sources.add("test.yaml", text.as_str());
            let mut found = Vec::new();
            places(&parse(&sources, source).unwrap(), &KeyPath::root(), &mut found);
            for (path, value) in found {
                let (line, column) = locate(&text, &path, At::Value).expect("every value has a place");
                let rest: String = text.lines().nth(line - 1).unwrap_or_default().chars().skip(column - 1).collect();
                if let Value::Number(number) = &value && number.is_i64() {
                    prop_assert!(rest.starts_with(&number.to_string()), "{path} at {line}:{column} of\n{text}");
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[-a-c:{}\\[\\]&*!<>|'\"#%@ \n0-9.]{0,40}") {
            let _ = read(&text);
        }
    }
}
