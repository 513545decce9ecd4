//! `models`, `datasets`, `metrics`, `schema`: what there is.

use aelab_core::Registry;
use aelab_data::DATASETS;
use aelab_eval::EVALUATIONS;
use aelab_experiment::experiment_schema;
use aelab_report::{Cell, Column, Row, Table};
use serde_json::{Value, json};

use crate::EXIT_DONE;
use crate::terminal::{print_line, terminal_width};

/// Lists the models.
pub(crate) fn models(as_json: bool, registry: &Registry) -> anyhow::Result<u8> {
    let entries = registry.entries();
    if as_json {
        print_json(
            entries.iter().map(|entry| json!({"name": entry.name, "summary": entry.summary, "citation": entry.citation})).collect(),
        )?;
    } else {
        print_table(&["model", "summary"], entries.iter().map(|entry| vec![entry.name, entry.summary]));
        print_line("aelab describe NAME explains one");
    }
    Ok(EXIT_DONE)
}

/// Lists the data sets.
pub(crate) fn datasets(as_json: bool) -> anyhow::Result<u8> {
    if as_json {
        let entry = |entry: &aelab_data::DatasetEntry| json!({"name": entry.name, "summary": entry.summary, "citation": entry.citation, "fetched": entry.fetched});
        print_json(DATASETS.iter().map(entry).collect())?;
    } else {
        print_table(&["data set", "summary"], DATASETS.iter().map(|entry| vec![entry.name, entry.summary]));
        print_line("aelab describe NAME explains one; aelab data list shows which are there");
    }
    Ok(EXIT_DONE)
}

/// Lists the evaluations and the metrics that they measure.
pub(crate) fn metrics(as_json: bool) -> anyhow::Result<u8> {
    if as_json {
        let evaluations: Vec<Value> = EVALUATIONS.iter().map(|entry| json!({"name": entry.name, "summary": entry.summary})).collect();
        let metric = |metric: &aelab_eval::MetricInfo| {
            let better = metric.direction.symbol();
            json!({"name": metric.name, "definition": metric.definition, "unit": metric.unit, "better": better, "version": metric.version})
        };
        let metrics: Vec<Value> = aelab_eval::metrics().map(metric).collect();
        print_line(&serde_json::to_string_pretty(&json!({"evaluations": evaluations, "metrics": metrics}))?);
    } else {
        print_table(&["evaluation", "summary"], EVALUATIONS.iter().map(|entry| vec![entry.name, entry.summary]));
        let rows = aelab_eval::metrics().map(|metric| vec![metric.name, metric.unit, metric.direction.symbol(), metric.definition]);
        print_table(&["metric", "unit", "better", "definition"], rows);
    }
    Ok(EXIT_DONE)
}

/// Prints the JSON schema of experiment files.
pub(crate) fn schema(registry: &Registry) -> anyhow::Result<u8> {
    print_line(&serde_json::to_string_pretty(&experiment_schema(registry))?);
    Ok(EXIT_DONE)
}

fn print_json(items: Vec<Value>) -> anyhow::Result<()> {
    print_line(&serde_json::to_string_pretty(&items)?);
    Ok(())
}

/// Prints a table of texts.
pub(crate) fn print_table<'a>(headers: &[&str], rows: impl Iterator<Item = Vec<&'a str>>) {
    let columns = headers.iter().map(|header| Column::text(*header)).collect();
    let rows = rows.map(|row| Row::new(row.into_iter().map(|text| Cell::Text(text.to_owned())).collect())).collect();
    print_line(&Table { columns, rows }.to_terminal(terminal_width()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_that_of_the_program() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/schema.json");
        let committed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
        let is_current = committed == experiment_schema(&crate::builtin());
        assert!(
            is_current,
            "experiments/schema.json is out of date; make it with: cargo run --release -- schema > experiments/schema.json"
        );
    }
}
