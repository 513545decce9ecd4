//! `plan`: the trials of an experiment and what they cost, without running any.

use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use aelab_core::Registry;
use aelab_data::LoadContext;
use aelab_experiment::{
    Execution, ExperimentSpec, LeftOut, Plan, PlanAxis, PlanCosts, RunDir, plan as make_plan, plan_costs, resolve_jobs, short_value,
};
use aelab_report::{Cell, Column, Row, Table};
use serde_json::{Value, json};

use crate::EXIT_DONE;
use crate::steering::steering_lines;
use crate::terminal::{byte_size, counted, duration, grouped, print_line, print_warning, terminal_width};

/// Trials that are listed unasked.
pub(crate) const MOST_LISTED: usize = 100;
/// Values of an axis that are named.
const MOST_VALUES: usize = 12;
/// How long parameters may be counted and data be loaded.
const BUDGET: Duration = Duration::from_secs(10);

/// Prints the plan of an experiment file.
pub(crate) fn plan(file: &Path, sets: &[String], json: bool, all: bool, runs: &Path, registry: &Registry) -> anyhow::Result<u8> {
    let spec = ExperimentSpec::from_file(file, sets)?;
    let context = LoadContext::new("");
    let plan = make_plan(&spec, registry, &context)?;
    let run_dir = RunDir::open(&runs.join(&plan.name), runs).ok();
    let jobs = jobs_here(&plan.execution);
    let costs = plan_costs(&plan, run_dir.as_ref(), jobs, registry, &context, BUDGET)?;
    if json {
        print_line(&serde_json::to_string_pretty(&as_json(&plan, &costs)?)?);
        return Ok(EXIT_DONE);
    }
    let num = if all || plan.trials.len() <= MOST_LISTED { plan.trials.len() } else { MOST_LISTED };
    let shown: Vec<usize> = (0..num).collect();
    print_line(&trial_table(&plan, &shown, None).to_terminal(terminal_width()));
    if num < plan.trials.len() {
        print_line(&format!("the first {num} of {} trials; --all lists the others", grouped(plan.trials.len() as u64)));
    }
    for line in crate::objective::objective_lines(&plan) {
        print_line(&line);
    }
    for line in cost_lines(&plan, &costs) {
        print_line(&line);
    }
    for warning in &plan.warnings {
        print_warning(warning);
    }
    for line in left_out_lines(&plan) {
        print_line(&line);
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

/// What `require` left out.
pub(crate) fn left_out_lines(plan: &Plan) -> Vec<String> {
    let num_all = plan.trials.len() + plan.left_out.iter().map(|left_out| left_out.num_trials).sum::<usize>();
    let line = |left_out: &LeftOut| format!("left out by `require: {}`: {} of {num_all} trials", left_out.requirement, left_out.num_trials);
    plan.left_out.iter().map(line).collect()
}

/// Trials that this machine would run at a time.
pub(crate) fn jobs_here(execution: &Execution) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    // What cannot run here may run elsewhere.
    resolve_jobs(execution, cores).map_or(1, |(jobs, _)| jobs)
}

/// The plan with a size and estimate for each trial, and what all cost.
fn as_json(plan: &Plan, costs: &PlanCosts) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(plan)?;
    let trials = value.get_mut("trials").and_then(Value::as_array_mut).into_iter().flatten();
    for ((trial, size), seconds) in trials.zip(&costs.sizes).zip(&costs.seconds) {
        if let Value::Object(entries) = trial {
            entries.insert("size".to_owned(), serde_json::to_value(size)?);
            entries.insert("estimated_seconds".to_owned(), json!(seconds));
        }
    }
    if let Value::Object(entries) = &mut value {
        entries.insert("costs".to_owned(), serde_json::to_value(costs)?);
    }
    Ok(value)
}

