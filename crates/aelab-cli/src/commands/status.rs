//! `status`: where the trials of a run directory stand.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use aelab_core::Registry;
use aelab_data::LoadContext;
use aelab_experiment::search::Spent;
use aelab_experiment::slurm::{self, SlurmStanding};
use aelab_experiment::{
    Plan, RunDir, Selection, TimeLeft, TrialProgress, TrialReading, TrialState, WorkerMessage, best_so_far, map_trials, read_trials,
    refresh_trials, time_left, write_summary_of,
};
use serde_json::{Map, Value, json};

use crate::arguments::StatusArguments;
use crate::commands::plan::{MOST_LISTED, jobs_here, trial_table};
use crate::steering::{best_line, spent_lines, steering_lines};
use crate::terminal::{clear_screen, counted, duration, grouped, print_line, print_warning, significant, terminal_width};
use crate::{EXIT_DONE, EXIT_TRIALS_FAILED};

/// How long parameters may be counted for the estimate.
const BUDGET: Duration = Duration::from_millis(500);
/// Rows while it is watched.
const MOST_WATCHED: usize = 20;

/// Prints the state of every trial and writes the summary anew.
pub(crate) fn status(arguments: &StatusArguments, registry: &Registry) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(&arguments.run.run, &arguments.run.runs)?;
    let plan = run_dir.plan()?;
    let readings = read_trials(&run_dir, &plan)?;
    let mut view = View { arguments, run_dir: &run_dir, plan: &plan, registry, readings, tasks: HashMap::new() };
    view.ask_slurm(true);
    if let Some(seconds) = arguments.watch {
        view.watch(Duration::from_secs(u64::from(seconds)))?;
    }
    let chosen = view.chosen()?;
    let (text, has_failed) = if arguments.json {
        (serde_json::to_string_pretty(&view.as_json(&chosen)?)?, view.has_failed(&chosen))
    } else {
        (view.text(&chosen, MOST_LISTED), view.has_failed(&chosen))
    };
    print_line(&text);
    let files = write_summary_of(&run_dir, &plan, view.readings)?;
    if !arguments.json {
        if !plan.steering.is_idle() {
            let best = best_line(&run_dir, &plan)?;
            steering_lines(&plan.steering).iter().chain(&spent_lines(&run_dir)).chain(&best).for_each(|line| print_line(line));
        }
        print_line(&format!("summary: {}", files.page.display()));
    }
    Ok(if has_failed { EXIT_TRIALS_FAILED } else { EXIT_DONE })
}

struct View<'a> {
    arguments: &'a StatusArguments,
    run_dir: &'a RunDir,
    plan: &'a Plan,
    registry: &'a Registry,
    readings: Vec<TrialReading>,
    /// What Slurm says of trials, by their hashes.
    tasks: HashMap<String, SlurmStanding>,
}

