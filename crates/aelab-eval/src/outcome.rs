//! What an evaluation gives back.

use serde_json::Value;

use crate::{Direction, EvaluationError, Picture, metric_info};

/// One measured number.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Name of a metric of [`crate::metrics`], with what it was measured at behind an `@` where there are several (`ndcg@100`),
    /// or, for a term of the objective, as the model calls it.
    pub name: String,
    /// The value; always finite.
    pub value: f64,
    /// What it is measured in; empty for a plain number.
    pub unit: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// Version of the definition: values of different versions do not compare.
    pub version: u32,
}

impl Measurement {
    /// A value with what is known of its metric; refuses what is not finite.
    pub(crate) fn new(name: &str, value: f64) -> Result<Self, EvaluationError> {
        if !value.is_finite() {
            return Err(EvaluationError::NonFinite { metric: name.to_owned(), value });
        }
        let info = metric_info(name);
        Ok(Self { name: name.to_owned(), value, unit: info.unit, direction: info.direction, version: info.version })
    }
}

/// Numbers, pictures and tables of one evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The numbers, in the order in which they are listed.
    pub measurements: Vec<Measurement>,
    /// Data of pictures; whoever draws decides how.
    pub pictures: Vec<Picture>,
    /// Tables of further numbers.
    pub tables: Vec<DataTable>,
    /// What went wrong without touching a result: a cache that cannot be written.
    pub warnings: Vec<String>,
    /// Why nothing was measured, where that is worth saying only to who asked for the evaluation by name: some models have no samples.
    pub nothing: Option<String>,
}

impl Outcome {
    /// Of an evaluation that a model has nothing for.
    pub(crate) fn nothing(evaluation: &str, why: &str) -> Self {
        Self { nothing: Some(format!("`{evaluation}` gives nothing: {why}")), ..Self::default() }
    }
}

/// Numbers that are too many for a list of metrics: one per class, per dimension, per example. Written as a CSV file.
#[derive(Debug, Clone, PartialEq)]
pub struct DataTable {
    /// File name without its extension, in snake case: `errors_per_class`.
    pub name: String,
    /// Names of the columns, in snake case.
    pub columns: Vec<String>,
    /// Rows of text, numbers and `null`, one value per column.
    pub rows: Vec<Vec<Value>>,
}

impl DataTable {
    /// A table with the given columns and no rows.
    pub(crate) fn new(name: &str, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: name.to_owned(), columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = Value>) {
        let row: Vec<Value> = row.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a row of `{}` has a value for each column", self.name);
        self.rows.push(row);
    }
}
