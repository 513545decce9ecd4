//! A comparison for programs: CSV and JSON, every number unrounded.

use serde_json::{Value, json};

use crate::comparison::{Comparison, ComparisonCell, ComparisonRow, KeyValues, baseline_label};
use crate::summary::Direction;
use crate::table::{Cell, Column, Row, Table};

fn better(direction: Direction) -> &'static str {
    match direction {
        Direction::LowerIsBetter => "lower",
        Direction::HigherIsBetter => "higher",
        Direction::Neutral => "none",
    }
}

fn number(value: Option<f64>) -> Cell {
    value.map_or(Cell::Empty, Cell::Number)
}

fn object(names: &[String], keys: &KeyValues) -> Value {
    Value::Object(names.iter().cloned().zip(keys.iter().map(|value| value.clone().unwrap_or(Value::Null))).collect())
}

impl Comparison {
    /// One line per configuration or baseline, column and metric; without numbers where no trial of a configuration has them.
    pub fn csv_table(&self) -> Table {
        let mut columns: Vec<Column> = vec![Column::text("baseline")];
        columns.extend(self.row_keys.iter().chain(&self.column_keys).map(Column::text));
        let with_code_size = self.baselines.iter().any(|row| row.code_size.is_some());
        columns.extend(with_code_size.then(|| Column::number("baseline_code_size")));
        columns.extend(["metric", "unit", "better"].map(Column::text));
        columns.extend(
            [
                "version",
                "num_trials",
                "num_finished",
                "num_seeds",
                "num_values",
                "mean",
                "std",
                "ci95_low",
                "ci95_high",
                "rank",
                "num_ranked",
            ]
            .map(Column::number),
        );
        columns.extend(["num_pairs", "p_value", "p_value_holm"].map(Column::number));
        columns.push(Column::text("standing"));
        let text = |value: &Option<Value>| value.as_ref().map_or(Cell::Empty, |value| Cell::Text(crate::comparison::key_text(value)));
        let mut rows = Vec::new();
        for row in self.rows.iter().chain(&self.baselines) {
            for (position, (column, cell)) in self.columns.iter().zip(&row.cells).enumerate() {
                let counts = row.counts[position];
                // A baseline without the metric, or a combination that nobody asked for.
                if cell.is_none() && (row.baseline.is_some() || counts.all == 0) {
                    continue;
                }
                let info = &self.metrics[column.metric];
                let mut cells = vec![row.baseline.map_or(Cell::Empty, |prefix| Cell::Text(baseline_label(prefix).to_owned()))];
                cells.extend(row.keys.iter().chain(&column.keys).map(text));
                if with_code_size {
                    cells.push(row.code_size.map_or(Cell::Empty, |size| Cell::Integer(size as u64)));
                }
                cells.extend([&info.name, &info.unit, &better(info.direction).to_owned()].map(|text| Cell::Text(text.clone())));
                let cell = cell.as_ref();
                let mut seeds: Vec<u64> = cell.iter().flat_map(|cell| &cell.measured).map(|value| value.seed).collect();
                seeds.sort_unstable();
                seeds.dedup();
                let bound = |sign: f64| cell.and_then(|cell| Some(cell.spread.mean + sign * cell.half_width?));
                let rank = cell.and_then(|cell| cell.rank);
                cells.extend([
                    Cell::Integer(info.version.into()),
                    Cell::Integer(counts.all as u64),
                    Cell::Integer(counts.finished as u64),
                    Cell::Integer(seeds.len() as u64),
                    Cell::Integer(cell.map_or(0, |cell| cell.spread.num) as u64),
                    number(cell.map(|cell| cell.spread.mean)),
                    number(cell.and_then(|cell| cell.spread.deviation)),
                    number(bound(-1.0)),
                    number(bound(1.0)),
                    number(rank),
                    rank.map_or(Cell::Empty, |_| Cell::Integer(column.num_ranked as u64)),
                    Cell::Integer(cell.map_or(0, |cell| cell.num_pairs) as u64),
                    number(cell.and_then(|cell| cell.p_value)),
                    number(cell.and_then(|cell| cell.corrected)),
                    Cell::Text(cell.map_or("", |cell| cell.standing.name()).to_owned()),
                ]);
                rows.push(Row { cells, is_compared: row.baseline.is_none() });
            }
        }
        Table { columns, rows }
    }

