//! The place of a value in a tree of maps and lists: `train.optimizer.adam.learning_rate`, `hidden.0`.

use std::fmt;

/// Keys and list indices from the root to a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads keys joined by dots; a list index is a part of its own (`hidden.0`) or in brackets (`hidden[0]`).
    pub fn parse(text: &str) -> Self {
        let text = text.replace('[', ".").replace(']', "");
        Self(text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// This path, one level deeper.
    #[must_use]
    pub fn child(&self, key: impl Into<String>) -> Self {
        let mut parts = self.0.clone();
        parts.push(key.into());
        Self(parts)
    }

    /// `tail` below this path.
    #[must_use]
    pub fn join(&self, tail: &KeyPath) -> Self {
        Self(self.0.iter().chain(&tail.0).cloned().collect())
    }

    /// One level up; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, parts)| Self(parts.to_vec()))
    }

    /// The last key; `None` at the root.
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// The keys from the root on.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// Whether the value at `other` is this value or lies inside of it.
    pub fn contains(&self, other: &KeyPath) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether this is the place of a one-key map whose key chooses the variant.
    pub fn is_variant_map(&self) -> bool {
        matches!(self.0.iter().map(String::as_str).collect::<Vec<_>>()[..], ["data"] | ["model"] | ["train", "optimizer"])
    }

    /// This path with the name of a data set, model or optimizer replaced by `*`, so that the same
    /// hyperparameter of two models compares equal: `model.*.code_size`.
    #[must_use]
    pub fn family(&self) -> Self {
        let mut parts = self.0.clone();
        for (length, part) in parts.iter_mut().enumerate() {
            if Self(self.0[..length].to_vec()).is_variant_map() {
                "*".clone_into(part);
            }
        }
        Self(parts)
    }
}

impl<S: Into<String>> FromIterator<S> for KeyPath {
    fn from_iter<I: IntoIterator<Item = S>>(parts: I) -> Self {
        Self(parts.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_dots_name_the_same_place() {
        assert_eq!(KeyPath::parse("model.vae.hidden[1]"), KeyPath::parse("model.vae.hidden.1"));
        assert_eq!(KeyPath::parse("hidden[1]").to_string(), "hidden.1");
    }

    #[test]
    fn a_family_forgets_the_variant_and_nothing_else() {
        let family = |text: &str| KeyPath::parse(text).family().to_string();
        assert_eq!(family("model.vae.code_size"), "model.*.code_size");
        assert_eq!(family("train.optimizer.adam.learning_rate"), "train.optimizer.*.learning_rate");
        assert_eq!(family("train.epochs"), "train.epochs");
        assert_eq!(family("model"), "model");
    }
}
