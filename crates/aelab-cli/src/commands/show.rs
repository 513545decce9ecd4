//! `show`: everything about one trial.

use aelab_experiment::{RunDir, Selection, TrialReport, WorkerMessage, short_value, to_yaml, trial_report};
use aelab_report::{Cell, Column, Row, Table};
use serde_json::Value;

use crate::EXIT_DONE;
use crate::arguments::RunArguments;
use crate::terminal::{byte_size, counted, duration, grouped, print_line, significant, terminal_width};

/// Prints a trial.
pub(crate) fn show(run: &RunArguments, trial: &Selection, config: bool, json: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(&run.run, &run.runs)?;
    let plan = run_dir.plan()?;
    let report = trial_report(&run_dir, &plan, trial.find_one(&plan, &run_dir)?)?;
    if json {
        print_line(&serde_json::to_string_pretty(&report)?);
    } else {
        print_line(&text(&report, plan.trials.len(), config, terminal_width()));
    }
    Ok(EXIT_DONE)
}

fn text(report: &TrialReport, num_trials: usize, config: bool, width: Option<u16>) -> String {
    let mut sections = vec![head(report, num_trials)];
    if let Some(error) = report.result.as_ref().and_then(|result| result.error.as_ref()) {
        sections.push(format!("error\n{}", indented(error)));
    }
    let settings: Vec<(String, String)> = report.settings.iter().map(|(path, value)| (path.clone(), short_value(value))).collect();
    if !settings.is_empty() {
        sections.push(format!("settings of the sweep\n{}", pairs(&settings)));
    }
    if let Some(result) = report.result.as_ref().filter(|result| !result.metrics.is_empty()) {
        let row = |metric: &aelab_experiment::MetricValue| {
            let arrow = match metric.direction.as_str() {
                "lower" if metric.name != "loss" => "↓",
                "higher" => "↑",
                _ => "",
            };
            let texts = [arrow, &metric.unit, metric.evaluation.as_deref().unwrap_or_default()].map(|text| Cell::Text(text.to_owned()));
            let mut cells = vec![Cell::Text(metric.name.clone()), Cell::Text(significant(metric.value))];
            cells.extend(texts);
            Row::new(cells)
        };
        let columns = vec![
            Column::text("metric").key(),
            Column::number("test split"),
            Column::text("better"),
            Column::text("unit"),
            Column::text("evaluation"),
        ];
        let table = Table { columns, rows: result.metrics.iter().map(row).collect() };
        sections.push(format!("metrics\n{}", table.to_terminal(width)));
    }
    if !report.curves.is_empty() {
        let row = |end: &aelab_experiment::CurveEnd| {
            let epoch = end.epoch.map_or(Cell::Empty, |epoch| Cell::Text(format!("{epoch:.1}")));
            let step = end.step.map_or(Cell::Empty, |step| Cell::Text(grouped(step)));
            Row::new(vec![Cell::Text(end.name.clone()), Cell::Text(significant(end.value)), epoch, step, Cell::Integer(end.num as u64)])
        };
        let mut columns = vec![Column::text("curve").key()];
        columns.extend(["last value", "epoch", "step", "values"].map(Column::number));
        let table = Table { columns, rows: report.curves.iter().map(row).collect() };
        sections.push(format!("curves\n{}", table.to_terminal(width)));
    }
    if let Some(environment) = report.environment.as_ref().and_then(Value::as_object) {
        let entries: Vec<(String, String)> =
            environment.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), plain(value))).collect();
        sections.push(format!("environment\n{}", pairs(&entries)));
    }
    sections.push(format!("files in {}\n{}", report.folder.display(), files(report)));
    let has_failed = report.result.as_ref().is_some_and(|result| result.error.is_some());
    if !report.log_tail.is_empty() && (has_failed || !report.state.is_over()) {
        sections.push(format!("end of worker.log\n{}", indented(&report.log_tail)));
    }
    if config {
        sections.push(format!("configuration\n{}", indented(to_yaml(&report.config).trim_end())));
    }
    sections.join("\n\n")
}

fn head(report: &TrialReport, num_trials: usize) -> String {
    let mut lines = vec![format!("trial {} of {num_trials} of {}: {}", report.trial, report.run, report.label)];
    let mut facts = vec![("hash".to_owned(), report.hash.clone())];
    let mut state = report.state.name().to_owned();
    if let Some(holder) = &report.holder {
        state.push_str(&format!(", {holder} has it"));
    }
    facts.push(("state".to_owned(), state));
    if let Some(progress) = report.progress.as_ref().filter(|_| !report.state.is_over()) {
        let mut text = progress.phase.clone();
        if let Some(WorkerMessage::Progress { stage, epoch, num_epochs, step, steps_per_second, loss, valid_loss, .. }) = &progress.standing
        {
            text.push_str(&format!(
                ", stage {stage}, epoch {epoch:.1} of {num_epochs}, step {}, {} steps/s, loss {}",
                grouped(*step),
                significant(*steps_per_second),
                significant(*loss)
            ));
            if let Some(valid) = valid_loss {
                text.push_str(&format!(" (validation {})", significant(*valid)));
            }
        }
        facts.push(("stands".to_owned(), text));
    }
    facts.push(("model".to_owned(), format!("{}, code size {}", report.model, report.code_size)));
    facts.push(("data".to_owned(), report.data.clone()));
    facts.push(("seed".to_owned(), report.seed.to_string()));
    if let Some(result) = report.result.as_ref().filter(|result| result.num_parameters > 0) {
        facts.push(("parameters".to_owned(), grouped(result.num_parameters as u64)));
        let mut training = format!(
            "{} in {}, {}",
            duration(result.seconds),
            counted(result.epochs_run as usize, "epoch", "epochs"),
            counted(result.steps as usize, "step", "steps")
        );
        if let Some(epoch) = result.best_epoch {
            training.push_str(&format!("; measured were the parameters of epoch {epoch}"));
        }
        facts.push(("training".to_owned(), training));
        if result.measuring_seconds > 0.0 {
            facts.push(("measuring".to_owned(), duration(result.measuring_seconds)));
        }
    }
    if let Some(pruned) = &report.pruned {
        facts.push((
            "pruned".to_owned(),
            format!(
                "its checkpoints ({}) were removed by `aelab prune --keep {} --metric {}`; what needs them trains anew",
                byte_size(pruned.bytes),
                pruned.keep,
                pruned.metric
            ),
        ));
    }
    lines.push(pairs(&facts));
    lines.join("\n")
}

/// Files of the folder; those of sub-folders together.
fn files(report: &TrialReport) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut folders: Vec<(String, usize, u64)> = Vec::new();
    for (path, bytes) in &report.files {
        match path.split_once('/') {
            // Checkpoints are few and large.
            Some((folder, _)) if folder != "checkpoints" => match folders.iter_mut().find(|(name, ..)| name == folder) {
                Some((_, num, sum)) => (*num, *sum) = (*num + 1, *sum + bytes),
                None => folders.push((folder.to_owned(), 1, *bytes)),
            },
            _ => lines.push((path.clone(), byte_size(*bytes))),
        }
    }
    lines.extend(
        folders
            .into_iter()
            .map(|(name, num, bytes)| (format!("{name}/"), format!("{}, {}", counted(num, "file", "files"), byte_size(bytes)))),
    );
    pairs(&lines)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(entries) => entries.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", "),
        other => short_value_with_spaces(other),
    }
}

fn short_value_with_spaces(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names and values in two columns.
fn pairs(entries: &[(String, String)]) -> String {
    let longest = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    entries.iter().map(|(name, value)| format!("  {name:longest$}  {value}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