/// What varies, per model what it costs, and all together.
fn cost_lines(plan: &Plan, costs: &PlanCosts) -> Vec<String> {
    let mut lines = Vec::new();
    if !costs.axes.is_empty() {
        lines.push("what varies".to_owned());
        let longest = costs.axes.iter().map(|axis| axis.name.chars().count()).max().unwrap_or(0);
        for axis in &costs.axes {
            lines.push(format!("  {:longest$}  {:>4}  {}", axis.name, axis.num_values, values_of(axis)));
        }
    }
    let steps = |num: Option<u64>| num.map_or_else(|| "unknown".to_owned(), grouped);
    let rows = costs.models.iter().map(|model| {
        let parameters = match model.num_parameters {
            None => "unknown".to_owned(),
            Some((least, most)) if least == most => grouped(least as u64),
            Some((least, most)) => format!("{} to {}", grouped(least as u64), grouped(most as u64)),
        };
        let time = model.seconds.map_or_else(|| "unknown".to_owned(), duration);
        let texts = [grouped(model.num_trials as u64), parameters, grouped(model.num_epochs), steps(model.num_steps), time];
        Row::new(std::iter::once(model.model.clone()).chain(texts).map(Cell::Text).collect())
    });
    let mut columns = vec![Column::text("model").key()];
    columns.extend(["trials", "parameters of each", "epochs", "steps", "time of all"].map(Column::number));
    let mut table = Table { columns, rows: rows.collect() };
    if costs.num_finished == 0 {
        table.columns.pop();
    }
    lines.push(table.to_terminal(terminal_width()));
    let parameters = costs.num_parameters.map_or_else(|| "unknown".to_owned(), grouped);
    lines.push(format!("in all: {parameters} parameters, {} epochs, {} steps", grouped(costs.num_epochs), steps(costs.num_steps)));
    if !costs.states.is_empty() {
        let states: Vec<String> = costs.states.iter().map(|(state, num)| format!("{} {state}", grouped(*num as u64))).collect();
        lines.push(format!("so far: {}", states.join(", ")));
    }
    let threads = plan.execution.threads_per_trial.max(1);
    let at_a_time = format!("{} at a time with {}", costs.jobs, counted(threads, "thread", "threads"));
    match (costs.wall_seconds, costs.core_hours) {
        (Some(wall), Some(hours)) => {
            let mut line = format!("time: about {}, {at_a_time}; {:.1} core-hours", duration(wall), hours);
            if let Some(left) = costs.wall_seconds_left.filter(|left| *left > 0.0 && *left < wall) {
                line.push_str(&format!("; about {} left", duration(left)));
            }
            lines.push(format!("{line} (from {})", counted(costs.num_finished, "finished trial", "finished trials")));
        }
        _ => lines.push(format!("time: unknown until a trial has finished; {at_a_time}")),
    }
    if let Some(bytes) = costs.disk_bytes {
        let basis = if costs.is_disk_measured { "as the finished trials" } else { "rough: three checkpoints and 1 MB for each trial" };
        lines.push(format!("disk: about {} ({basis})", byte_size(bytes)));
    }
    lines
}

fn values_of(axis: &PlanAxis) -> String {
    let shown: Vec<&str> = axis.values.iter().take(MOST_VALUES).map(|(value, _)| value.as_str()).collect();
    let more = if axis.num_values > MOST_VALUES {
        format!(", and {} more", grouped((axis.num_values - MOST_VALUES) as u64))
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

/// A row per trial of `indices`: number, hash, what the sweep sets, and where given a column of their states.
pub(crate) fn trial_table(plan: &Plan, indices: &[usize], states: Option<&[String]>) -> Table {
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
    let row = |(position, index): (usize, &usize)| {
        let trial = &plan.trials[*index];
        let mut cells = vec![Cell::Integer(trial.index as u64 + 1), Cell::Text(trial.hash.clone())];
        if has_model_column {
            cells.push(Cell::Text(trial.model.clone()));
        }
        cells.extend(
            swept.iter().map(|(_, values)| values[trial.index].as_ref().map_or(Cell::Empty, |value| Cell::Text(short_value(value)))),
        );
        cells.extend(states.map(|states| Cell::Text(states[position].clone())));
        Row::new(cells)
    };
    Table { columns, rows: indices.iter().enumerate().map(row).collect() }
}
