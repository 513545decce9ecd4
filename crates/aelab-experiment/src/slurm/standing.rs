//! What Slurm says of the trials of a run.

use std::collections::HashMap;

use serde::Serialize;

use super::client;
use super::journal::SlurmDir;
use crate::executor::ExecutorError;
use crate::run_dir::RunDir;

/// Where the task of a trial stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlurmStanding {
    /// Job and index, as `scontrol show job` takes them.
    pub task: String,
    /// Slurm's word: `PENDING`, `RUNNING`, ...
    pub state: String,
    /// Why it is pending.
    pub reason: String,
    /// Its node.
    pub node: String,
}

impl SlurmStanding {
    /// In words: `queued (Priority) as 12_3`, `on n1 as 12_3`.
    pub fn describe(&self) -> String {
        let state = match (self.state.as_str(), self.reason.as_str()) {
            ("PENDING", "None" | "") => "queued".to_owned(),
            ("PENDING", reason) => format!("queued ({reason})"),
            ("RUNNING", _) => format!("on {}", self.node),
            (other, _) if self.node.is_empty() => other.to_lowercase(),
            (other, _) => format!("{} on {}", other.to_lowercase(), self.node),
        };
        format!("{state} as {}", self.task)
    }
}

/// The tasks that wait or run, by the hash of their trials. Empty where a run has never used Slurm, which is then not asked.
pub fn standings(run_dir: &RunDir) -> Result<HashMap<String, SlurmStanding>, ExecutorError> {
    let slurm = SlurmDir::of(run_dir);
    let batches = slurm.batches()?;
    let names: Vec<String> = batches.iter().map(|batch| batch.name.clone()).collect();
    let queue = client::queue(&names)?;
    let mut standings = HashMap::new();
    for batch in &batches {
        let Some(job) = batch.job.or_else(|| queue.jobs.get(&batch.name).copied()) else { continue };
        if !queue.entries.iter().any(|((other, _), entry)| *other == job && entry.is_active()) {
            continue;
        }
        for (index, tasks) in slurm.tasks(batch.number)?.into_iter().enumerate() {
            let Some(entry) = queue.entries.get(&(job, index as u32)).filter(|entry| entry.is_active()) else { continue };
            let standing = SlurmStanding {
                task: format!("{job}_{index}"),
                state: entry.state.clone(),
                reason: entry.reason.clone(),
                node: entry.node.clone(),
            };
            standings.extend(tasks.into_iter().map(|task| (task.trial, standing.clone())));
        }
    }
    Ok(standings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_reads_well() {
        let standing = |state: &str, reason: &str, node: &str| {
            SlurmStanding { task: "12_3".into(), state: state.into(), reason: reason.into(), node: node.into() }.describe()
        };
        assert_eq!(standing("PENDING", "Priority", ""), "queued (Priority) as 12_3");
        assert_eq!(standing("PENDING", "None", ""), "queued as 12_3");
        assert_eq!(standing("RUNNING", "None", "n1"), "on n1 as 12_3");
        assert_eq!(standing("COMPLETING", "None", "n1"), "completing on n1 as 12_3");
    }

    #[test]
    fn a_run_without_jobs_does_not_ask_slurm() {
        let folder = tempfile::tempdir().unwrap();
        assert!(standings(&RunDir::at(folder.path())).unwrap().is_empty());
    }
}
