//! The texts that an experiment was read from, and where in them a value stands.
//!
//! serde_yaml gives away line and column only in errors. So a place is found by reading the text once
//! more and raising an error there: see [`crate::tree::locate`].

use std::fmt;

use crate::KeyPath;
use crate::tree::{self, At};

/// One text: a file, or the value of a `--set`.
#[derive(Debug, Clone)]
pub struct Source {
    /// As shown before line and column: a path, or `--set`.
    pub name: String,
    /// The YAML.
    pub text: String,
    /// What stood before the YAML on its line: `train.epochs=` of a `--set`, otherwise nothing.
    pub prefix: String,
}

/// All texts of one experiment.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Index of the text.
    pub source: usize,
    /// Path of the value in that text.
    pub path: KeyPath,
}

impl Sources {
    /// Adds a text and returns its index.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.add_after(name, String::new(), text)
    }

    /// Adds a text that stood behind `prefix` on its line.
    pub fn add_after(&mut self, name: impl Into<String>, prefix: String, text: impl Into<String>) -> usize {
        self.0.push(Source { name: name.into(), text: text.into(), prefix });
        self.0.len() - 1
    }

    /// The text of that index.
    pub fn get(&self, index: usize) -> &Source {
        &self.0[index]
    }

    /// The excerpt that shows the value or key at `origin`, or the innermost thing around it that has a place.
    pub fn excerpt(&self, origin: &Origin, at: At) -> Option<Excerpt> {
        let source = self.0.get(origin.source)?;
        let mut path = origin.path.clone();
        let mut at = at;
        loop {
            if let Some((line, column)) = tree::locate(&source.text, &path, at) {
                return Some(Excerpt::new(source, line, column));
            }
            let Some(parent) = path.parent() else {
                let width = source.prefix.trim_end_matches('=').chars().count();
                let text = format!("{}{}", source.prefix, source.text.lines().next().unwrap_or_default());
                return (width > 0).then(|| Excerpt { name: source.name.clone(), line: 1, column: 1, text, width });
            };
            path = parent;
            at = At::Key;
        }
    }
}

/// Characters of a line that are shown at most.
const MAX_SHOWN: usize = 200;

/// A line of a text with a mark below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// Name of the text.
    pub name: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The whole line.
    pub text: String,
    /// Characters to underline.
    pub width: usize,
}

impl Excerpt {
    /// The excerpt at a place of a text.
    pub fn new(source: &Source, line: usize, column: usize) -> Self {
        let text = source.text.lines().nth(line - 1).unwrap_or_default();
        let rest: Vec<char> = text.chars().skip(column - 1).collect();
        let is_end = |position: usize, character: char| match character {
            ',' | ']' | '}' | ' ' => true,
            ':' => rest.get(position + 1).is_none_or(|next| next.is_whitespace()),
            _ => false,
        };
        let width = match rest.first() {
            Some('{' | '[') => 1,
            Some(quote @ ('"' | '\'')) => rest.iter().skip(1).position(|character| character == quote).map_or(1, |end| end + 2),
            _ => rest.iter().enumerate().position(|(position, character)| is_end(position, *character)).unwrap_or(rest.len()).max(1),
        };
        let shift = if line == 1 { source.prefix.chars().count() } else { 0 };
        let text = if line == 1 { format!("{}{text}", source.prefix) } else { text.to_owned() };
        Self { name: source.name.clone(), line, column: column + shift, text, width }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = " ".repeat(self.line.to_string().len());
        // Of a long line, the part around the place.
        let skipped = if self.text.chars().nth(MAX_SHOWN).is_some() { self.column.saturating_sub(MAX_SHOWN / 2) } else { 0 };
        let dots = if skipped > 0 { "..." } else { "" };
        // A text may hold what a terminal would obey.
        let harmless = |character: char| if character.is_control() && character != '\t' { char::REPLACEMENT_CHARACTER } else { character };
        let shown: String = dots.chars().chain(self.text.chars().skip(skipped).take(MAX_SHOWN).map(harmless)).collect();
        let offset = self.column - 1 - skipped + dots.len();
        let before: String = shown.chars().take(offset).map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
        let width = self.width.min(MAX_SHOWN.saturating_sub(offset)).max(1);
        writeln!(formatter, "{gutter}--> {}:{}:{}", self.name, self.line, self.column)?;
        writeln!(formatter, "{gutter} |")?;
        writeln!(formatter, "{} | {shown}", self.line)?;
        write!(formatter, "{gutter} | {before}{}", "^".repeat(width))
    }
}

/// Something wrong with an experiment: what, where, what was expected, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub excerpt: Option<Box<Excerpt>>,
    /// What was expected, the nearest name, how to mend it.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), excerpt: None, notes: Vec::new() }
    }

    /// Points to a place.
    #[must_use]
    pub fn at(mut self, sources: &Sources, origin: &Origin, at: At) -> Self {
        self.excerpt = sources.excerpt(origin, at).map(Box::new);
        self
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds the expected names and, where one is near to what was found, that one.
    #[must_use]
    pub fn expected_names<S: AsRef<str>>(mut self, found: &str, expected: &[S]) -> Self {
        if let Some(nearest) = nearest_name(found, expected) {
            self.notes.push(format!("did you mean `{nearest}`?"));
        }
        if !expected.is_empty() {
            let names: Vec<String> = expected.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            self.notes.push(format!("expected {}{}", if names.len() > 1 { "one of " } else { "" }, names.join(", ")));
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.message)?;
        let gutter = match &self.excerpt {
            Some(excerpt) => {
                write!(formatter, "\n{excerpt}")?;
                " ".repeat(excerpt.line.to_string().len())
            }
            None => String::new(),
        };
        for note in &self.notes {
            write!(formatter, "\n{gutter} = {note}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// The one of `names` that `found` was probably meant to be.
pub fn nearest_name<'a, S: AsRef<str>>(found: &str, names: &'a [S]) -> Option<&'a str> {
    let normal = |name: &str| name.to_lowercase().replace('-', "_");
    let found = normal(found);
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&found, &normal(name.as_ref())), name.as_ref()))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().max(found.chars().count()) / 3)
        .map(|(_, name)| name)
}
