//! Slurm's commands and what they say, in formats of our choice.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::settings::SlurmSettings;

/// Why Slurm does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlurmError {
    /// No such program.
    #[error(
        "there is no `{program}` here: {reason}\n`execution.executor: slurm` runs where jobs are submitted, the login node of a cluster; \
         on this machine use `--set execution.executor=local`"
    )]
    NotHere {
        /// The program.
        program: String,
        /// The reason.
        reason: String,
    },
    /// It could not be reached: worth another try.
    #[error("Slurm does not answer: {message}")]
    Away {
        /// What the command said.
        message: String,
    },
    /// It said no.
    #[error("{program} refused: {message}")]
    Refused {
        /// The program.
        program: String,
        /// What it said.
        message: String,
    },
    /// It said something else than expected.
    #[error("cannot read what {program} says: `{line}`; expected {expected}")]
    Unreadable {
        /// The program.
        program: String,
        /// A line of it.
        line: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A task ended before the program in it began.
    #[error(
        "task {task} of Slurm ended on {node} before aelab began, {state}; the end of {}:\n{tail}\n\
         mend `execution.slurm` (`setup`, `prefix`, `program`, or `extra: [--exclude={node}]` where only that node is broken), then go on",
        log.display()
    )]
    NotBegun {
        /// Job and array index.
        task: String,
        /// Slurm's state.
        state: String,
        /// Its node.
        node: String,
        /// What it wrote.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// A task could not do its work, for a reason that is not that of a trial.
    #[error("task {task} of Slurm broke off on {node}: {reason}")]
    BrokeOff {
        /// Job and array index.
        task: String,
        /// Its node.
        node: String,
        /// What it said.
        reason: String,
    },
}

/// No command takes longer.
const LONGEST: Duration = Duration::from_secs(120);

/// What a command says on standard error when the controller is away or busy.
const AWAY: [&str; 13] = [
    "unable to contact slurm controller",
    "socket timed out",
    "connection refused",
    "connection timed out",
    "connection reset",
    "communication connection failure",
    "message receive failure",
    "zero bytes were transmitted",
    "transport endpoint",
    "temporarily",
    "backup controller",
    "munge encode failed",
    "protocol authentication error",
];

fn run(command: &mut Command) -> Result<String, SlurmError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    {
        // Ctrl-C is for the runner: a submission is not broken off halfway.
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    let not_here = |error: io::Error| SlurmError::NotHere { program: program.clone(), reason: error.to_string() };
    let mut child = command.spawn().map_err(not_here)?;
    let output = child.stdout.take().map(|mut pipe| thread::spawn(move || read_all(&mut pipe)));
    let errors = child.stderr.take().map(|mut pipe| thread::spawn(move || read_all(&mut pipe)));
    let since = Instant::now();
    let status = loop {
        match child.try_wait().map_err(not_here)? {
            Some(status) => break status,
            None if since.elapsed() > LONGEST => {
                // It may have ended just now.
                let _ = child.kill();
                let _ = child.wait();
                return Err(SlurmError::Away { message: format!("{program} took longer than {} seconds", LONGEST.as_secs()) });
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let text = |reader: Option<thread::JoinHandle<String>>| reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let (output, errors) = (text(output), text(errors));
    if status.success() {
        return Ok(output);
    }
    let message = errors.trim().to_owned();
    let message = if message.is_empty() { format!("{program} ended with {status}") } else { message };
    let lower = message.to_lowercase();
    if AWAY.iter().any(|sign| lower.contains(sign)) {
        Err(SlurmError::Away { message })
    } else {
        Err(SlurmError::Refused { program, message })
    }
}

fn read_all(pipe: &mut dyn Read) -> String {
    let mut bytes = Vec::new();
    // What could be read is what there is.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where an element of an array stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueEntry {
    /// Slurm's word: `PENDING`, `RUNNING`, ...
    pub(super) state: String,
    /// Why it is pending, or `None`.
    pub(super) reason: String,
    /// Its node.
    pub(super) node: String,
}

impl QueueEntry {
    /// Whether it still runs or will run.
    pub(super) fn is_active(&self) -> bool {
        !matches!(
            self.state.as_str(),
            "BOOT_FAIL"
                | "CANCELLED"
                | "COMPLETED"
                | "DEADLINE"
                | "FAILED"
                | "LAUNCH_FAILED"
                | "NODE_FAIL"
                | "OUT_OF_MEMORY"
                | "PREEMPTED"
                | "RECONFIG_FAIL"
                | "REVOKED"
                | "TIMEOUT"
        )
    }
}

/// What the queue has of some jobs.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// Number of each job, by its name.
    pub(super) jobs: HashMap<String, u64>,
    /// Elements by job and index.
    pub(super) entries: HashMap<(u64, u32), QueueEntry>,
}

/// Jobs by name, those that ended a short time ago among them.
pub(super) fn queue(names: &[String]) -> Result<Queue, SlurmError> {
    if names.is_empty() {
        return Ok(Queue::default());
    }
    let mut command = Command::new("squeue");
    for variable in ["SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SQUEUE_PARTITION", "SQUEUE_USERS", "SQUEUE_ACCOUNT", "SQUEUE_QOS"]
    {
        command.env_remove(variable);
    }
    command.args(["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%N|%j"]).arg(format!("--name={}", names.join(",")));
    read_queue(&run(&mut command)?)
}

fn read_queue(text: &str) -> Result<Queue, SlurmError> {
    let mut queue = Queue::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let unreadable = || SlurmError::Unreadable {
            program: "squeue".to_owned(),
            line: line.to_owned(),
            expected: "job, index, state, reason, node and name, separated by `|`",
        };
        let parts: Vec<&str> = line.trim().splitn(6, '|').collect();
        let [job, index, state, reason, node, name] = parts[..] else { return Err(unreadable()) };
        let (job, index): (u64, u32) = (job.parse().map_err(|_| unreadable())?, index.parse().map_err(|_| unreadable())?);
        queue.jobs.insert(name.to_owned(), job);
        let entry = QueueEntry { state: state.to_owned(), reason: reason.to_owned(), node: node.to_owned() };
        // Of one that was put back, old records may be listed, too.
        let known = queue.entries.entry((job, index)).or_insert_with(|| entry.clone());
        if !known.is_active() {
            *known = entry;
        }
    }
    Ok(queue)
}

/// A job array to be.
#[derive(Debug)]
pub(super) struct Submission<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its elements.
    pub(super) num_tasks: usize,
    /// What it writes, one file per element.
    pub(super) output: &'a Path,
    /// The script and its argument.
    pub(super) script: &'a Path,
    /// The number of the batch.
    pub(super) batch: u64,
}

