//! Takes the tasks of a run out of the queue.

use super::client;
use super::journal::SlurmDir;
use crate::executor::ExecutorError;
use crate::run_dir::RunDir;

/// What was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cancelled {
    /// Tasks that were waiting.
    pub num_waiting: usize,
    /// Tasks that were running: their trials write a checkpoint.
    pub num_running: usize,
}

/// Cancels every task of a run, and asks the runner that watches them to end. Nothing where the run has none.
pub fn cancel(run_dir: &RunDir) -> Result<Cancelled, ExecutorError> {
    let slurm = SlurmDir::of(run_dir);
    let batches = slurm.batches()?;
    if batches.is_empty() {
        return Ok(Cancelled::default());
    }
    // First of all: a runner that is about to submit sees it afterwards.
    let mark = slurm.cancel_mark();
    std::fs::write(&mark, b"").map_err(|source| ExecutorError::Io { path: mark, source })?;
    let names: Vec<String> = batches.iter().map(|batch| batch.name.clone()).collect();
    let queue = client::queue(&names)?;
    let mut cancelled = Cancelled::default();
    let mut jobs = Vec::new();
    for ((job, _), entry) in queue.entries.iter().filter(|(_, entry)| entry.is_active()) {
        match entry.state.as_str() {
            "PENDING" => cancelled.num_waiting += 1,
            _ => cancelled.num_running += 1,
        }
        if !jobs.contains(job) {
            jobs.push(*job);
        }
    }
    jobs.sort_unstable();
    client::cancel_jobs(&jobs)?;
    Ok(cancelled)
}
