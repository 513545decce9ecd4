//! Asks whoever works on a run on this machine to stop in good order.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::lock::{self, Holder, host_name};
use crate::plan::Plan;
use crate::run_dir::{RunDir, RunDirError};

/// What came of asking.
#[derive(Debug, Clone, Default)]
pub struct Cancelled {
    /// Processes that were asked: a runner with how many trials it had, or a worker without a runner.
    pub asked: Vec<(u32, usize)>,
    /// Those on other machines, which cannot be asked from here.
    pub elsewhere: Vec<Holder>,
    /// Trials that are still held after the wait, of those on this machine.
    pub still_running: Vec<usize>,
}

/// Why a run could not be stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// The run directory cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A lock cannot be looked at.
    #[error("cannot look at the lock of the trial {hash}")]
    Lock {
        /// The trial.
        hash: String,
        /// The reason.
        source: io::Error,
    },
    /// A process cannot be asked.
    #[error("cannot send SIGTERM to process {pid}: {reason}")]
    Signal {
        /// The process.
        pid: u32,
        /// The reason.
        reason: String,
    },
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sends SIGTERM to the runners of a run on this machine, and to workers that have none, and waits until they are gone: they write a
/// checkpoint first.
///
/// # Errors
/// When locks cannot be read or processes not be asked.
pub fn cancel(run_dir: &RunDir, plan: &Plan, patience: Duration) -> Result<Cancelled, CancelError> {
    let host = host_name();
    let mut cancelled = Cancelled::default();
    let mut asked: BTreeMap<u32, usize> = BTreeMap::new();
    for (_, holder) in holders(run_dir, plan)? {
        if holder.host != host {
            cancelled.elsewhere.push(holder);
            continue;
        }
        // The parent of a worker is its runner: a number alone may be another process by now.
        let runner = holder.runner_pid.filter(|runner| parent_of(holder.pid).is_some_and(|parent| parent == *runner && parent > 1));
        let pid = runner.filter(|runner| is_runner(*runner)).unwrap_or(holder.pid);
        *asked.entry(pid).or_default() += 1;
    }
    for pid in asked.keys() {
        terminate(*pid)?;
    }
    cancelled.asked = asked.into_iter().collect();
    if cancelled.asked.is_empty() {
        return Ok(cancelled);
    }
    let since = Instant::now();
    loop {
        let left = holders(run_dir, plan)?;
        cancelled.still_running = left.into_iter().filter(|(_, holder)| holder.host == host).map(|(index, _)| index).collect();
        if cancelled.still_running.is_empty() || since.elapsed() >= patience {
            return Ok(cancelled);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Trials that are held, and by whom.
fn holders(run_dir: &RunDir, plan: &Plan) -> Result<Vec<(usize, Holder)>, CancelError> {
    let mut found = Vec::new();
    for trial in &plan.trials {
        let folder = run_dir.trial(&trial.hash);
        if folder.result_path().exists() {
            continue;
        }
        let holder = lock::holder(&folder.lock_path()).map_err(|source| CancelError::Lock { hash: trial.hash.clone(), source })?;
        if let Some(Some(holder)) = holder {
            found.push((trial.index, holder));
        }
    }
    Ok(found)
}

/// The parent of a process; `None` where the system does not say.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process is an aelab that runs trials, not a shell from which a worker was started by hand.
fn is_runner(pid: u32) -> bool {
    let Ok(command) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    words.iter().skip(1).any(|word| *word == b"run" || *word == b"resume")
}

fn terminate(pid: u32) -> Result<(), CancelError> {
    let refused = |reason: String| CancelError::Signal { pid, reason };
    // The shell's own `kill` is on every Unix; sending signals from here would need a system call without a safe wrapper.
    let output = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid.to_string()]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| refused(error.to_string()))?;
    let is_gone = || !std::path::Path::new(&format!("/proc/{pid}")).exists();
    if output.status.success() || is_gone() { Ok(()) } else { Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())) }
}