/// Submits a job array; returns its number.
pub(super) fn submit(submission: &Submission<'_>, settings: &SlurmSettings) -> Result<u64, SlurmError> {
    let mut array = format!("--array=0-{}", submission.num_tasks.saturating_sub(1));
    if let Some(most) = settings.array_parallelism {
        array.push_str(&format!("%{most}"));
    }
    let folder = submission.output.display().to_string().replace('%', "%%");
    let mut command = Command::new("sbatch");
    for variable in settings.replaced_variables() {
        command.env_remove(variable);
    }
    command
        .args(["--parsable", &array])
        .arg(format!("--job-name={}", submission.name))
        .arg(format!("--output={folder}/{}_%a.log", submission.batch))
        .arg(submission.script)
        .arg(submission.batch.to_string());
    let text = run(&mut command)?;
    let number = text.lines().last().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    number.parse().map_err(|_| SlurmError::Unreadable { program: "sbatch".to_owned(), line: text.clone(), expected: "the number of a job" })
}

/// Ends jobs.
pub(super) fn cancel_jobs(jobs: &[u64]) -> Result<(), SlurmError> {
    if jobs.is_empty() {
        return Ok(());
    }
    run(Command::new("scancel").args(jobs.iter().map(u64::to_string))).map(|_| ())
}

/// Takes an element out of the queue that has nothing left to do.
pub(super) fn cancel_element(job: u64, index: u32) -> Result<(), SlurmError> {
    run(Command::new("scancel").arg(format!("{job}_{index}"))).map(|_| ())
}

/// How many elements an array may have.
pub(super) fn max_array_size() -> Result<usize, SlurmError> {
    let text = run(Command::new("scontrol").args(["show", "config"]))?;
    let value = text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "MaxArraySize");
    // Slurm's own default.
    Ok(value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(1001).max(1))
}

/// Whether sbatch refused because a user has too many jobs already: there is room again once some have ended.
pub(super) fn is_about_limits(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["submit limit", "maxsubmit", "too many jobs", "maximum job count", "job limit"].iter().any(|sign| lower.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_read_whatever_the_reason_says() {
        let text = "7|0|PENDING|Resources||a.1\n7|1|RUNNING|None|n2|a.1\n8|0|CANCELLED|None|n1|b.2\n";
        let queue = read_queue(text).unwrap();
        assert_eq!((queue.jobs["a.1"], queue.jobs["b.2"], queue.entries.len()), (7, 8, 3));
        assert!(queue.entries[&(7, 0)].is_active() && queue.entries[&(7, 1)].node == "n2");
        assert!(!queue.entries[&(8, 0)].is_active());
        assert!(matches!(read_queue("something else\n"), Err(SlurmError::Unreadable { .. })));
    }

    #[test]
    fn an_element_that_was_put_back_is_active_in_whatever_order_it_is_listed() {
        for text in ["7|0|PREEMPTED|None|n1|a\n7|0|PENDING|BeginTime||a\n", "7|0|PENDING|BeginTime||a\n7|0|PREEMPTED|None|n1|a\n"] {
            assert!(read_queue(text).unwrap().entries[&(7, 0)].is_active());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_is_missing_busy_or_refuses_is_told_apart() {
        let said = |text: &str| run(Command::new("sh").args(["-c", &format!("echo '{text}' >&2; exit 1")])).unwrap_err();
        assert!(matches!(said("slurm_load_jobs error: Unable to contact slurm controller (connect failure)"), SlurmError::Away { .. }));
        let refused = said("sbatch: error: invalid partition specified: nope");
        assert!(refused.to_string().contains("invalid partition specified: nope"), "{refused}");
        let missing = run(&mut Command::new("no-such-program-of-slurm")).unwrap_err();
        assert!(missing.to_string().contains("execution.executor=local"), "{missing}");
    }
}