impl View<'_> {
    /// Asks Slurm where the tasks of the run stand, if it has any.
    fn ask_slurm(&mut self, complains: bool) {
        match slurm::standings(self.run_dir) {
            Ok(tasks) => self.tasks = tasks,
            Err(error) if complains => print_warning(&format!("where the tasks of this run stand is not known: {error}")),
            Err(_) => {}
        }
    }

    /// What Slurm says of a trial that is not over.
    fn task(&self, index: usize) -> Option<&SlurmStanding> {
        self.tasks.get(&self.plan.trials[index].hash).filter(|_| !self.readings[index].state.is_over())
    }

    /// Shows the state again whenever it has changed, until all trials are over.
    fn watch(&mut self, every: Duration) -> anyhow::Result<()> {
        let is_terminal = std::io::stdout().is_terminal();
        let mut shown = String::new();
        while self.readings.iter().any(|reading| !reading.state.is_over()) {
            let chosen = self.chosen()?;
            let text = if self.arguments.json { serde_json::to_string(&self.as_json(&chosen)?)? } else { self.text(&chosen, MOST_WATCHED) };
            if text != shown {
                if is_terminal && !self.arguments.json {
                    clear_screen();
                } else if !shown.is_empty() && !self.arguments.json {
                    print_line("");
                }
                print_line(&text);
                shown = text;
            }
            thread::sleep(every);
            refresh_trials(self.run_dir, self.plan, &mut self.readings)?;
            self.ask_slurm(false);
        }
        if is_terminal && !shown.is_empty() {
            clear_screen();
        }
        Ok(())
    }

    /// The trials that were asked for.
    fn chosen(&self) -> anyhow::Result<Vec<usize>> {
        if self.arguments.filter.is_empty() {
            return Ok((0..self.plan.trials.len()).collect());
        }
        Ok(Selection::find(&self.arguments.filter, self.plan, self.run_dir)?)
    }

    fn count(&self, chosen: &[usize], state: TrialState) -> usize {
        chosen.iter().filter(|index| self.readings[**index].state == state).count()
    }

    fn has_failed(&self, chosen: &[usize]) -> bool {
        self.count(chosen, TrialState::Failed) + self.count(chosen, TrialState::Diverged) > 0
    }

    fn time_left(&self) -> Option<TimeLeft> {
        let num_running = self.readings.iter().filter(|reading| reading.state == TrialState::Running).count();
        let jobs = if num_running > 0 { num_running } else { jobs_here(&self.plan.execution) };
        time_left(self.plan, &self.readings, jobs, self.registry, &LoadContext::new(""), BUDGET)
    }

    fn text(&self, chosen: &[usize], most: usize) -> String {
        let left = self.time_left();
        let mut lines = Vec::new();
        let lists_all = self.arguments.all || chosen.len() <= most;
        let shown = if lists_all { chosen.to_vec() } else { self.of_interest(chosen, most) };
        if !shown.is_empty() {
            let state = |index: &usize| {
                let left = left.as_ref().and_then(|left| left.of_trials[*index]);
                named(&self.readings[*index], left, self.task(*index))
            };
            let states: Vec<String> = shown.iter().map(state).collect();
            lines.push(trial_table(self.plan, &shown, Some(&states)).to_terminal(terminal_width()));
        }
        if !lists_all {
            lines.push(format!(
                "{} of {} are listed: those at work and those that did not finish; --all lists every one, --filter some",
                counted(shown.len(), "trial", "trials"),
                grouped(chosen.len() as u64)
            ));
        }
        let counts: Vec<String> = TrialState::ALL
            .iter()
            .map(|state| (self.count(chosen, *state), state))
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{} {state}", grouped(count as u64)))
            .collect();
        lines.push(format!("{}: {}, {}", self.plan.name, counted(chosen.len(), "trial", "trials"), counts.join(", ")));
        if chosen.len() < self.plan.trials.len() {
            lines.push(format!("chosen from {}", counted(self.plan.trials.len(), "trial", "trials")));
        }
        if let Some(left) = left {
            lines.push(format!(
                "about {} left with {} at a time (from {})",
                duration(left.wall_seconds),
                left.jobs,
                counted(left.num_finished, "finished trial", "finished trials")
            ));
        }
        lines.join("\n")
    }

    /// Of many trials those that somebody wants to see: at work first, then what went wrong, in the order of the plan.
    fn of_interest(&self, chosen: &[usize], most: usize) -> Vec<usize> {
        let in_states = |states: &[TrialState]| -> Vec<usize> {
            chosen.iter().copied().filter(|index| states.contains(&self.readings[*index].state)).collect()
        };
        let mut shown = in_states(&[TrialState::Running]);
        shown.extend(in_states(&[TrialState::Failed, TrialState::Diverged, TrialState::Interrupted]));
        shown.truncate(most);
        shown
    }

    fn as_json(&self, chosen: &[usize]) -> anyhow::Result<Value> {
        let left = self.time_left();
        let labels = self.plan.labels();
        let results = {
            let trials: Vec<_> = chosen.iter().map(|index| &self.plan.trials[*index]).collect();
            map_trials(self.run_dir, &trials, |_, _, result| result)?
        };
        let trial = |(index, result): (&usize, Option<aelab_experiment::TrialResult>)| {
            let (trial, reading) = (&self.plan.trials[*index], &self.readings[*index]);
            let folder = self.run_dir.trial(&trial.hash);
            let seconds_left = left.as_ref().and_then(|left| left.of_trials[*index]);
            json!({
                "index": trial.index, "hash": trial.hash, "label": labels[*index], "state": reading.state, "progress": reading.progress, "slurm": self.task(*index),
                "seconds_left": seconds_left, "result": result, "folder": folder.path(),
            })
        };
        let trials: Vec<Value> = chosen.iter().zip(results).map(trial).collect();
        let counts: Map<String, Value> =
            TrialState::ALL.iter().map(|state| (state.name().to_owned(), self.count(chosen, *state).into())).collect();
        let root = self.run_dir.root();
        let summary = root.join("summary.csv");
        let mut status =
            json!({"name": self.plan.name, "folder": root, "counts": counts, "time_left": left, "trials": trials, "summary": summary});
        if !self.plan.steering.is_idle() {
            let best = best_so_far(self.run_dir, self.plan)?;
            status["best"] = json!(best.map(|best| json!({"trials": best.trials, "metric": best.goal.metric, "value": best.value})));
            status["budget"] = json!(Spent::read(root));
        }
        Ok(status)
    }
}