    /// Everything: definitions of the metrics, every value with its trial, statistics, notes.
    pub fn to_json(&self) -> Value {
        let metrics: Vec<Value> = self
            .metrics
            .iter()
            .map(|info| json!({"name": info.name, "unit": info.unit, "better": better(info.direction), "version": info.version, "definition": info.definition}))
            .collect();
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|column| {
                let friedman = column
                    .friedman
                    .map(|test| json!({"statistic": test.statistic, "p_value": test.p_value, "num_blocks": test.num_blocks}));
                json!({
                    "metric": self.metrics[column.metric].name,
                    "keys": object(&self.column_keys, &column.keys),
                    "best": column.best.map(|row| self.row_label(&self.rows[row])),
                    "num_ranked": column.num_ranked,
                    "friedman": friedman,
                })
            })
            .collect();
        let left_out: Vec<Value> = self
            .left_out
            .iter()
            .map(
                |trial| json!({"run": trial.run, "trial": trial.trial, "label": trial.label, "state": trial.state, "reason": trial.reason}),
            )
            .collect();
        json!({
            "title": self.title,
            "rows_by": self.row_keys,
            "columns_by": self.column_keys,
            "blocks_by": self.block_keys,
            "blocks": self.blocks.iter().filter(|_| !self.block_keys.is_empty()).map(|keys| object(&self.block_keys, keys)).collect::<Vec<_>>(),
            "test": self.test.label(),
            "correction": "Holm, over all pairs of configurations",
            "confidence": crate::statistics::CONFIDENCE,
            "metrics": metrics,
            "columns": columns,
            "rows": self.rows.iter().map(|row| self.row_json(row)).collect::<Vec<_>>(),
            "baselines": self.baselines.iter().map(|row| self.row_json(row)).collect::<Vec<_>>(),
            "num_finished": self.num_finished,
            "left_out": left_out,
            "notes": self.notes,
        })
    }

    fn row_json(&self, row: &ComparisonRow) -> Value {
        let cell = |(cell, column): (&Option<ComparisonCell>, &crate::comparison::ComparisonColumn)| {
            let cell = cell.as_ref()?;
            let value = |value: &crate::comparison::Measured| {
                let mut entry = json!({"trial": value.trial, "seed": value.seed, "value": value.value});
                if let (false, Some(entry)) = (self.block_keys.is_empty(), entry.as_object_mut()) {
                    entry.insert("block".to_owned(), value.block.into());
                }
                entry
            };
            Some(json!({
                "metric": self.metrics[column.metric].name,
                "column": object(&self.column_keys, &column.keys),
                "mean": cell.spread.mean,
                "std": cell.spread.deviation,
                "ci95_half_width": cell.half_width,
                "num_values": cell.spread.num,
                "rank": cell.rank,
                "num_pairs": cell.num_pairs,
                "p_value": cell.p_value,
                "p_value_holm": cell.corrected,
                "standing": cell.standing.name(),
                "values": cell.measured.iter().map(value).collect::<Vec<_>>(),
            }))
        };
        json!({
            "label": self.row_label(row),
            "baseline": row.baseline,
            "keys": object(&self.row_keys, &row.keys),
            "code_size": row.code_size,
            "seeds": row.seeds,
            "num_finished": row.num_finished,
            "num_trials": row.num_trials,
            "mean_ranks": row.mean_ranks,
            "cells": row.cells.iter().zip(&self.columns).filter_map(cell).collect::<Vec<_>>(),
        })
    }
}
