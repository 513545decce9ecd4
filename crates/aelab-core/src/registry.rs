//! Which models there are: an explicit list of entries, nothing hidden.

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::{BuildContext, ConfigError, DataSpec, ModelConfig, TermSpec, Trainee};

/// A parsed model configuration whose type has been forgotten.
pub trait AnyModelConfig: std::fmt::Debug + Send + Sync {
    /// See [`ModelConfig::NAME`].
    fn name(&self) -> &'static str;
    /// See [`ModelConfig::check`].
    fn check(&self, data: &DataSpec) -> Result<(), ConfigError>;
    /// See [`ModelConfig::warnings`].
    fn warnings(&self, data: &DataSpec) -> Vec<String>;
    /// See [`ModelConfig::code_size`].
    fn code_size(&self) -> usize;
    /// See [`ModelConfig::terms`].
    fn terms(&self, data: &DataSpec) -> Vec<TermSpec>;
    /// The configuration with every default filled in: what a trial's hash is taken of.
    fn resolved(&self) -> Value;
    /// See [`ModelConfig::trainee`].
    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee>;
}

impl<C: ModelConfig> AnyModelConfig for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        ModelConfig::check(self, data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        ModelConfig::warnings(self, data)
    }

    fn code_size(&self) -> usize {
        ModelConfig::code_size(self)
    }

    fn terms(&self, data: &DataSpec) -> Vec<TermSpec> {
        ModelConfig::terms(self, data)
    }

    fn resolved(&self) -> Value {
        serde_json::to_value(self).expect("a configuration of numbers, strings, lists and maps serializes")
    }

    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee> {
        ModelConfig::trainee(self, context)
    }
}

/// Why a model section could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Path below the model's name, keys and indices joined by dots; empty for the section itself.
    pub path: String,
    /// What serde says: unknown field, wrong type, missing field.
    pub message: String,
}

/// One model that the program knows.
#[derive(Clone, Copy)]
pub struct ModelEntry {
    /// See [`ModelConfig::NAME`].
    pub name: &'static str,
    /// See [`ModelConfig::SUMMARY`].
    pub summary: &'static str,
    /// See [`ModelConfig::CITATION`].
    pub citation: &'static str,
    /// Reads the section below the model's name.
    pub parse: fn(Value) -> Result<Box<dyn AnyModelConfig>, ParseError>,
    /// See [`ModelConfig::example_data`].
    pub example_data: fn() -> DataSpec,
    /// See [`ModelConfig::example`].
    pub example: fn() -> Box<dyn AnyModelConfig>,
    /// The JSON schema of the section.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl std::fmt::Debug for ModelEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ModelEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ModelEntry {
    /// The entry of a model by its configuration type.
    pub const fn new<C: ModelConfig>() -> Self {
        Self {
            name: C::NAME,
            summary: C::SUMMARY,
            citation: C::CITATION,
            parse: parse::<C>,
            example_data: C::example_data,
            example: example::<C>,
            schema: schema::<C>,
        }
    }
}

fn parse<C: ModelConfig>(value: Value) -> Result<Box<dyn AnyModelConfig>, ParseError> {
    match serde_path_to_error::deserialize::<_, C>(value) {
        Ok(config) => Ok(Box::new(config)),
        Err(error) => {
            let path = error.path().to_string();
            Err(ParseError { path: if path == "." { String::new() } else { path }, message: error.into_inner().to_string() })
        }
    }
}

fn example<C: ModelConfig>() -> Box<dyn AnyModelConfig> {
    Box::new(C::example())
}

fn schema<C: ModelConfig>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<C>()
}

/// The models that a program knows, in the order in which they are listed.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: Vec<ModelEntry>,
}

impl Registry {
    /// A registry of the given entries.
    ///
    /// # Panics
    /// When two entries share a name: a mistake of the programmer, found before any work.
    pub fn new(entries: &[ModelEntry]) -> Self {
        entries.iter().fold(Self::default(), |registry, entry| registry.with(*entry))
    }

    /// The registry with one more model.
    ///
    /// # Panics
    /// When the name is taken.
    #[must_use]
    pub fn with(mut self, entry: ModelEntry) -> Self {
        assert!(self.find(entry.name).is_none(), "two models are called `{}`", entry.name);
        self.entries.push(entry);
        self
    }

    /// The entry of that name.
    pub fn find(&self, name: &str) -> Option<&ModelEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// All entries.
    pub fn entries(&self) -> &[ModelEntry] {
        &self.entries
    }
}
