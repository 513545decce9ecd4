//! `search.jsonl`: what a search was asked, what it proposed and what came of it, in an order that does not depend on who was faster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aelab_files::{append_json_line, read_json_lines};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::result::TrialState;
use crate::search::SearchError;
use crate::search::spec::{EarlyTermination, Goal, Search};

/// Increased when the same search would propose something else.
pub(crate) const SEARCH_VERSION: u32 = 1;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The first line: all that proposals follow from, besides results.
    Search(Header),
    /// A proposal.
    Proposal(Proposal),
    /// What came of a proposal: behind all outcomes of earlier ones, before the first proposal that may know of it.
    Outcome(Outcome),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// See [`SEARCH_VERSION`].
    pub(crate) version: u32,
    /// The search, with a number for `parallel`.
    pub(crate) search: Search,
    /// What is good.
    pub(crate) goal: Goal,
    /// How trials are given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) early_termination: Option<EarlyTermination>,
    /// Hash of what the search does not set.
    pub(crate) base: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// Number of the draw, from 0: draws that repeat a proposal or cannot be used are passed over.
    pub(crate) draw: u64,
    /// What it sets.
    pub(crate) values: Map<String, Value>,
    /// Its trials, one per seed.
    pub(crate) trials: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Number of the proposal.
    pub(crate) index: usize,
    /// How it ended: the worst of its trials.
    pub(crate) state: TrialState,
    /// The goal's value, the mean over seeds; `None` where it failed.
    pub(crate) value: Option<f64>,
    /// Epochs of one that was stopped early, otherwise 0.
    #[serde(default)]
    pub(crate) num_epochs: u64,
    /// The goal's value at each comparison that it came to; `None` where it had failed by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rungs: Vec<Option<f64>>,
}

/// The file. Lines that are there are gone through first; what is derived anew must equal them.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    lines: Vec<Line>,
    cursor: usize,
}

impl Log {
    /// Opens the log of a run directory. One of another search is moved into `history`; `true` then.
    pub(crate) fn open(root: &Path, header: &mut Header, fix_parallel: impl Fn(&mut Header, &Header)) -> Result<(Self, bool), SearchError> {
        let path = root.join("search.jsonl");
        let damaged = |message: String| SearchError::Damaged { path: path.clone(), message };
        let values = read_json_lines(&path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::InvalidData => damaged(source.to_string()),
                _ => SearchError::Io { what: "read", path: path.clone(), source },
            })?
            .values;
        let mut lines = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            match serde_json::from_value::<Line>(value) {
                Ok(line) => lines.push(line),
                // A search of another version cannot be gone on with.
                Err(_) if index == 0 => break,
                Err(error) => return Err(damaged(format!("line {}: {error}", index + 1))),
            }
        }
        if let Some(Line::Search(stored)) = lines.first() {
            fix_parallel(header, stored);
        }
        let is_same = lines.first().is_none_or(|first| same(first, &Line::Search(header.clone())));
        let is_other = path.exists() && (!is_same || (lines.is_empty() && fs::metadata(&path).is_ok_and(|data| data.len() > 0)));
        let mut log = Self { path, lines, cursor: 0 };
        if is_other {
            log.move_away(root)?;
            log.lines.clear();
        }
        log.write(Line::Search(header.clone()))?;
        Ok((log, is_other))
    }

    fn move_away(&self, root: &Path) -> Result<(), SearchError> {
        let history = root.join("history");
        let number = (1..).find(|number| !history.join(format!("{number}-search.jsonl")).exists()).expect("there is a free number");
        let target = history.join(format!("{number}-search.jsonl"));
        let moved = fs::create_dir_all(&history).and_then(|()| fs::rename(&self.path, &target));
        moved.map_err(|source| SearchError::Io { what: "move", path: self.path.clone(), source })
    }

    /// The next line that was there when the log was opened.
    pub(crate) fn recorded(&self) -> Option<&Line> {
        self.lines.get(self.cursor)
    }

    /// Writes a line; where there is one already, it must be the same.
    pub(crate) fn write(&mut self, line: Line) -> Result<(), SearchError> {
        if let Some(recorded) = self.lines.get(self.cursor) {
            if !same(recorded, &line) {
                let show = |line: &Line| serde_json::to_string(line).unwrap_or_default();
                let (recorded, derived) = (show(recorded), show(&line));
                return Err(SearchError::Contradiction { path: self.path.clone(), line: self.cursor + 1, recorded, derived });
            }
        } else {
            append_json_line(&self.path, &line).map_err(|source| SearchError::Io { what: "write", path: self.path.clone(), source })?;
            self.lines.push(line);
        }
        self.cursor += 1;
        Ok(())
    }
}

/// As the file has them: without what is not written.
fn same(left: &Line, right: &Line) -> bool {
    serde_json::to_value(left).ok() == serde_json::to_value(right).ok()
}
