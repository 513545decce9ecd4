//! `status`: where the trials of a run directory stand.

use std::collections::HashMap;
use std::path::Path;

use aelab_experiment::slurm::{self, SlurmStanding};
use aelab_experiment::{RunDir, TrialProgress, TrialState, WorkerMessage, write_summary};
use serde_json::json;

use crate::commands::plan::trial_table;
use crate::terminal::{print_line, print_warning, terminal_width};
use crate::{EXIT_DONE, EXIT_TRIALS_FAILED};

/// Prints the state of every trial and writes the summary anew.
pub(crate) fn status(run: &Path, runs: &Path, json: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(run, runs)?;
    let plan = run_dir.plan()?;
    let tasks = slurm::standings(&run_dir).unwrap_or_else(|error| {
        print_warning(&format!("where the tasks of this run stand is not known: {error}"));
        HashMap::new()
    });
    let mut states = Vec::new();
    let mut names = Vec::new();
    let mut trials = Vec::new();
    for (trial, label) in plan.trials.iter().zip(plan.labels()) {
        let folder = run_dir.trial(&trial.hash);
        let (state, result) = folder.standing()?;
        let progress = if state == TrialState::Running { folder.progress() } else { None };
        states.push(state);
        let task = tasks.get(&trial.hash).filter(|_| !state.is_over());
        names.push(named(state, progress.as_ref(), task));
        if json {
            let (index, hash, folder) = (trial.index, &trial.hash, folder.path());
            trials.push(json!({
                "index": index, "hash": hash, "label": label, "state": state, "progress": progress, "slurm": task, "result": result, "folder": folder
            }));
        }
    }
    let count = |state: TrialState| states.iter().filter(|other| **other == state).count();
    let files = write_summary(&run_dir, &plan)?;
    if json {
        let counts: serde_json::Map<String, serde_json::Value> =
            TrialState::ALL.iter().map(|state| (state.name().to_owned(), count(*state).into())).collect();
        let status = json!({"name": plan.name, "folder": run_dir.root(), "counts": counts, "trials": trials, "summary": files.table});
        print_line(&serde_json::to_string_pretty(&status)?);
    } else {
        print_line(&trial_table(&plan, Some(&names)).to_terminal(terminal_width()));
        let counts: Vec<String> =
            TrialState::ALL.iter().filter(|state| count(**state) > 0).map(|state| format!("{} {state}", count(*state))).collect();
        print_line(&format!("{}: {} trials, {}", plan.name, states.len(), counts.join(", ")));
        print_line(&format!("summary: {}", files.page.display()));
    }
    let has_failed = count(TrialState::Failed) + count(TrialState::Diverged) > 0;
    Ok(if has_failed { EXIT_TRIALS_FAILED } else { EXIT_DONE })
}

/// A state, of a running trial where it stands, and what Slurm says: `running, training, epoch 3.5/20, on n1 as 12_3`.
fn named(state: TrialState, progress: Option<&TrialProgress>, task: Option<&SlurmStanding>) -> String {
    let mut name = state.name().to_owned();
    if let Some(progress) = progress {
        name.push_str(&format!(", {}", progress.phase));
        if let Some(WorkerMessage::Progress { epoch, num_epochs, .. }) = &progress.standing {
            name.push_str(&format!(", epoch {epoch:.1}/{num_epochs}"));
        }
    }
    if let Some(task) = task {
        name.push_str(&format!(", {}", task.describe()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(named(TrialState::Running, Some(&progress), None), "running, training");
        progress.standing = Some(standing);
        assert_eq!(named(TrialState::Running, Some(&progress), None), "running, training, epoch 3.5/20");
        assert_eq!(named(TrialState::Finished, None, None), "finished");
        let waiting =
            SlurmStanding { task: "12_3".to_owned(), state: "PENDING".to_owned(), reason: "Priority".to_owned(), node: String::new() };
        assert_eq!(named(TrialState::Pending, None, Some(&waiting)), "pending, queued (Priority) as 12_3");
    }
}
