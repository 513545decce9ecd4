//! `diff`: what sets two trials apart.

use std::path::Path;

use aelab_experiment::{MetricDifference, RunDir, Selection, SettingDifference, TrialDifference, diff_trials, short_value};
use aelab_report::{Cell, Column, Row, Table};
use serde_json::Value;

use crate::EXIT_DONE;
use crate::arguments::RunArguments;
use crate::terminal::{print_line, significant, terminal_width};

/// Prints the differences of two trials.
pub(crate) fn diff(run: &RunArguments, first: &Selection, second: &Selection, with: Option<&Path>, json: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(&run.run, &run.runs)?;
    let plan = run_dir.plan()?;
    let index = first.find_one(&plan, &run_dir)?;
    let difference = match with {
        None => diff_trials((&run_dir, &plan, index), (&run_dir, &plan, second.find_one(&plan, &run_dir)?))?,
        Some(with) => {
            let other = RunDir::open(with, &run.runs)?;
            let other_plan = other.plan()?;
            diff_trials((&run_dir, &plan, index), (&other, &other_plan, second.find_one(&other_plan, &other)?))?
        }
    };
    if json {
        print_line(&serde_json::to_string_pretty(&difference)?);
    } else {
        print_line(&text(&difference, terminal_width()));
    }
    Ok(EXIT_DONE)
}

fn text(difference: &TrialDifference, width: Option<u16>) -> String {
    let mut parts = Vec::new();
    for (letter, side) in [("A", &difference.first), ("B", &difference.second)] {
        parts.push(format!("{letter}  {} of {}  {}  {}  {}", side.trial, side.run, side.hash, side.state, side.label));
    }
    let parts_head = parts.join("\n");
    let mut sections = vec![parts_head];
    if difference.first.hash == difference.second.hash {
        sections.push("the same configuration, data and seed".to_owned());
    } else {
        sections.push(format!("settings\n{}", settings(&difference.settings).to_terminal(width)));
    }
    if !difference.environment.is_empty() {
        sections.push(format!("environment\n{}", settings(&difference.environment).to_terminal(width)));
    }
    if !difference.training.is_empty() {
        sections.push(format!("training\n{}", metrics(&difference.training).to_terminal(width)));
    }
    if difference.metrics.is_empty() {
        sections.push("neither has metrics".to_owned());
    } else {
        sections.push(format!("metrics\n{}", metrics(&difference.metrics).to_terminal(width)));
        if difference.metrics.iter().any(|metric| !metric.is_comparable) {
            sections.push("(!) measured by another definition: the numbers do not compare".to_owned());
        }
    }
    sections.join("\n\n")
}

fn settings(differences: &[SettingDifference]) -> Table {
    let cell = |value: &Option<Value>| value.as_ref().map_or(Cell::Empty, |value| Cell::Text(short_value(value)));
    let row = |difference: &SettingDifference| {
        Row::new(vec![Cell::Text(difference.path.clone()), cell(&difference.first), cell(&difference.second)])
    };
    Table { columns: vec![Column::text("key").key(), Column::text("A"), Column::text("B")], rows: differences.iter().map(row).collect() }
}

fn metrics(differences: &[MetricDifference]) -> Table {
    let cell = |value: Option<f64>| value.map_or(Cell::Empty, |value| Cell::Text(significant_or_whole(value)));
    let rows = differences.iter().map(|metric| {
        let better = match (metric.direction.as_str(), metric.difference) {
            _ if !metric.is_comparable => "!",
            ("lower", Some(difference)) if difference < 0.0 => "B",
            ("lower", Some(difference)) if difference > 0.0 => "A",
            ("higher", Some(difference)) if difference > 0.0 => "B",
            ("higher", Some(difference)) if difference < 0.0 => "A",
            _ => "",
        };
        let relative = metric.difference.zip(metric.first).filter(|(_, first)| *first != 0.0 && first.is_finite());
        let percent = relative.map(|(difference, first)| format!("{:+.2} %", difference / first.abs() * 100.0));
        Row::new(vec![
            Cell::Text(metric.name.clone()),
            cell(metric.first),
            cell(metric.second),
            metric.difference.map_or(Cell::Empty, |difference| Cell::Text(signed(difference))),
            percent.map_or(Cell::Empty, Cell::Text),
            Cell::Text(better.to_owned()),
            Cell::Text(metric.unit.clone()),
        ])
    });
    let mut columns = vec![Column::text("metric").key()];
    columns.extend(["A", "B", "B - A", "of A"].map(Column::number));
    columns.extend(["better", "unit"].map(Column::text));
    let mut table = Table { rows: rows.collect(), columns };
    // Where nothing is better, nothing needs to be said of it.
    if table.rows.iter().all(|row| row.cells[5] == Cell::Text(String::new())) {
        table.columns.remove(5);
        table.rows.iter_mut().for_each(|row| {
            row.cells.remove(5);
        });
    }
    table
}

fn significant_or_whole(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e12 { format!("{value}") } else { significant(value) }
}

fn signed(value: f64) -> String {
    let text = significant_or_whole(value);
    if value > 0.0 { format!("+{text}") } else { text }
}