/// A state, and of a running trial where it stands: `running, training, epoch 3.5/20, loss 1.2, 12 s left`.
fn named(reading: &TrialReading, left: Option<f64>, task: Option<&SlurmStanding>) -> String {
    let mut name = reading.state.name().to_owned();
    match reading.state {
        TrialState::Running => {
            if let Some(progress) = &reading.progress {
                name.push_str(&standing(progress));
            }
            if let Some(left) = left {
                name.push_str(&format!(", {} left", duration(left)));
            }
        }
        TrialState::Failed | TrialState::Diverged if !reading.row.reason.is_empty() => {
            name.push_str(&format!(": {}", shortened(&reading.row.reason)));
        }
        _ => {}
    }
    if let Some(task) = task {
        name.push_str(&format!(", {}", task.describe()));
    }
    name
}

fn standing(progress: &TrialProgress) -> String {
    let mut text = format!(", {}", progress.phase);
    if let Some(WorkerMessage::Progress { epoch, num_epochs, loss, .. }) = &progress.standing {
        text.push_str(&format!(", epoch {epoch:.1}/{num_epochs}, loss {}", significant(*loss)));
    }
    text
}

/// A reason that fits into a table; `aelab show` has all of it.
fn shortened(reason: &str) -> String {
    const MOST: usize = 60;
    if reason.chars().count() <= MOST { reason.to_owned() } else { reason.chars().take(MOST - 3).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_report::TrialRow;

    fn reading(state: TrialState, reason: &str, progress: Option<TrialProgress>) -> TrialReading {
        let row = TrialRow {
            trial: String::new(),
            state: state.name().into(),
            reason: reason.into(),
            model: "vae".into(),
            hyperparameters: Vec::new(),
            seed: 1,
            code_size: 2,
            num_parameters: 1,
            seconds: 1.0,
            metrics: Vec::new(),
        };
        TrialReading { state, progress, spent: None, row, pictures: Vec::new() }
    }

    #[test]
    fn a_running_trial_says_where_it_stands() {
        let standing = WorkerMessage::Progress {
            stage: "train".to_owned(),
            epoch: 3.5,
            num_epochs: 20,
            step: 65,
            steps_per_second: 10.0,
            loss: 1.0,
            valid_loss: None,
        };
        let mut progress = TrialProgress { num_beats: 70, phase: "training".to_owned(), pid: 1, host: "here".to_owned(), standing: None };
        let running = |progress: &TrialProgress, left| named(&reading(TrialState::Running, "", Some(progress.clone())), left, None);
        assert_eq!(running(&progress, None), "running, training");
        progress.standing = Some(standing);
        assert_eq!(running(&progress, Some(12.0)), "running, training, epoch 3.5/20, loss 1.000, 12 s left");
        assert_eq!(named(&reading(TrialState::Finished, "", None), None, None), "finished");
        assert_eq!(named(&reading(TrialState::Failed, "no data", None), None, None), "failed: no data");
        assert_eq!(named(&reading(TrialState::Failed, &"x".repeat(100), None), None, None).len(), "failed: ".len() + 60);
        let waiting =
            SlurmStanding { task: "12_3".to_owned(), state: "PENDING".to_owned(), reason: "Priority".to_owned(), node: String::new() };
        assert_eq!(named(&reading(TrialState::Pending, "", None), None, Some(&waiting)), "pending, queued (Priority) as 12_3");
    }
}
