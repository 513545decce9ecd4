//! `plan`: the trials of an experiment, without running any.

use std::path::Path;

use aelab_core::Registry;
use aelab_data::LoadContext;
use aelab_experiment::{ExperimentSpec, Plan, plan as make_plan, short_value};
use aelab_report::{Cell, Column, Row, Table};

use crate::EXIT_DONE;
use crate::steering::steering_lines;
use crate::terminal::{print_line, print_warning, terminal_width};

/// Prints the plan of an experiment file.
pub(crate) fn plan(file: &Path, sets: &[String], json: bool, registry: &Registry) -> anyhow::Result<u8> {
    let spec = ExperimentSpec::from_file(file, sets)?;
    let plan = make_plan(&spec, registry, &LoadContext::new(""))?;
    if json {
        print_line(&serde_json::to_string_pretty(&plan)?);
        return Ok(EXIT_DONE);
    }
    print_line(&trial_table(&plan, None).to_terminal(terminal_width()));
    for line in crate::objective::objective_lines(&plan) {
        print_line(&line);
    }
    for warning in &plan.warnings {
        print_warning(warning);
    }
    for name in crate::commands::data::missing(&plan) {
        print_warning(&format!("the data set {name} is not here yet: aelab data fetch {name}"));
    }
    for line in steering_lines(&plan.steering) {
        print_line(&line);
    }
    let num = plan.trials.len();
    let trials = if num == 1 { "trial" } else { "trials" };
    if plan.steering.search.is_some() {
        print_line(&format!("the first {num} {trials} of {}, which need no results", plan.name));
    } else {
        print_line(&format!("{num} {trials} of {}", plan.name));
    }
    Ok(EXIT_DONE)
}

/// A row per trial: number, hash, what the sweep sets, and where given a column of states.
pub(crate) fn trial_table(plan: &Plan, states: Option<&[String]>) -> Table {
    let swept = plan.columns();
    let mut columns = vec![Column::number("trial").key(), Column::text("hash").key()];
    if swept.iter().all(|(label, _)| label != "model") {
        columns.push(Column::text("model"));
    }
    let has_model_column = columns.len() == 3;
    for (label, values) in &swept {
        let is_number = values.iter().flatten().all(serde_json::Value::is_number);
        columns.push(if is_number { Column::number(label.clone()) } else { Column::text(label.clone()) });
    }
    if states.is_some() {
        columns.push(Column::text("state"));
    }
    let rows = plan.trials.iter().map(|trial| {
        let mut cells = vec![Cell::Integer(trial.index as u64 + 1), Cell::Text(trial.hash.clone())];
        if has_model_column {
            cells.push(Cell::Text(trial.model.clone()));
        }
        cells.extend(
            swept.iter().map(|(_, values)| values[trial.index].as_ref().map_or(Cell::Empty, |value| Cell::Text(short_value(value)))),
        );
        cells.extend(states.map(|states| Cell::Text(states[trial.index].clone())));
        Row::new(cells)
    });
    let rows = rows.collect();
    Table { columns, rows }
}
