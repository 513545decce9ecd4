//! Why results cannot be compared, and how to go on.

use crate::RunDirError;
use crate::comparison::did_you_mean;

/// Why results cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// A run cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No trial has results.
    #[error("no trial of {runs} has finished: {states}")]
    NothingFinished {
        /// Names of the runs.
        runs: String,
        /// How many trials are in which state.
        states: String,
    },
    /// A metric that no trial measured.
    #[error("no finished trial measured the metric `{name}`{hint}\n = measured: {measured}")]
    UnknownMetric {
        /// As asked for.
        name: String,
        /// The nearest one, as a question.
        hint: String,
        /// What there is.
        measured: String,
    },
    /// No headline metric is in all configurations.
    #[error("no headline metric was measured in all configurations; choose with --metric\n = measured: {measured}")]
    NoCommonMetric {
        /// What there is.
        measured: String,
    },
    /// A key that no trial has.
    #[error("no trial has the key `{name}`{hint}\n = keys: {known}")]
    UnknownKey {
        /// As asked for.
        name: String,
        /// The nearest one, as a question.
        hint: String,
        /// What varies, and the general ones.
        known: String,
    },
    /// A key that stands for several values.
    #[error("the key `{name}` is ambiguous: write one of {}", candidates.join(", "))]
    AmbiguousKey {
        /// As asked for.
        name: String,
        /// What it could be.
        candidates: Vec<String>,
    },
    /// A key given twice.
    #[error("`{0}` can only be one of --rows, --cols and --across, and once")]
    KeyTwice(String),
    /// Seeds are what is averaged over.
    #[error("`{0}` cannot tell rows, columns or blocks apart: means and tests are over seeds; choose seeds with --filter seed=...")]
    SeedAsKey(String),
    /// A filter that is none.
    #[error(
        "cannot read the filter `{0}`: expected KEY=VALUE, KEY!=VALUE, KEY<VALUE, KEY<=VALUE, KEY>VALUE or KEY>=VALUE; several values as KEY=A,B"
    )]
    BadFilter(String),
    /// A filter that nothing passes.
    #[error("no trial passes `{filter}`: {key} has the values {values}")]
    NothingPasses {
        /// The filter.
        filter: String,
        /// Its key.
        key: String,
        /// What there is.
        values: String,
    },
    /// Different data.
    #[error("these results are of different data and cannot be compared:\n{}\n{hint}", differences.join("\n"))]
    DifferentData {
        /// One line per value that differs.
        differences: Vec<String>,
        /// How to go on.
        hint: String,
    },
    /// A metric of several definitions.
    #[error("the metric `{metric}` is not the same quantity in all results:\n{}\n{hint}", differences.join("\n"))]
    DifferentMetric {
        /// The metric.
        metric: String,
        /// One line per definition.
        differences: Vec<String>,
        /// How to go on.
        hint: String,
    },
    /// A metric of several evaluations, or of one with several options.
    #[error("the metric `{metric}` was measured {how} and cannot be compared:\n{}\n{hint}", differences.join("\n"))]
    DifferentEvaluation {
        /// The metric.
        metric: String,
        /// What differs, in words.
        how: String,
        /// One line per option that differs.
        differences: Vec<String>,
        /// How to go on.
        hint: String,
    },
    /// A list of names with nothing between its commas.
    #[error("a name in {option} is empty: write names separated by single commas, or leave {option} out")]
    EmptyName {
        /// `--metric`.
        option: &'static str,
    },
    /// Rows sorted by what the table does not show.
    #[error("cannot sort by `{name}`: the table shows {shown}{}\n = name it with --metric, too", if *is_measured { "" } else { ", and no finished trial measured it" })]
    SortNotShown {
        /// As asked for.
        name: String,
        /// The metrics shown.
        shown: String,
        /// Whether some finished trial measured it.
        is_measured: bool,
    },
    /// A curve against words.
    #[error("`{name}` has no numbers to draw a curve against: its values are {values}\n = with numbers: {known}")]
    NoNumbers {
        /// As asked for.
        name: String,
        /// What there is.
        values: String,
        /// Keys and metrics with numbers.
        known: String,
    },
    /// Rows and columns that do not tell configurations apart.
    #[error("one cell of the table would hold {num} configurations ({place}), which differ in:\n{}\n{hint}", differences.join("\n"))]
    MixedCell {
        /// How many.
        num: usize,
        /// The row and column.
        place: String,
        /// One line per value that differs.
        differences: Vec<String>,
        /// How to go on.
        hint: String,
    },
    /// A curve against something that no trial has.
    #[error("nothing is called `{name}`{hint}\n = a curve is drawn against a key with numbers or a measured metric: {known}")]
    UnknownAbscissa {
        /// As asked for.
        name: String,
        /// The nearest one, as a question.
        hint: String,
        /// Keys and metrics with numbers.
        known: String,
    },
    /// A curve without a point.
    #[error("no configuration has both `{x}` and `{y}`")]
    EmptyCurve {
        /// The x axis.
        x: String,
        /// The y axis.
        y: String,
    },
}

impl ComparisonError {
    pub(super) fn unknown_metric(name: &str, measured: &[String]) -> Self {
        ComparisonError::UnknownMetric { name: name.to_owned(), hint: did_you_mean(name, measured), measured: measured.join(", ") }
    }

    pub(super) fn unknown_key(name: &str, known: &[String], shown: &[String]) -> Self {
        ComparisonError::UnknownKey { name: name.to_owned(), hint: did_you_mean(name, known), known: shown.join(", ") }
    }
}
