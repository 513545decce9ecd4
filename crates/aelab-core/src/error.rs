//! What can be wrong with a configuration or a saved state.

/// A value of a configuration that no training run could make sense of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// Path of the value inside the section that was checked, keys joined by dots (`hidden`, `corruption.masking.rate`).
    pub path: String,
    /// What is wrong, what was expected, how to mend it.
    pub message: String,
}

impl ConfigError {
    /// An error about the value at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The same error, seen from one level further out.
    pub fn within(mut self, key: &str) -> Self {
        self.path = if self.path.is_empty() { key.to_owned() } else { format!("{key}.{}", self.path) };
        self
    }
}

/// A saved state that does not fit the model it is loaded into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A part of the state is absent.
    #[error("the saved state has no part `{0}`")]
    Missing(String),
    /// The parameters do not fit, or the bytes are not a record.
    #[error("part `{part}` of the saved state cannot be used")]
    Record {
        /// The part that failed.
        part: String,
        /// What burn said about it.
        source: burn::store::RecordError,
    },
    /// The optimizer state covers fewer tensors than were saved.
    #[error("part `{0}` of the saved state was read only partly: it belongs to another optimizer")]
    Partial(String),
}
